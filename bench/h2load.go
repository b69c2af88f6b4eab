package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// h2loadRequests is the line in which h2load counts what came of its requests.
var h2loadRequests = regexp.MustCompile(`requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)

// parseH2load reads what h2load printed.
func parseH2load(out string) (wrkResult, error) {
	var r wrkResult
	m := h2loadRequests.FindStringSubmatch(out)
	if m == nil {
		return r, fmt.Errorf("cannot find a result in the output of h2load:\n%s", strings.TrimSpace(out))
	}
	for i, to := range []*int64{&r.Requests, &r.Errors.Status, &r.Errors.Read, &r.Errors.Timeout} {
		n, err := strconv.ParseInt(m[i+1], 10, 64)
		if err != nil {
			return r, fmt.Errorf("cannot read the result of h2load %q: %w", m[0], err)
		}
		*to = n
	}
	return r, nil
}

// parseH2loadLog reads the times of requests, in microseconds, out of h2load's log:
// when each began, its status and how long it took.
func parseH2loadLog(path string) (took []float64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the log of h2load: %w", err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		parts := strings.Fields(in.Text())
		if len(parts) != 3 {
			return nil, fmt.Errorf("cannot read the log of h2load: %q", in.Text())
		}
		n, err := strconv.ParseFloat(parts[2], 64)
		if err != nil {
			return nil, fmt.Errorf("cannot read the log of h2load: %w", err)
		}
		took = append(took, n)
	}
	slices.Sort(took)
	return took, in.Err()
}

// runH2load loads url for d.
func (s *suite) runH2load(ctx context.Context, sc scenario, d time.Duration, url string) (wrkResult, error) {
	log := filepath.Join(s.dir, "h2load.log")
	args := []string{"-t1", "-c" + strconv.Itoa(sc.conns), "-m" + strconv.Itoa(streams), "-D" + strconv.FormatInt(d.Milliseconds(), 10) + "ms", "--log-file=" + log}
	if sc.speaks == grpc {
		message := filepath.Join(s.dir, "message")
		if err := os.WriteFile(message, []byte{0, 0, 0, 0, 0}, 0o644); err != nil {
			return wrkResult{}, fmt.Errorf("cannot write the message: %w", err)
		}
		args = append(args, "-d"+message, "-Hcontent-type: application/grpc", "-Hte: trailers")
	}
	defer os.Remove(log)
	c, err := s.family.start(childSpec{name: "h2load", path: s.h2load, args: append(args, url), env: os.Environ(), stop: syscall.SIGKILL})
	if err != nil {
		return wrkResult{}, err
	}
	defer c.end()
	select {
	case <-c.done:
	case <-ctx.Done():
		return wrkResult{}, ctx.Err()
	case <-time.After(d + 20*time.Second):
		return wrkResult{}, fmt.Errorf("cannot wait for h2load: it has not ended 20s after its time")
	}
	if c.err != nil {
		return wrkResult{}, fmt.Errorf("cannot run h2load: %w:\n%s", c.err, c.out)
	}
	r, err := parseH2load(c.out.String())
	if err != nil {
		return r, err
	}
	took, err := parseH2loadLog(log)
	if err != nil || len(took) == 0 {
		return r, err
	}
	at := func(q float64) float64 { return took[min(len(took)-1, int(q*float64(len(took))))] }
	r.Micros, r.P50, r.P99, r.P999, r.Max = d.Microseconds(), at(0.5), at(0.99), at(0.999), took[len(took)-1]
	return r, nil
}

func (s *suite) measureH2load(ctx context.Context, sc scenario, in *instance, m *Measurement) error {
	r, err := s.runH2load(ctx, sc, s.opts.duration, s.url(in, sc))
	if err != nil {
		return err
	}
	m.Requests, m.Seconds = r.Requests, s.opts.duration.Seconds()
	m.RequestRate = float64(r.Requests) / m.Seconds
	m.P50, m.P99, m.P999, m.Max, m.Errors = r.P50, r.P99, r.P999, r.Max, r.Errors
	if err := r.Errors.err(); err != nil {
		return err
	}
	if r.Requests == 0 {
		return fmt.Errorf("no request was answered")
	}
	return nil
}
