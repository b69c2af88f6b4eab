package plain

import (
	"slices"
	"sync"

	"sluice/l7/gate"
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
}

// bind keeps u for the requests to come. Its backend may close it; no timer of
// ours does while the client is there.
func (s *Session) bind(u *upstream) {
	if !u.isQuiet() {
		u.close()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bound = append(s.bound, u)
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
func (s *Session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.bound {
		u.close()
	}
	s.bound = nil
}

// goOn begins an attempt on the connection that is bound to the client's, if
// there is one.
func (x *Exchange) goOn() *upstream {
	if len(x.session.bound) == 0 || !x.t.Fresh() {
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
