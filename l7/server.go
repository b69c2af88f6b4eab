package l7

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"sluice/pkg/balance"
	"sluice/pkg/listen"
)

// Config describes an HTTP listener.
type Config struct {
	// Routes says which service gets a request. At least one is needed.
	Routes []Route
	// TrustedProxies are the networks of peers whose X-Forwarded-*, Forwarded,
	// X-Real-IP and X-Request-ID are believed and kept; from others they are
	// replaced or removed. Empty means that nobody's are.
	TrustedProxies []netip.Prefix
	// ConnectTimeout bounds one attempt to connect to a backend. 0 means 2 s,
	// negative no limit but the system's.
	ConnectTimeout time.Duration
	// HeadTimeout bounds the time from the first byte of a request's head, or
	// from the connection's beginning, to the head's end, however slowly it
	// drips. 0 means 10 s, negative no limit.
	HeadTimeout time.Duration
	// BodyTimeout bounds how long no byte of a body may move, in a request or
	// in a response. 0 means 60 s, negative no limit.
	BodyTimeout time.Duration
	// ResponseTimeout bounds the wait for a backend's response once the whole
	// request was sent. 0 means 60 s, negative no limit.
	ResponseTimeout time.Duration
	// IdleTimeout is how long a client's connection is kept without a request.
	// 0 means 75 s, negative for ever.
	IdleTimeout time.Duration
	// MaxHeadBytes bounds the head of a request, in bytes. 0 or less means
	// 32 KiB. The head of a response may have as many, or 64 KiB if that is
	// more. Each open client connection holds a buffer of this size.
	MaxHeadBytes int
	// AccessLog writes a log line for every request when it has ended.
	AccessLog bool
	// Logger takes what an operator should know. It must not be nil.
	Logger *slog.Logger
	// Metrics takes the counters of the services. It must not be nil.
	Metrics *metrics.Set
}

// forever stands for no limit. It is short enough to be added to any time.
const forever = 100 * 365 * 24 * time.Hour

func (c Config) withDefaults() Config {
	for _, t := range []struct {
		d    *time.Duration
		zero time.Duration
	}{
		{&c.ConnectTimeout, 2 * time.Second},
		{&c.HeadTimeout, 10 * time.Second},
		{&c.BodyTimeout, 60 * time.Second},
		{&c.ResponseTimeout, 60 * time.Second},
		{&c.IdleTimeout, 75 * time.Second},
	} {
		switch {
		case *t.d == 0:
			*t.d = t.zero
		case *t.d < 0 || *t.d > forever:
			*t.d = forever
		}
	}
	if c.MaxHeadBytes <= 0 {
		c.MaxHeadBytes = 32 << 10
	}
	return c
}

// bufferSize is the size of the buffers that bodies pass through.
const bufferSize = 64 << 10

// Server serves the HTTP requests of one listener.
type Server struct {
	cfg      Config
	ln       *listen.Listener
	http     fasthttp.Server
	router   *router
	services []*service
	rejected [reasons]*metrics.Counter // of requests without a service

	exchanges sync.Pool // of *exchange
	buffers   sync.Pool // of *[]byte, bufferSize long
	readers   sync.Pool // of *bufio.Reader, for backends

	draining atomic.Bool
	stopped  atomic.Int32

	// closing ends when the connections that are left are cut; attempts to
	// connect end with it.
	closing context.Context
	cut     context.CancelFunc

	// mu protects the fields below.
	mu      sync.Mutex
	clients map[*client]struct{}
	gone    chan struct{} // closed when clients is empty, if somebody waits for that
}

// service is what the requests for one balancer share.
type service struct {
	name      string
	balancer  *balance.Balancer
	metrics   *serviceMetrics
	upstreams upstreams
}

// New returns a Server for ln. It starts nothing. The error names every route
// that cannot be used.
func New(ln *listen.Listener, cfg Config) (*Server, error) {
	s := &Server{cfg: cfg.withDefaults(), ln: ln, clients: make(map[*client]struct{})}
	s.exchanges.New = func() any { return new(exchange) }
	s.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	s.readers.New = func() any { return bufio.NewReaderSize(nil, max(s.cfg.MaxHeadBytes, bufferSize)) }
	if len(cfg.Routes) == 0 {
		return nil, errors.New("l7: there are no routes")
	}
	var err error
	if s.router, err = newRouter(cfg.Routes, s.serviceOf); err != nil {
		return nil, err
	}
	for _, svc := range s.services {
		svc.balancer.Pool().OnChange(svc.upstreams.follow)
	}
	s.rejected = newRejected(cfg.Metrics)
	s.closing, s.cut = context.WithCancel(context.Background())
	s.setUp(&s.http)
	return s, nil
}

// setUp sets every limit of fasthttp's server. It reads heads and bodies and
// keeps connections; see client for what it does not do.
func (s *Server) setUp(h *fasthttp.Server) {
	h.Handler = s.handle
	h.ErrorHandler = s.unread
	h.HeaderReceived = s.headReceived
	h.ExpectHandler = s.expect
	h.ConnState = func(c net.Conn, state fasthttp.ConnState) {
		if state == fasthttp.StateIdle {
			c.(*client).idle()
		}
	}
	h.Logger = fasthttpLogger{s.cfg.Logger}
	h.Concurrency = math.MaxInt32 // the listener has the cap
	h.ReadBufferSize = s.cfg.MaxHeadBytes
	h.WriteBufferSize = 128 // for what is dropped
	h.ReadTimeout = s.cfg.HeadTimeout
	h.IdleTimeout = s.cfg.IdleTimeout
	h.WriteTimeout = 0                 // client.send has its own
	h.MaxRequestBodySize = math.MaxInt // bodies are streamed, not kept
	h.StreamRequestBody = true
	h.DisablePreParseMultipartForm = true
	h.SecureErrorLogMessage = true // no bytes of a request in errors
	h.NoDefaultServerHeader = true
	h.NoDefaultDate = true
	h.NoDefaultContentType = true
	h.MaxIdleWorkerDuration = 10 * time.Second
}

// serviceOf returns the service of b, one for all its routes.
func (s *Server) serviceOf(b *balance.Balancer) *service {
	for _, svc := range s.services {
		if svc.balancer == b {
			return svc
		}
	}
	name := b.Pool().Service()
	svc := &service{name: name, balancer: b, metrics: newServiceMetrics(s.cfg.Metrics, name)}
	svc.upstreams.readers = &s.readers
	svc.upstreams.dialer.Timeout = s.cfg.ConnectTimeout
	s.services = append(s.services, svc)
	return svc
}

// Serve accepts and serves connections until the listener is closed, by
// Shutdown or otherwise, and then returns nil. Connections outlive it.
func (s *Server) Serve() error {
	if err := s.http.Serve(acceptor{s.ln, s}); err != nil {
		return fmt.Errorf("cannot serve on %q: %w", s.ln.Addr(), err)
	}
	return nil
}

// Drain makes every response from now on the last one on its connection.
// Connections are still accepted. It does not block.
func (s *Server) Drain() { s.draining.Store(true) }

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
		clients := s.snapshot()
		cut = s.ln.CloseConns()
		for _, c := range clients {
			c.cut()
		}
	}
	s.waitForClients()
	s.cut()
	for _, svc := range s.services {
		svc.upstreams.close()
	}
	return cut
}

// stopIdle closes the connections that wait for a request, now and as they
// come to.
func (s *Server) stopIdle(how int32) {
	s.stopped.Store(how)
	for _, c := range s.snapshot() {
		c.stopIdle()
	}
}

func (s *Server) track(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c] = struct{}{}
}

func (s *Server) forget(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	if len(s.clients) == 0 && s.gone != nil {
		close(s.gone)
		s.gone = nil
	}
}

func (s *Server) snapshot() []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	clients := make([]*client, 0, len(s.clients))
	for c := range s.clients {
		clients = append(clients, c)
	}
	return clients
}

// waitForClients waits until the goroutines of all connections, whose sockets
// are closed, have let go of them.
func (s *Server) waitForClients() {
	s.mu.Lock()
	if len(s.clients) == 0 {
		s.mu.Unlock()
		return
	}
	gone := make(chan struct{})
	s.gone = gone
	s.mu.Unlock()
	<-gone
}

// headReceived is called by fasthttp between a request's head and its body.
// Of a request that will be refused no body is waited for.
func (s *Server) headReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	expect := h.Peek(fasthttp.HeaderExpect)
	if h.ContentLength() != int(noLength) || len(expect) > 0 {
		x := s.exchanges.Get().(*exchange) // for the memory of its head
		r, _ := check(&x.req, h.Method(), h.RequestURI(), h.Protocol(), h.RawHeaders())
		refused := r != 0 || s.router.match(x.req.host, x.req.path) == nil
		waits := x.req.expect
		x.req.reset()
		s.exchanges.Put(x)
		if refused {
			h.SetContentLength(0)
		}
		switch {
		case refused || !waits:
			h.Del(fasthttp.HeaderExpect)
		case len(expect) > 0:
			h.Set(fasthttp.HeaderExpect, "100-continue") // in fasthttp's own spelling
		}
	}
	return fasthttp.RequestConfig{ReadTimeout: s.cfg.BodyTimeout}
}

// expect is called by fasthttp for a request whose client waits to be told to
// send its body.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	// If it cannot be sent, the body will not come either.
	_ = ctx.Conn().(*client).send([]byte("HTTP/1.1 100 Continue\r\n\r\n"), nil)
	return fasthttp.StatusContinue
}

// unread is called by fasthttp if a request could not be read.
func (s *Server) unread(ctx *fasthttp.RequestCtx, err error) {
	c := ctx.Conn().(*client)
	var small *fasthttp.ErrSmallBuffer
	var reason Reason
	switch {
	case errors.As(err, &small):
		reason = HeadTooLarge
	case !c.heard:
		return // a probe, or a connection opened in advance
	case errors.Is(err, os.ErrDeadlineExceeded):
		reason = RequestTimeout
	case connectionEnded(err):
		s.recordUnread(c, ClientAbort, err)
		return
	default:
		reason = BadRequest
	}
	c.linger = true
	_ = c.send(appendAnswer(nil, reason, reason.explain(), "close", true), nil) // the connection is closed in any case
	s.recordUnread(c, reason, err)
}

// fasthttpLogger takes the few lines that fasthttp logs itself.
type fasthttpLogger struct{ *slog.Logger }

// Printf logs at debug level: what matters is counted and logged by record.
func (l fasthttpLogger) Printf(format string, args ...any) {
	l.Debug(fmt.Sprintf("fasthttp: "+format, args...))
}
