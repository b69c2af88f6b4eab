package engine

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"sluice/discovery"
	"sluice/discovery/consul"
	"sluice/pkg/metricset"
)

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
	registered := make(map[string]bool)
	defer func() { t.registered.Store(&registered) }()
	for name, w := range t.watches {
		for _, m := range w.members {
			registered[m.Address] = true
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

// asks reports whether a member has a tag that is for us.
func (t *tags) asks(m discovery.Member) bool {
	return slices.ContainsFunc(m.Tags, func(tag string) bool { return strings.HasPrefix(strings.TrimSpace(tag), t.prefix) })
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
func (t *tags) linkWatches() {
	users := make(map[string][]*service) // by service in Consul
	for _, s := range t.services.wanted() {
		if p := s.wants.Load().Pool; p != nil {
			for _, name := range p.Services {
				users[name] = append(users[name], s)
			}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, w := range t.watches {
		list := users[name]
		w.users.Store(&list)
	}
}

// reportsOf tells how the watches of services in Consul are doing.
func (t *tags) reportsOf(services []string) (all []discovery.Report) {
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
