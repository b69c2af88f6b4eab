package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Calls is what a proxy asks of the kernel for a request, and of its memory.
type Calls struct {
	Scenario string             `json:"scenario"`
	Proxy    string             `json:"proxy"`
	Requests int64              `json:"requests"`
	Each     map[string]float64 `json:"calls_per_request"`
	// Allocated are objects of the heap for a request, -1 where nobody knows.
	Allocated float64 `json:"objects_allocated_per_request"`
}

// total is how many calls a request takes.
func (c Calls) total() float64 {
	n := 0.0
	for _, v := range c.Each {
		n += v
	}
	return n
}

// countedConns is how many connections load a proxy whose calls are counted.
// With few, none is saved by having much to do at once.
const countedConns = 8

// countCalls loads every proxy once more, uncounted otherwise, and has strace
// count its calls: that slows a proxy down too much to measure anything else.
func (s *suite) countCalls(ctx context.Context) error {
	strace, err := lookPath("strace")
	if err != nil {
		s.note("calls are not counted: strace is not installed: apt install strace")
		return nil
	}
	defer s.endShared()
	for _, sc := range s.scenarios {
		if !sc.counted {
			continue
		}
		for _, p := range s.proxies {
			if p.role == roleDirect || !p.takesPart(sc) || s.absent[p.name] {
				continue
			}
			s.printf("calls of %s in %s", p.name, sc.name)
			c, err := s.countOne(ctx, strace, sc, p)
			if err != nil {
				return fmt.Errorf("cannot count calls: %s, %s: %w", sc.name, p.name, err)
			}
			s.result.Calls = append(s.result.Calls, c)
		}
	}
	return nil
}

func (s *suite) countOne(ctx context.Context, strace string, sc scenario, p proxy) (Calls, error) {
	c := Calls{Scenario: sc.name, Proxy: p.name, Allocated: -1}
	in, release, err := s.obtain(ctx, sc, p)
	if err != nil {
		return c, err
	}
	defer release()
	sc.conns = countedConns
	load := func() (int64, error) {
		r, err := s.runWrk(ctx, sc, time.Second, s.url(in, sc))
		return r.Requests, errors.Join(err, r.Errors.err(), in.died())
	}
	if p.role == roleSubject {
		before, err := allocated(ctx, in)
		if err != nil {
			return c, err
		}
		n, err := load()
		if err != nil {
			return c, err
		}
		after, err := allocated(ctx, in)
		if err != nil {
			return c, err
		}
		c.Allocated = (after - before) / float64(max(1, n))
	}
	file := filepath.Join(s.dir, "strace.txt")
	tree, err := processTree(in.child.pid)
	if err != nil {
		return c, err
	}
	args := []string{"-c", "-f", "-o", file}
	for _, t := range tree {
		args = append(args, "-p", strconv.Itoa(t.pid))
	}
	attached := make(chan struct{}, 1)
	left := len(tree)
	tracer, err := s.family.start(childSpec{name: "strace", path: strace, args: args, env: os.Environ(), stop: syscall.SIGINT, onLine: func(line string) {
		if strings.Contains(line, "attached") {
			if left--; left == 0 {
				attached <- struct{}{}
			}
		}
	}})
	if err != nil {
		return c, err
	}
	defer tracer.end()
	select {
	case <-attached:
	case <-tracer.done:
		return c, tracer.died()
	case <-ctx.Done():
		return c, ctx.Err()
	case <-time.After(startTimeout):
		return c, errors.New("strace does not say that it is attached")
	}
	if c.Requests, err = load(); err != nil {
		return c, err
	}
	tracer.end()
	data, err := os.ReadFile(file)
	if err != nil {
		return c, fmt.Errorf("cannot read what strace counted: %w", err)
	}
	counts, err := parseStrace(string(data))
	if err != nil {
		return c, err
	}
	c.Each = make(map[string]float64)
	for name, n := range counts {
		if each := float64(n) / float64(c.Requests); each >= leastCalls {
			c.Each[name] = each
		}
	}
	return c, nil
}

// leastCalls is what is left out: checks and the like, which no request asks for.
const leastCalls = 0.005

// parseStrace reads the table that strace -c writes.
func parseStrace(data string) (map[string]int64, error) {
	counts := make(map[string]int64)
	for line := range strings.Lines(data) {
		// % time, seconds, usecs/call, calls, perhaps errors, name
		f := strings.Fields(line)
		if len(f) < 5 || f[len(f)-1] == "total" {
			continue
		}
		if _, err := strconv.ParseFloat(f[0], 64); err != nil {
			continue // the head, or a rule
		}
		n, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("cannot read a line of strace's %q: %w", line, err)
		}
		counts[f[len(f)-1]] += n
	}
	if len(counts) == 0 {
		return nil, fmt.Errorf("cannot find a call in what strace wrote: %q", data)
	}
	return counts, nil
}

// allocated asks a sluice how many objects it has allocated since its start.
func allocated(ctx context.Context, in *instance) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+in.admin+"/metrics", nil)
	if err != nil {
		return 0, fmt.Errorf("cannot ask for metrics: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("cannot ask for metrics: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("cannot read metrics: %w", err)
	}
	const name = "go_memstats_mallocs_total "
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("cannot find the metric %q", name)
}

// markdownCalls writes what was counted.
func (r *Result) markdownCalls(p func(string, ...any)) {
	if len(r.Calls) == 0 {
		return
	}
	p("## System calls\n")
	p("By `strace -c -f`, in a run of its own with %d connections and the same load otherwise; objects are those that sluice's heap was asked for, without strace.\n", countedConns)
	p("| scenario | proxy | calls | of which | objects allocated |")
	p("|---|---|---|---|---|")
	for _, c := range r.Calls {
		names := slices.SortedFunc(maps.Keys(c.Each), func(a, b string) int {
			return cmp.Or(cmp.Compare(c.Each[b], c.Each[a]), cmp.Compare(a, b))
		})
		var parts []string
		for _, n := range names {
			parts = append(parts, fmt.Sprintf("%s %.2f", n, c.Each[n]))
		}
		objects := ""
		if c.Allocated >= 0 {
			objects = fmt.Sprintf("%.2f", c.Allocated)
		}
		p("| %s | %s | %.1f | %s | %s |", c.Scenario, c.Proxy, c.total(), strings.Join(parts, ", "), objects)
	}
	p("")
}
