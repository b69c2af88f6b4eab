package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// wrkScripts are for wrk; report.lua ends each run with a line for us.
//
//go:embed wrk/*.lua
var wrkScripts embed.FS

// writeScripts copies the scripts into dir.
func writeScripts(dir string) error {
	return fs.WalkDir(wrkScripts, "wrk", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := wrkScripts.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), data, 0o644); err != nil {
			return fmt.Errorf("cannot write the script %q: %w", path, err)
		}
		return nil
	})
}

// loadErrors counts what went wrong, by kind.
type loadErrors struct {
	Connect int64 `json:"connect,omitempty"`
	Read    int64 `json:"read,omitempty"`
	Write   int64 `json:"write,omitempty"`
	Status  int64 `json:"status,omitempty"`
	Timeout int64 `json:"timeout,omitempty"`
}

// err returns what went wrong in words, nil for nothing.
func (e loadErrors) err() error {
	var parts []string
	for _, k := range []struct {
		name string
		n    int64
	}{{"connect", e.Connect}, {"read", e.Read}, {"write", e.Write}, {"status", e.Status}, {"timeout", e.Timeout}} {
		if k.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", k.name, k.n))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return errors.New("errors: " + strings.Join(parts, ", "))
}

// wrkResult is what report.lua says.
type wrkResult struct {
	Requests int64      `json:"requests"`
	Bytes    int64      `json:"bytes"`
	Micros   int64      `json:"duration_us"`
	P50      float64    `json:"p50_us"`
	P99      float64    `json:"p99_us"`
	P999     float64    `json:"p999_us"`
	Max      float64    `json:"max_us"`
	Errors   loadErrors `json:"errors"`
}

const wrkMark = "sluice-bench "

// parseWrk finds report.lua's line in what wrk printed.
func parseWrk(out string) (wrkResult, error) {
	var r wrkResult
	for line := range strings.Lines(out) {
		if data, ok := strings.CutPrefix(line, wrkMark); ok {
			if err := json.Unmarshal([]byte(data), &r); err != nil {
				return r, fmt.Errorf("cannot read the result of wrk %q: %w", strings.TrimSpace(data), err)
			}
			if r.Micros <= 0 {
				return r, fmt.Errorf("cannot use the result of wrk %q: it took no time", strings.TrimSpace(data))
			}
			return r, nil
		}
	}
	return r, fmt.Errorf("cannot find a result in the output of wrk:\n%s", strings.TrimSpace(out))
}

// wrkArgs returns the arguments for a scenario.
func wrkArgs(s scenario, d time.Duration, scripts, url string) []string {
	script := "report.lua"
	if s.body == up {
		script = "upload.lua"
	}
	args := []string{
		"-t1", "-c" + strconv.Itoa(s.conns),
		// wrk knows whole seconds only; a signal ends it in between.
		"-d" + strconv.Itoa(int(math.Ceil(d.Seconds()))) + "s",
		"--timeout", "5s", "-s", filepath.Join(scripts, script),
	}
	if s.close {
		args = append(args, "-H", "Connection: close")
	}
	return append(args, url)
}

// runWrk loads url for d. died is asked whether the proxy has ended.
func (s *suite) runWrk(ctx context.Context, sc scenario, d time.Duration, url string) (wrkResult, error) {
	c, err := s.family.start(childSpec{
		name: "wrk", path: s.wrk, args: wrkArgs(sc, d, s.dir, url), env: os.Environ(), stop: syscall.SIGKILL,
	})
	if err != nil {
		return wrkResult{}, err
	}
	defer c.end()
	if d != d.Truncate(time.Second) {
		early := time.AfterFunc(d, func() { _ = c.cmd.Process.Signal(syscall.SIGINT) })
		defer early.Stop()
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return wrkResult{}, ctx.Err()
	case <-time.After(d + 20*time.Second):
		return wrkResult{}, fmt.Errorf("cannot wait for wrk: it has not ended 20s after its time")
	}
	if c.err != nil {
		return wrkResult{}, fmt.Errorf("cannot run wrk: %w:\n%s", c.err, c.out)
	}
	return parseWrk(c.out.String())
}
