package l4

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/accesslog"
	"sluice/pkg/listen"
	"sluice/pkg/pause"
	"sluice/pkg/reactor"
)

// Config describes a TCP listener's way to its backends.
type Config struct {
	// Routes are the services that connections are led to. At least one is
	// needed, and each name may come once.
	Routes []Route
	// ConnectTimeout bounds one attempt to connect to a backend. 0 means 2 s.
	ConnectTimeout time.Duration
	// ConnectDeadline bounds all attempts of one connection together. 0 means
	// 5 s.
	ConnectDeadline time.Duration
	// HedgeAfter is how long a backend may take to answer a connect before a
	// second one is tried beside it; the first to answer wins. 0 means 200 ms,
	// negative never.
	HedgeAfter time.Duration
	// IdleTimeout ends a connection that moved no byte in either direction for
	// so long. 0 means an hour, negative never.
	IdleTimeout time.Duration
	// FINTimeout takes IdleTimeout's place, if it is shorter, once one side has
	// closed its direction. 0 means a minute, negative never.
	FINTimeout time.Duration
	// UserTimeout is TCP's user timeout (RFC 5482) on both sides: how long what
	// was sent may go without an acknowledgement, or a window stay closed. 0
	// means the system's own limits.
	UserTimeout time.Duration
	// HelloWait is how long a client may say nothing, where services are told
	// apart by the name in a ClientHello, before it is led to the one for all
	// others. 0 means 500 ms, negative as long as a handshake may take.
	HelloWait time.Duration
	// Loops moves the bytes: the epoll driver. nil means the copy driver, two
	// goroutines a connection, which speaks no TLS.
	Loops *reactor.Group
	// Pauses knows when the process did not run, so that nobody is blamed for
	// what took long then. It may be nil.
	Pauses *pause.Watch
	// AccessLog takes a record of every connection when it has ended. Nil means
	// that nobody does.
	AccessLog *accesslog.Log
	// Logger takes what an operator should know. It must not be nil.
	Logger *slog.Logger
	// Metrics takes the counters of the services. It must not be nil.
	Metrics *metrics.Set
}

func (c Config) withDefaults() Config {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 2 * time.Second
	}
	if c.ConnectDeadline == 0 {
		c.ConnectDeadline = 5 * time.Second
	}
	switch {
	case c.HedgeAfter == 0:
		c.HedgeAfter = 200 * time.Millisecond
	case c.HedgeAfter < 0 || c.HedgeAfter > c.ConnectDeadline:
		c.HedgeAfter = c.ConnectDeadline // by when all is over
	}
	if c.HelloWait == 0 {
		c.HelloWait = 500 * time.Millisecond
	}
	if c.FINTimeout == 0 {
		c.FINTimeout = time.Minute
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = time.Hour
	}
	return c
}

// Server balances the connections of one listener.
type Server struct {
	cfg    Config
	routes routes
	ln     *listen.Listener
	dialer net.Dialer
	lists  []sessionList // of the epoll driver, one a loop
	log    *slog.Logger

	// closing ends when the connections that are left are cut; dials in
	// progress end with it.
	closing context.Context
	cut     context.CancelFunc

	// mu protects the fields below.
	mu      sync.Mutex
	relayed map[destination]map[*relayed]struct{} // connections of the copy driver that have a backend
}

// New returns a Server for ln. It starts nothing.
func New(ln *listen.Listener, cfg Config) (*Server, error) {
	s := &Server{cfg: cfg.withDefaults(), ln: ln, log: cfg.Logger, relayed: make(map[destination]map[*relayed]struct{})}
	s.routes.named = make(map[string]*service)
	for _, r := range cfg.Routes {
		x := &service{Service: r.Service.withDefaults(&s.cfg)}
		x.name = x.pool().Service()
		x.metrics = newServiceMetrics(cmp.Or(x.Metrics, cfg.Metrics), x.name)
		x.proxyOut.Store(int32(x.ProxyOut))
		switch {
		case x.TLS != nil && cfg.Loops == nil:
			return nil, fmt.Errorf("l4: the copy driver cannot speak TLS with service %q", x.name)
		case r.Name == "":
			s.routes.other = x
		default:
			s.routes.named[r.Name] = x
		}
	}
	if ln.SpeaksTLS() && cfg.Loops == nil {
		return nil, fmt.Errorf("l4: the copy driver cannot speak TLS with clients")
	}
	s.lists = newSessionLists(cfg.Loops)
	s.closing, s.cut = context.WithCancel(context.Background())
	s.routes.all(s.follow)
	return s, nil
}

// Serve accepts and balances connections until the listener is closed, by
// Shutdown or otherwise, and then returns nil. Connections outlive it.
func (s *Server) Serve() error {
	if s.cfg.Loops == nil {
		return s.serveCopy()
	}
	return s.ln.Serve(s.closing, s.cfg.Loops, s.welcome)
}

// SetProxyOut replaces ProxyOut of every service, for the connections that
// reach a backend from now on. It is safe for concurrent use.
func (s *Server) SetProxyOut(version int) {
	s.routes.all(func(svc *service) { svc.proxyOut.Store(int32(version)) })
}

// Shutdown stops accepting without losing a queued connection, waits until
// the open ones have ended or ctx ends, and then cuts those that are left and
// returns how many they were. Serve must be running.
func (s *Server) Shutdown(ctx context.Context) (cut int) {
	s.ln.Drain()
	if s.ln.Wait(ctx) != nil {
		cut = s.ln.Open()
	}
	s.cut()
	s.cutSessions()
	s.ln.CloseConns()
	s.routes.all(func(svc *service) { svc.unfollow() })
	return cut
}
