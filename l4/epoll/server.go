package epoll

import (
	"context"
	"sync/atomic"

	"sluice/l4"
	"sluice/pkg/dial"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

// Server balances the connections of one listener in event loops.
type Server struct {
	gate   *l4.Gate
	loops  *reactor.Group
	lists  []sessions // one a loop
	dialer dial.Dialer

	evictions atomic.Uint64 // how many have begun

	// closing ends when the connections that are left are cut; dials in
	// progress end with it.
	closing context.Context
	cut     context.CancelFunc
}

var _ l4.Server = (*Server)(nil)

// New returns a Server for ln whose connections live in loops. It starts
// nothing.
func New(ln *listen.Listener, loops *reactor.Group, cfg l4.Config) *Server {
	s := &Server{gate: l4.New(ln, cfg), loops: loops, lists: make([]sessions, len(loops.Loops()))}
	s.dialer.UserTimeout = cfg.UserTimeout
	for i := range s.lists {
		s.lists[i].led = make(map[l4.Destination]*sessionChain)
	}
	s.closing, s.cut = context.WithCancel(context.Background())
	s.gate.Follow(s.evict)
	return s
}

// Serve accepts and balances connections; see l4.Server.
func (s *Server) Serve() error {
	return s.gate.Listener().Serve(s.closing, s.loops, s.welcome)
}

// Shutdown stops accepting, waits, and cuts what is left; see l4.Server.
func (s *Server) Shutdown(ctx context.Context) (cut int) {
	return s.gate.Shutdown(ctx, func() {
		s.cut()
		s.cutSessions()
	})
}

// cutSessions ends every session that is left.
func (s *Server) cutSessions() {
	for i := range s.lists {
		done := make(chan struct{})
		q := &s.lists[i]
		if s.loops.Loops()[i].Post(func() {
			defer close(done)
			for x := q.any(); x != nil; x = q.any() {
				x.end(l4.Draining)
			}
		}) {
			<-done
		}
	}
}
