package engine

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/discovery/consul"
	"sluice/discovery/fabio"
	"sluice/pkg/config"
	"sluice/pkg/metricset"
)

// retryListen is how long a TCP listener that cannot be opened waits for the
// next attempt.
const retryListen = time.Second

// tags follows what instances in Consul ask for by their tags. One goroutine
// makes a table of what the watches of the catalogue and of each service in it
// have last said, and has the engine merge it with the rest.
type tags struct {
	prefix   string
	services *services
	apply    func(*fabio.Table) ([]fabio.Problem, map[string]error)
	catalog  *consul.Catalog
	logger   *slog.Logger

	changed    chan struct{} // capacity 1: something was said
	known      chan struct{} // closed when a complete table has been applied
	stop       context.CancelFunc
	wg         sync.WaitGroup
	registered atomic.Pointer[map[string]bool] // addresses of the services that are watched, whatever their tags

	// mu protects the fields below, which the watches write.
	mu      sync.Mutex
	listed  []string  // by the catalogue; nil until it has answered
	since   time.Time // when it first did
	watches map[string]*tagWatch

	// What follows belongs to the deciding goroutine.
	reader   *fabio.Reader
	problems map[fabio.Problem]bool // of the table that was applied
	refused  map[string]string      // listeners and services that could not be had, and why
	skipped  *metrics.Gauge
}

// newTags makes what follows the tags in c, and hands tables to apply. It starts
// nothing.
func newTags(c *config.Config, services *services, sets *metricset.Sets, apply func(*fabio.Table) ([]fabio.Problem, map[string]error), logger *slog.Logger) *tags {
	env := make(map[string]string)
	if c.ConsulDatacenter != "" {
		env["DC"] = c.ConsulDatacenter
	}
	t := &tags{
		prefix: c.ConsulTags, services: services, apply: apply, logger: logger,
		catalog:  services.registry.Catalog(c.ConsulTags),
		reader:   fabio.NewReader(c.ConsulTags, env),
		changed:  make(chan struct{}, 1),
		known:    make(chan struct{}),
		watches:  make(map[string]*tagWatch),
		problems: make(map[fabio.Problem]bool),
		skipped:  sets.Main.NewGauge("sluice_consul_tags_skipped", nil),
	}
	services.tagged = t.reportsOf
	services.isThere = func(address string) bool {
		all := t.registered.Load()
		return all != nil && (*all)[address]
	}
	return t
}

// start begins to follow. It does nothing on nil, as when there is no
// --consul-tags.
func (t *tags) start() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.stop = cancel
	t.wg.Go(func() {
		_ = t.catalog.Watch(ctx, func(names []string) { // its error is ctx's
			t.mu.Lock()
			t.listed = append([]string{}, names...)
			if t.since.IsZero() {
				t.since = time.Now()
			}
			t.mu.Unlock()
			t.notify()
		})
	})
	t.wg.Go(func() { t.run(ctx) })
}

// close ends all that start began, and leaves everything as it is.
func (t *tags) close() {
	if t == nil {
		return
	}
	t.stop()
	t.wg.Wait()
	for _, w := range t.watches {
		w.cancel()
	}
	for _, w := range t.watches {
		<-w.done
	}
}

func (t *tags) notify() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// run decides, each time something was said or a listener is to be tried
// again.
func (t *tags) run(ctx context.Context) {
	retry := time.NewTicker(retryListen)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.changed:
		case <-retry.C:
			if len(t.refused) == 0 {
				continue
			}
		}
		members, listed := t.gather()
		if !listed {
			continue
		}
		// Whoever is known is served, whoever else is not.
		began := time.Now()
		table := t.reader.Build(members)
		problems, refused := t.apply(&table)
		t.tell(problems)
		t.tellRefused(refused)
		t.skipped.Set(float64(len(t.problems) + len(t.refused)))
		t.linkWatches()
		if names, _ := t.missing(); len(names) == 0 && !t.isKnown() {
			close(t.known)
		}
		// Many changes at once, as at the start, are one table.
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(2*time.Since(began), time.Second)):
		}
	}
}

// missing returns the names of the services that are listed and not known yet,
// in order, and since when the catalogue is known; zero if it is not.
func (t *tags) missing() (names []string, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, w := range t.watches {
		if !w.known {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, t.since
}

// tell logs each problem once.
func (t *tags) tell(all []fabio.Problem) {
	problems := make(map[fabio.Problem]bool)
	for _, p := range all {
		problems[p] = true
		if t.problems[p] {
			continue
		}
		msg := "skipped a tag"
		if p.Used {
			msg = "ignored a part of a tag"
		}
		t.logger.Warn(msg, "service", p.Service, "id", p.ID, "tag", p.Tag, "reason", p.Reason)
	}
	t.problems = problems
}

// tellRefused logs once what could not be had.
func (t *tags) tellRefused(all map[string]error) {
	refused := make(map[string]string)
	for what, err := range all {
		refused[what] = err.Error()
		switch addr, isListener := strings.CutPrefix(what, "l4 "); {
		case t.refused[what] == err.Error():
		case isListener:
			t.logger.Error("cannot open a TCP listener that tags ask for; trying again", "addr", addr, "err", err)
		default:
			t.logger.Error("cannot make a service that tags ask for", "service", what, "err", err)
		}
	}
	t.refused = refused
}

// isKnown reports whether a complete table has been applied.
func (t *tags) isKnown() bool {
	select {
	case <-t.known:
		return true
	default:
		return false
	}
}

// awaitFirst waits until a complete table has been applied, at most until
// limit, and says what is missing.
func (t *tags) awaitFirst(limit time.Time) (missing []string) {
	if t == nil {
		return nil
	}
	select {
	case <-t.known:
	case <-time.After(time.Until(limit)):
	}
	waiting, late := t.unknown()
	return append(waiting, late...)
}

// unknown says what is not known yet: what readiness waits for, and what it
// waits for no longer.
func (t *tags) unknown() (waiting, late []string) {
	if t == nil {
		return nil, nil
	}
	names, since := t.missing()
	switch {
	case since.IsZero():
		return []string{"the services with tags " + t.prefix}, nil
	case t.isKnown():
		return nil, names
	case len(names) == 0:
		return []string{"the services with tags " + t.prefix}, nil // a moment later they are
	case time.Since(since) >= straggleAfter && t.served():
		return nil, names
	}
	return names, nil
}

// served reports whether any of the services is known.
func (t *tags) served() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.watches {
		if w.known {
			return true
		}
	}
	return false
}

// troubles returns what is wrong with the catalogue, in words.
func (t *tags) troubles() (all []string) {
	if t == nil {
		return nil
	}
	for _, r := range t.catalog.Reports() {
		if r.Trouble != "" {
			all = append(all, fmt.Sprintf("%s: %s, since %s", r.Source, r.Trouble, r.Since.UTC().Format(time.RFC3339)))
		}
	}
	return all
}
