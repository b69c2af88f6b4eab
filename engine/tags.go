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

	"sluice/discovery"
	"sluice/discovery/consul"
	"sluice/discovery/fabio"
	"sluice/pkg/config"
	"sluice/pkg/metricset"
)

// retryListen is how long a TCP listener that cannot be opened waits for the
// next attempt.
const retryListen = time.Second

// tags makes the pools, routes and listeners that instances in Consul ask for
// by their tags, and takes them away again. One goroutine decides, from what
// the watches of the catalogue and of each service in it have last said; what
// the table leaves as it was is not touched.
type tags struct {
	config   *config.Config
	services *services
	fronts   *fronts
	catalog  *consul.Catalog
	sets     *metricset.Sets
	logger   *slog.Logger

	changed chan struct{} // capacity 1: something was said
	known   chan struct{} // closed when a complete table has been applied
	stop    context.CancelFunc
	wg      sync.WaitGroup

	// mu protects the fields below, which the watches write.
	mu      sync.Mutex
	listed  []string  // by the catalogue; nil until it has answered
	since   time.Time // when it first did
	watches map[string]*tagWatch

	// What follows belongs to the deciding goroutine.
	reader     *fabio.Reader
	pools      map[string]*service     // by name in the table
	shown      map[string]fabio.Pool   // as applied, by name in the table
	routes     []fabio.Route           // as applied
	applied    bool                    // routes have been
	listeners  map[string]*tagListener // by address
	problems   map[fabio.Problem]bool  // of the table that was applied
	registered map[string]bool         // addresses of the services that are watched, whatever their tags
	refused    map[string]string       // listeners that could not be opened, and why
	departed   []departed
	skipped    *metrics.Gauge
}

// tagWatch follows one service that the catalogue lists.
type tagWatch struct {
	source  *consul.Service
	metrics *metricset.Shared
	cancel  context.CancelFunc
	done    chan struct{} // closed when it has ended

	// Below tags.mu:
	known   bool
	members []discovery.Member

	users atomic.Pointer[[]*service] // which hold its members
}

// newTags makes what follows the tags in c. It starts nothing.
func newTags(c *config.Config, services *services, fronts *fronts, sets *metricset.Sets, logger *slog.Logger) *tags {
	env := make(map[string]string)
	if c.ConsulDatacenter != "" {
		env["DC"] = c.ConsulDatacenter
	}
	t := &tags{
		config: c, services: services, fronts: fronts, sets: sets, logger: logger,
		catalog:   services.registry.Catalog(c.ConsulTags),
		reader:    fabio.NewReader(c.ConsulTags, env),
		changed:   make(chan struct{}, 1),
		known:     make(chan struct{}),
		watches:   make(map[string]*tagWatch),
		pools:     make(map[string]*service),
		shown:     make(map[string]fabio.Pool),
		listeners: make(map[string]*tagListener),
		problems:  make(map[fabio.Problem]bool),
		refused:   make(map[string]string),
		skipped:   sets.Main.NewGauge("sluice_consul_tags_skipped", nil),
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
			t.bury()
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
		t.apply(t.reader.Build(members))
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

// gather starts and ends watches as the catalogue says, and returns the
// members of each service that is known. A service that the catalogue no longer
// lists is watched until no member of it asks for anything, so that losing them
// all is judged in one place. It reports false until the catalogue has answered.
func (t *tags) gather() (members map[string][]discovery.Member, listed bool) {
	gone := make(map[string]*tagWatch)
	defer func() {
		for _, w := range gone {
			w.cancel()
			<-w.done
			w.metrics.Leave()
		}
	}()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listed == nil {
		return nil, false
	}
	for _, name := range t.listed {
		if t.watches[name] == nil {
			t.watches[name] = t.watch(name)
		}
	}
	members = make(map[string][]discovery.Member)
	t.registered = make(map[string]bool)
	for name, w := range t.watches {
		for _, m := range w.members {
			t.registered[m.Address] = true
		}
		switch {
		case !w.known:
		case slices.ContainsFunc(w.members, t.asks):
			members[name] = w.members
		case !slices.Contains(t.listed, name):
			delete(t.watches, name)
			gone[name] = w // ended once mu is free, which it may be waiting for
		}
	}
	return members, true
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

// asks reports whether a member has a tag that is for us.
func (t *tags) asks(m discovery.Member) bool {
	return slices.ContainsFunc(m.Tags, func(tag string) bool { return strings.HasPrefix(strings.TrimSpace(tag), t.config.ConsulTags) })
}

// watch follows a service; t.mu is held.
func (t *tags) watch(name string) *tagWatch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &tagWatch{metrics: t.services.joinConsul(name), cancel: cancel, done: make(chan struct{})}
	w.users.Store(&[]*service{})
	w.source = t.services.registry.Service(consul.Query{Service: name, Up: w.up, Traffic: w.traffic, Metrics: w.metrics.Set})
	go func() {
		defer close(w.done)
		_ = w.source.Watch(ctx, func(members []discovery.Member) { // its error is ctx's
			t.mu.Lock()
			w.known, w.members = true, members
			t.mu.Unlock()
			t.notify()
		})
	}()
	return w
}

// up reports whether a member of that address passes sluice's own check.
func (w *tagWatch) up(address string) bool {
	return slices.ContainsFunc(*w.users.Load(), func(s *service) bool { return s.up(address) })
}

// traffic returns a number that changes while one of the services that hold
// its members has traffic.
func (w *tagWatch) traffic() (n uint64) {
	for _, s := range *w.users.Load() {
		n += s.traffic()
	}
	return n
}

// linkWatches tells each watch which services hold its members.
func (t *tags) linkWatches(table *fabio.Table) {
	holders := make(map[string][]*service) // by pool
	for _, l := range table.Listeners {
		if open := t.listeners[l.Addr]; open != nil {
			holders[l.Pool] = append(holders[l.Pool], open.service)
		}
	}
	users := make(map[string][]*service) // by service in Consul
	for _, p := range table.Pools {
		all := holders[p.Name]
		if s := t.pools[p.Name]; s != nil {
			all = append(all, s)
		}
		for _, name := range p.Services {
			users[name] = append(users[name], all...)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, w := range t.watches {
		list := users[name]
		w.users.Store(&list)
	}
}

// reportsOf returns what tells how the watches of services in Consul are
// doing.
func (t *tags) reportsOf(services []string) func() []discovery.Report {
	return func() (all []discovery.Report) {
		t.mu.Lock()
		var sources []*consul.Service
		for _, name := range services {
			if w := t.watches[name]; w != nil {
				sources = append(sources, w.source)
			}
		}
		t.mu.Unlock()
		for _, s := range sources {
			all = append(all, s.Reports()...)
		}
		return all
	}
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
		return []string{"the services with tags " + t.config.ConsulTags}, nil
	case t.isKnown():
		return nil, names
	case len(names) == 0:
		return []string{"the services with tags " + t.config.ConsulTags}, nil // a moment later they are
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

// fed is the source of a service whose members somebody else sets.
type fed struct{ reports func() []discovery.Report }

// Watch waits for ctx.
func (f fed) Watch(ctx context.Context, _ func([]discovery.Member)) error {
	<-ctx.Done()
	return ctx.Err()
}

// Reports tells what the sources behind it do.
func (f fed) Reports() []discovery.Report { return f.reports() }
