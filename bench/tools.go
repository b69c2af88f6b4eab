package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// k6Script is the load of k6.
//
//go:embed k6/experiment.js
var k6Script embed.FS

// loadTool is a load generator of others, by which an experiment is looked at too.
type loadTool struct {
	name string
	get  string // how to come by it
	args func(url, dir string) []string
	read func(out, dir string) (toolResult, error)
}

// toolResult is what a tool says; latencies are in ms.
type toolResult struct {
	requests, failed int64
	p50, p99         float64
}

// What tools do in an experiment: wrk and ab wait for answers before they send the
// next request of a connection, hey and k6 keep to a rate.
const (
	toolConns = 4
	toolRate  = 200
	toolTime  = 3 * time.Second
)

func loadTools() []loadTool {
	conns, seconds := strconv.Itoa(toolConns), strconv.Itoa(int(toolTime.Seconds()))
	return []loadTool{
		{
			name: "wrk", get: "apt install wrk",
			args: func(url, dir string) []string {
				return []string{"-t1", "-c" + conns, "-d" + seconds + "s", "--timeout", "5s", "-s", filepath.Join(dir, "report.lua"), url}
			},
			read: func(out, _ string) (toolResult, error) {
				r, err := parseWrk(out)
				e := r.Errors
				return toolResult{r.Requests, e.Connect + e.Read + e.Write + e.Status + e.Timeout, r.P50 / 1000, r.P99 / 1000}, err
			},
		},
		{
			name: "hey", get: "go install github.com/rakyll/hey@v0.1.5",
			args: func(url, _ string) []string { // its rate is of each worker
				return []string{"-z", seconds + "s", "-c", conns, "-q", strconv.Itoa(toolRate / toolConns), url}
			},
			read: func(out, _ string) (toolResult, error) { return parseHey(out) },
		},
		{
			name: "ab", get: "apt install apache2-utils",
			args: func(url, _ string) []string {
				return []string{"-q", "-k", "-c", conns, "-t", seconds, "-n", "1000000", url}
			},
			read: func(out, _ string) (toolResult, error) { return parseAB(out) },
		},
		{
			name: "k6", get: "see its own documentation",
			args: func(url, dir string) []string {
				return []string{"run", "--quiet", "--summary-export", filepath.Join(dir, "k6.json"), "-e", "URL=" + url, "-e", "RATE=" + strconv.Itoa(toolRate), "-e", "TIME=" + seconds + "s", filepath.Join(dir, "experiment.js")}
			},
			read: func(_, dir string) (toolResult, error) {
				data, err := os.ReadFile(filepath.Join(dir, "k6.json"))
				if err != nil {
					return toolResult{}, fmt.Errorf("cannot read the result of k6: %w", err)
				}
				return parseK6(data)
			},
		},
	}
}

// chooseTools returns the tools with the names, none for none.
func chooseTools(names string) (chosen []loadTool, err error) {
	if names == "" {
		return nil, nil
	}
	var errs []error
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		found := false
		for _, t := range loadTools() {
			if t.name != name {
				continue
			}
			found = true
			if _, err := lookPath(name); err != nil {
				errs = append(errs, fmt.Errorf("cannot use --by %s: it is not installed: %s", name, t.get))
			}
			chosen = append(chosen, t)
		}
		if !found {
			errs = append(errs, fmt.Errorf("cannot use --by %q: it knows wrk, hey, ab and k6", name))
		}
	}
	return chosen, errors.Join(errs...)
}

// run loads url by the tool.
func (t loadTool) run(ctx context.Context, url string) (toolResult, error) {
	path, err := lookPath(t.name)
	if err != nil {
		return toolResult{}, err
	}
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return toolResult{}, fmt.Errorf("cannot load by %s: %w", t.name, err)
	}
	defer os.RemoveAll(dir)
	script, err := k6Script.ReadFile("k6/experiment.js")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "experiment.js"), script, 0o644)
	}
	if err = errors.Join(err, writeScripts(dir)); err != nil {
		return toolResult{}, fmt.Errorf("cannot load by %s: %w", t.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, toolTime+30*time.Second)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, t.args(url+"/", dir)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return toolResult{}, fmt.Errorf("cannot load by %s: %w:\n%s", t.name, err, out.String())
	}
	return t.read(out.String(), dir)
}

var (
	heyQuantile = regexp.MustCompile(`(?m)^\s*(\d+)%+ in ([0-9.]+) secs`)
	heyStatus   = regexp.MustCompile(`(?m)^\s*\[(\d+)\]\s+(\d+) responses`)
	heyError    = regexp.MustCompile(`(?m)^\s*\[(\d+)\]\s+\D`)
	abLine      = regexp.MustCompile(`(?m)^(Complete requests|Failed requests|Non-2xx responses):\s+(\d+)`)
	abQuantile  = regexp.MustCompile(`(?m)^\s*(50|99)%\s+(\d+)`)
)

func parseHey(out string) (r toolResult, err error) {
	for _, m := range heyStatus.FindAllStringSubmatch(out, -1) {
		n := whole(m[2])
		r.requests += n
		if m[1] != "200" {
			r.failed += n
		}
	}
	if _, errs, ok := strings.Cut(out, "Error distribution:"); ok {
		for _, m := range heyError.FindAllStringSubmatch(errs, -1) {
			r.requests += whole(m[1])
			r.failed += whole(m[1])
		}
	}
	for _, m := range heyQuantile.FindAllStringSubmatch(out, -1) {
		switch v, _ := strconv.ParseFloat(m[2], 64); m[1] {
		case "50":
			r.p50 = 1000 * v
		case "99":
			r.p99 = 1000 * v
		}
	}
	return r, r.check("hey", out)
}

func parseAB(out string) (r toolResult, err error) {
	for _, m := range abLine.FindAllStringSubmatch(out, -1) {
		switch n := whole(m[2]); m[1] {
		case "Complete requests":
			r.requests = n
		case "Non-2xx responses": // what it calls failed are answers of another length, too
			r.failed = n
		}
	}
	for _, m := range abQuantile.FindAllStringSubmatch(out, -1) {
		if v := float64(whole(m[2])); m[1] == "50" {
			r.p50 = v
		} else {
			r.p99 = v
		}
	}
	return r, r.check("ab", out)
}

func parseK6(data []byte) (r toolResult, err error) {
	var summary struct {
		Metrics struct {
			Requests struct{ Count int64 }         `json:"http_reqs"`
			Failed   struct{ Passes, Fails int64 } `json:"http_req_failed"`
			Duration struct {
				Med float64
				P99 float64 `json:"p(99)"`
			} `json:"http_req_duration"`
		}
	}
	if err := json.Unmarshal(data, &summary); err != nil {
		return r, fmt.Errorf("cannot read the result of k6: %w", err)
	}
	m := summary.Metrics
	// A pass of http_req_failed is a request that has failed.
	r = toolResult{m.Requests.Count, m.Failed.Passes, m.Duration.Med, m.Duration.P99}
	return r, r.check("k6", string(data))
}

func (r toolResult) check(tool, out string) error {
	if r.requests == 0 {
		return fmt.Errorf("cannot find a result in the output of %s:\n%s", tool, strings.TrimSpace(out))
	}
	return nil
}

// whole returns a number that a pattern has found.
func whole(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64)
	return n
}

// byTools has each tool load each variant once, as the experiment's backends are
// when it begins, and returns a table for the report.
func (e experiment) byTools(ctx context.Context, f *family, sluice string, tools []loadTool) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| by | variant | requests | failed | p50, ms | p99, ms |\n|---|---|---|---|---|---|\n")
	for _, t := range tools {
		for _, v := range e.variants {
			var result toolResult
			_, err := e.trial(ctx, trial{family: f, sluice: sluice, variant: v, seed: 1, instead: func(ctx context.Context, r *rig) (err error) {
				if result, err = t.run(ctx, r.url); err == nil {
					err = errInstead
				}
				return err
			}})
			if !errors.Is(err, errInstead) {
				return "", fmt.Errorf("%s, %s by %s: %w", e.name, v.name, t.name, err)
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %d | %.1f | %.1f |\n", t.name, v.name, result.requests, result.failed, result.p50, result.p99)
		}
	}
	return b.String(), nil
}

// errInstead ends a trial of which nothing but its rig was wanted.
var errInstead = errors.New("the rig was wanted alone")
