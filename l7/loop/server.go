package loop

import (
	"context"
	"sync/atomic"

	"sluice/l7/gate"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

// Config describes an HTTP listener whose connections live in event loops.
type Config struct {
	gate.Config
	// Loops are where the connections live. They must be running, and outlive
	// the server.
	Loops *reactor.Group
	// IdleRoom is how many connections to backends a loop may have beyond one
	// for each of its clients. Idle ones are closed for it. 0 means any number.
	IdleRoom int
	// HTTP2 says how HTTP/2 is spoken.
	HTTP2 HTTP2
}

// How far a server has stopped.
const (
	running      int32 = iota
	closingIdle        // connections that wait for another request are closed
	closingFresh       // and those that wait for their first one
)

// Server serves the HTTP requests of one listener.
type Server struct {
	cfg    *gate.Config // with defaults
	gate   *gate.Gate
	ln     *listen.Listener
	loops  *reactor.Group
	shards []*shard // one a loop
	room   int      // see Config.IdleRoom
	http2  HTTP2
	faults *faults // of connections of HTTP/2

	leaving atomic.Bool // clients of HTTP/2 are asked to come again elsewhere

	stopped atomic.Int32

	// closing ends when the connections that are left are cut; look-ups of
	// names end with it.
	closing context.Context
	cut     context.CancelFunc
}

// New returns a Server for ln. It starts nothing. The error names every route
// that cannot be used.
func New(ln *listen.Listener, cfg Config) (*Server, error) {
	s := &Server{ln: ln, loops: cfg.Loops, room: cfg.IdleRoom, http2: cfg.HTTP2}
	s.closing, s.cut = context.WithCancel(context.Background())
	for _, l := range cfg.Loops.Loops() {
		s.shards = append(s.shards, newShard(s, l))
	}
	cfg.OnService = s.lead
	g, err := gate.New(ln.Name(), ln.Addr(), cfg.Config)
	if err != nil {
		return nil, err
	}
	s.gate, s.cfg = g, g.Config()
	s.faults = newFaults(ln.Name(), s.cfg.Metrics, s.cfg.Logger)
	return s, nil
}

// SetRoutes replaces all routes at once, for the requests that come from now
// on; those under way are not touched. The error names every route that cannot
// be used, and then nothing has changed. Without any routes every request is
// answered with 404.
func (s *Server) SetRoutes(routes []gate.Route) error { return s.gate.SetRoutes(routes) }

// Foresee says what would become of a request; see gate.Gate.
func (s *Server) Foresee(p gate.Probe) gate.Foresight { return s.gate.Foresee(p) }

// Serve accepts and serves connections until the listener is closed, by
// Shutdown or otherwise, and then returns nil. Connections outlive it.
func (s *Server) Serve() error { return s.ln.Serve(s.closing, s.loops, s.start) }

// Drain makes every response from now on the last one on its connection.
// Connections are still accepted. It does not block.
func (s *Server) Drain() {
	s.gate.Drain()
	s.leaving.Store(true)
	for _, sh := range s.shards {
		sh.l.Post(sh.leaveVisits)
	}
}

// Shutdown stops accepting without losing a queued connection, closes the
// connections that have no request at once, and waits until the others, those
// that switched protocols among them, have ended or ctx ends. Then it cuts
// those that are left and returns how many they were. Serve must be running.
func (s *Server) Shutdown(ctx context.Context) (cut int) {
	s.Drain()
	s.stopIdle(closingIdle)
	s.ln.Drain()
	s.stopIdle(closingFresh)
	if s.ln.Wait(ctx) != nil {
		s.cut()
		s.each(func(sh *shard) { cut += sh.cut() })
	}
	s.cut()
	s.each((*shard).close)
	s.gate.Close()
	return cut
}

// stopIdle ends the connections that wait for a request, now and as they come
// to.
func (s *Server) stopIdle(how int32) {
	s.stopped.Store(how)
	s.each(func(sh *shard) { sh.stopIdle(how) })
}

// each runs f for one shard after the other, in its loop.
func (s *Server) each(f func(*shard)) {
	for _, sh := range s.shards {
		done := make(chan struct{})
		if sh.l.Post(func() { defer close(done); f(sh) }) {
			<-done
		}
	}
}

// stopIdle ends the connections that wait for a request.
func (sh *shard) stopIdle(how int32) {
	for c := sh.first; c != nil; c = c.next {
		c.stopIdle(how)
	}
	sh.leaveVisits()
}

// cut ends all connections and returns how many there were.
func (sh *shard) cut() (n int) {
	for sh.first != nil {
		sh.first.cut()
		n++
	}
	sh.cutVisits()
	return n
}

// close closes the idle connections to backends. No connection of a client is
// left.
func (sh *shard) close() {
	for b, p := range sh.pools {
		p.close()
		delete(sh.pools, b)
	}
	sh.closeLinks()
}
