package fast

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/l7/gate"
	"sluice/l7/plain"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

// How far a server has stopped.
const (
	running      int32 = iota
	closingIdle        // connections that wait for another request are closed
	closingFresh       // and those that wait for their first one
)

const (
	// readerSize is what fasthttp reads a head into. Larger ones go past it; see
	// conn.Close.
	readerSize = 4 << 10
	// writerSize is what it writes answers into that nobody reads.
	writerSize = 512
	// maxWorkers is how many connections fasthttp serves at once: more than the
	// listener admits.
	maxWorkers = 1 << 22
	// workerIdle is how long a goroutine of fasthttp's waits for a connection to
	// serve.
	workerIdle = time.Second
)

// Config describes a Server.
type Config struct {
	plain.Config
	// Loops are where connections wait that have no request, on systems where
	// loops have sockets. They must be running, and outlive the server.
	Loops *reactor.Group
}

// Server serves the HTTP requests of one listener with fasthttp.
type Server struct {
	cfg      *plain.Config
	ln       *listen.Listener
	proxy    *plain.Proxy
	http     *fasthttp.Server
	arrivals *arrivals
	buffers  sync.Pool // of *[firstBuffer]byte
	loops    *reactor.Group

	stopped atomic.Int32

	// closing ends when the connections that are left are cut.
	closing context.Context
	cancel  context.CancelFunc

	// mu protects the fields below.
	mu    sync.Mutex
	first *conn
}

// NewServer returns a Server for ln. It starts nothing. The error names every
// route that cannot be used.
func NewServer(ln *listen.Listener, cfg Config) (*Server, error) {
	s := &Server{ln: ln, arrivals: newArrivals(ln.Addr()), loops: cfg.Loops}
	s.buffers.New = func() any { return new([firstBuffer]byte) }
	s.http = &fasthttp.Server{
		Handler:        s.handle,
		ErrorHandler:   func(*fasthttp.RequestCtx, error) {}, // Close answers
		HeaderReceived: withoutBody,
		Logger:         quietly{},
		// Deadlines are the connection's own: fasthttp's are for whole messages.
		ReadTimeout: 0, WriteTimeout: 0, IdleTimeout: 0,
		Concurrency:                  maxWorkers,
		MaxConnsPerIP:                0, // the listener counts them
		MaxRequestsPerConn:           0,
		MaxIdleWorkerDuration:        workerIdle,
		ReadBufferSize:               readerSize,
		WriteBufferSize:              writerSize,
		MaxRequestBodySize:           1, // it sees none
		StreamRequestBody:            false,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultDate:                true,
		NoDefaultContentType:         true,
		LazyRequestTime:              true,
		SecureErrorLogMessage:        true,
	}
	s.closing, s.cancel = context.WithCancel(context.Background())
	var err error
	if s.proxy, err = plain.New(cfg.Config, ln.Addr(), ln.Name()); err != nil {
		s.cancel()
		return nil, err
	}
	s.cfg = s.proxy.Config()
	return s, nil
}

// withoutBody is told of each head that fasthttp has read. It keeps it from
// reading a body or answering an expectation: those are read past it, by our
// own codec.
func withoutBody(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	h.SetContentLength(0)
	h.Del(fasthttp.HeaderExpect)
	return fasthttp.RequestConfig{}
}

// quietly is a logger for what is no news: that a client's connection broke.
type quietly struct{}

// Printf drops a line.
func (quietly) Printf(string, ...any) {}

// SetRoutes replaces all routes at once, for the requests that come from now
// on; those under way are not touched. The error names every route that cannot
// be used, and then nothing has changed.
func (s *Server) SetRoutes(routes []gate.Route) error { return s.proxy.SetRoutes(routes) }

// Serve accepts and serves connections until the listener is closed, by
// Shutdown or otherwise, and then returns nil. Connections outlive it.
func (s *Server) Serve() error {
	go func() {
		for {
			c, err := s.ln.AcceptConn()
			if err != nil {
				return // it is closed
			}
			s.greet(c)
		}
	}()
	return s.http.Serve(s.arrivals)
}

// greet gets a connection ready.
func (s *Server) greet(c *listen.Conn) {
	if !s.ln.SpeaksTLS() && !s.ln.ExpectsHeader(c.Client().Addr()) {
		s.enter(c, &listen.Guest{Conn: c, Client: c.Client()})
		return
	}
	go func() {
		if g, err := c.Handshake(s.closing); err == nil {
			s.enter(c, g)
		}
	}()
}

// enter hands a connection that is ready to fasthttp.
func (s *Server) enter(tcp *listen.Conn, g *listen.Guest) {
	c := &conn{s: s, nc: g.Conn, tcp: tcp, fd: -1, since: time.Now()}
	if rc, err := tcp.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) { c.fd = int(fd) })
	}
	a := gate.Arrival{Client: g.Client, TLS: g.TLS, ProxyTLS: g.ProxyTLS}
	if s.ln.ExpectsHeader(tcp.Client().Addr()) {
		a.Local = g.Local
	}
	c.session.Client = s.proxy.Client(a)
	if len(g.Read) > 0 {
		c.in = append(make([]byte, 0, max(firstBuffer, 2*len(g.Read))), g.Read...)
		c.w = len(c.in)
		c.in = c.in[:cap(c.in)]
	}
	c.idleBy = time.Now().Add(s.cfg.HeadTimeout)
	s.mu.Lock()
	if c.next = s.first; c.next != nil {
		c.next.prev = c
	}
	s.first = c
	s.mu.Unlock()
	s.arrivals.put(c)
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.prev == nil {
		s.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
}

// stopping reports whether connections that wait for a request are closed;
// served says that it is not their first one.
func (s *Server) stopping(served bool) bool {
	how := s.stopped.Load()
	return how == closingFresh || how == closingIdle && served
}

// Drain makes every response from now on the last one on its connection.
// Connections are still accepted. It does not block.
func (s *Server) Drain() { s.proxy.Drain() }

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
		s.cancel()
		left := s.conns()
		for _, c := range left {
			if c.condemn() {
				cut++
			}
		}
		s.proxy.Cut(gate.Draining)
		for _, c := range left {
			c.end()
		}
		_ = s.ln.Wait(context.Background())
	}
	s.cancel()
	_ = s.arrivals.Close()
	s.proxy.Close()
	return cut
}

// stopIdle ends the connections that wait for a request, now and as they come
// to.
func (s *Server) stopIdle(how int32) {
	s.stopped.Store(how)
	for _, c := range s.conns() {
		c.stopIdle()
	}
}

func (s *Server) conns() (all []*conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := s.first; c != nil; c = c.next {
		all = append(all, c)
	}
	return all
}
