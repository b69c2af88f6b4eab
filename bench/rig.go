package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// rig is a sluice before actors, for one run of a variant of an experiment.
type rig struct {
	url, admin string
	actors     []*actor
	sluice     *child
	begun      time.Time
}

// setUp starts the actors, but those that are asleep, and then sluice with args
// before all of them as members of their services, and waits until it serves.
func setUp(ctx context.Context, f *family, binary string, args []string, actors []*actor, asleep ...*actor) (*rig, error) {
	r := &rig{actors: actors}
	r.begin()
	for _, a := range actors {
		if err := a.start(); err != nil {
			r.tearDown()
			return nil, err
		}
	}
	for _, a := range asleep {
		a.stop()
	}
	bound := make(chan map[string]string, 1)
	all := []string{"--l4=127.0.0.1:0=web", "--l7=127.0.0.1:0", "--admin=127.0.0.1:0", "--log-format=json", "--drain-delay=0s", "--drain-timeout=0s", "--health-interval=250ms"}
	for _, a := range actors {
		all = append(all, "--backend="+cmp.Or(a.of, "web")+"="+a.addr)
	}
	var err error
	r.sluice, err = f.start(childSpec{name: "sluice", path: binary, args: append(all, args...), stop: syscall.SIGKILL, onLine: collectListeners(bound)})
	if err != nil {
		r.tearDown()
		return nil, err
	}
	select {
	case listeners := <-bound:
		r.url, r.admin = "http://"+listeners["l7"], "http://"+listeners["admin"]
	case <-r.sluice.done:
		err = r.sluice.died()
	case <-time.After(startTimeout):
		err = fmt.Errorf("sluice does not listen after %s; its last output:\n%s", startTimeout, r.sluice.out)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		err = r.settle(ctx, len(actors)-len(asleep))
	}
	if err != nil {
		r.tearDown()
		return nil, err
	}
	return r, nil
}

// setUp does so for a trial.
func (t trial) setUp(ctx context.Context, args []string, actors []*actor, asleep ...*actor) (*rig, error) {
	r, err := setUp(ctx, t.family, t.sluice, args, actors, asleep...)
	if err == nil && t.instead != nil {
		r.begin()
		err = t.instead(ctx, r)
		r.tearDown()
	}
	return r, err
}

// settle waits until n backends have passed their checks.
func (r *rig) settle(ctx context.Context, n int) error {
	deadline := time.Now().Add(startTimeout)
	for {
		up, err := r.sum(ctx, "sluice_backend_state", `state="up"`)
		if err == nil && int(up) == n {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("of %d backends %v are up after %s: %w; sluice's last output:\n%s", n, up, startTimeout, err, r.sluice.out)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait(ctx, 5*time.Millisecond)
	}
}

// begin makes now the time from which actors count.
func (r *rig) begin() {
	now := time.Now()
	r.begun = now
	for _, a := range r.actors {
		a.begun.Store(&now)
	}
}

func (r *rig) tearDown() {
	if r.sluice != nil {
		r.sluice.end()
	}
	for _, a := range r.actors {
		a.stop()
	}
}

// sum adds up the series of a metric of sluice's whose labels contain all of
// labels.
func (r *rig) sum(ctx context.Context, name string, labels ...string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("cannot read sluice's metrics: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, fmt.Errorf("cannot read sluice's metrics: %w", err)
	}
	return sumSeries(string(text), name, labels...), nil
}

// sumSeries does so with metrics in Prometheus's text format.
func sumSeries(text, name string, labels ...string) (sum float64) {
lines:
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue lines
			}
		}
		if v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64); err == nil {
			sum += v
		}
	}
	return sum
}

// until returns how long after the beginning a metric is above 0, 0 if it does
// not before ctx ends.
func (r *rig) until(ctx context.Context, name string, labels ...string) time.Duration {
	for ctx.Err() == nil {
		if v, err := r.sum(ctx, name, labels...); err == nil && v > 0 {
			return time.Since(r.begun)
		}
		wait(ctx, 10*time.Millisecond)
	}
	return 0
}

// transitions returns how often a backend came and went by its checks.
func (r *rig) transitions(ctx context.Context, label string) (float64, error) {
	up, err := r.sum(ctx, "sluice_backend_transitions_total", label, `to="up"`)
	if err != nil {
		return 0, err
	}
	down, err := r.sum(ctx, "sluice_backend_transitions_total", label, `to="down"`)
	return up + down, err
}

// watchUp looks every 20 ms, until ctx ends, and returns for each bin of time how
// many backends are up, and how much of the time a is.
func (r *rig) watchUp(ctx context.Context, a *actor, bins int, width time.Duration) [2][]float64 {
	var sums [2][]float64
	sums[0], sums[1] = make([]float64, bins), make([]float64, bins)
	looks := make([]float64, bins)
	for ; ctx.Err() == nil; wait(ctx, 20*time.Millisecond) {
		i := int(time.Since(r.begun) / width)
		all, err := r.sum(ctx, "sluice_backend_state", `state="up"`)
		if err != nil || i >= bins {
			continue
		}
		one, err := r.sum(ctx, "sluice_backend_state", `state="up"`, `backend="`+a.addr+`"`)
		if err == nil {
			looks[i]++
			sums[0][i] += all
			sums[1][i] += one
		}
	}
	for i, n := range looks {
		sums[0][i] /= n
		sums[1][i] /= n
	}
	return sums
}
