package plain

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/l7/gate"
	"sluice/pkg/backend"
)

// Session is a client's connection, as far as its requests have something in
// common. It is used by one goroutine at a time, and by who evicts.
type Session struct {
	gate.Client

	// mu protects the field below: connections to backends on which somebody has
	// authenticated, by a scheme that authenticates connections. They serve
	// this client's connection and nobody else, and the requests that follow
	// there are sent on them, until either ends.
	mu    sync.Mutex
	bound []*upstream

	// Where the request in progress leads, for who shows it; nil if nowhere.
	service atomic.Pointer[gate.Service]
	backend atomic.Pointer[backend.Backend]
}

// Leads returns the names of the service and of the backend that the request in
// progress leads to, empty if it leads nowhere. It is safe for concurrent use.
func (s *Session) Leads() (service, backend string) {
	if svc := s.service.Load(); svc != nil {
		service = svc.Name()
	}
	if b := s.backend.Load(); b != nil {
		backend = b.Addr()
	}
	return service, backend
}

// bind keeps u for the requests to come. Its backend may close it; no timer of
// ours does while the client is there.
func (s *Session) bind(p *Proxy, u *upstream) {
	if !u.isQuiet() {
		u.close()
		return
	}
	s.mu.Lock()
	s.bound = append(s.bound, u)
	s.mu.Unlock()
	p.bound.add(s)
}

// look closes what is bound and has ended, or is told by all to close, and reports
// whether something is left.
func (s *Session) look(end func(*upstream) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bound = slices.DeleteFunc(s.bound, func(u *upstream) bool {
		if end(u) {
			u.close()
			return true
		}
		return false
	})
	return len(s.bound) > 0
}

// boundTo are the sessions with connections bound to them. Its methods are safe
// for concurrent use.
type boundTo struct {
	mu    sync.Mutex
	all   map[*Session]bool
	timer *time.Timer // of the next look; nil while there are none
}

func (b *boundTo) add(s *Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all = make(map[*Session]bool)
	}
	b.all[s] = true
	if b.timer == nil {
		b.timer = time.AfterFunc(sweepEvery, b.sweep)
	}
}

// each has every session look.
func (b *boundTo) each(end func(*upstream) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.all {
		if !s.look(end) {
			delete(b.all, s)
		}
	}
}

// sweep closes what has ended.
func (b *boundTo) sweep() {
	b.each(func(u *upstream) bool { return !u.isQuiet() })
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer = nil; len(b.all) > 0 {
		b.timer = time.AfterFunc(sweepEvery, b.sweep)
	}
}

// take returns the connection that is bound and leads to a service, and takes it
// out, or nil.
func (s *Session) take(service string) *upstream {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, u := range s.bound {
		if u.b.Service() == service {
			s.bound = slices.Delete(s.bound, i, i+1)
			return u
		}
	}
	return nil
}

// Close closes what is bound.
func (s *Session) Close() { s.look(func(*upstream) bool { return true }) }

// goOn begins an attempt on the connection that is bound to the client's, if
// there is one.
func (x *Exchange) goOn() *upstream {
	if !x.t.Fresh() {
		return nil
	}
	u := x.session.take(x.t.Service().Name())
	if u == nil {
		return nil
	}
	if !u.isQuiet() || x.t.PickBound(u.b, x.p.now()) != gate.Forward {
		u.close()
		return nil
	}
	x.t.Reused()
	return u
}
