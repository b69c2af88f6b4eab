package l4

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/accesslog"
	"sluice/pkg/listen"
	"sluice/pkg/pause"
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
	// Pauses knows when the process did not run, so that nobody is blamed for
	// what took long then. It may be nil. The loops of the epoll driver know that
	// themselves.
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
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 2*time.Second)
	c.ConnectDeadline = cmp.Or(c.ConnectDeadline, 5*time.Second)
	switch {
	case c.HedgeAfter == 0:
		c.HedgeAfter = 200 * time.Millisecond
	case c.HedgeAfter < 0 || c.HedgeAfter > c.ConnectDeadline:
		c.HedgeAfter = c.ConnectDeadline // by when all is over
	}
	c.HelloWait = cmp.Or(c.HelloWait, 500*time.Millisecond)
	c.FINTimeout = cmp.Or(c.FINTimeout, time.Minute)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, time.Hour)
	return c
}

// Server balances the connections of one listener, by one driver or another.
type Server interface {
	// Serve accepts and balances connections until the listener is closed, by
	// Shutdown or otherwise, and then returns nil. Connections outlive it.
	Serve() error
	// Shutdown stops accepting without losing a queued connection, waits until
	// the open ones have ended or ctx ends, and then cuts those that are left and
	// returns how many they were. Serve must be running.
	Shutdown(ctx context.Context) (cut int)
}

// Gate decides for the connections of one listener, whoever moves their bytes:
// which service they are led to, and what becomes of those to a backend that is
// taken out. Its methods are safe for concurrent use.
type Gate struct {
	// Config is what New was given, with defaults in place of zeros.
	Config

	listener *listen.Listener
	named    map[string]*Upstream
	other    *Upstream // nil: whoever asks for no known name is refused
}

// New returns the gate of ln.
func New(ln *listen.Listener, cfg Config) *Gate {
	g := &Gate{Config: cfg.withDefaults(), listener: ln, named: make(map[string]*Upstream)}
	for _, r := range cfg.Routes {
		u := newUpstream(r.Service, &g.Config)
		if r.Name == "" {
			g.other = u
		} else {
			g.named[r.Name] = u
		}
	}
	return g
}

// Listener returns whose connections they are.
func (g *Gate) Listener() *listen.Listener { return g.listener }

// Shutdown is Server.Shutdown; cut ends what is left.
func (g *Gate) Shutdown(ctx context.Context, cut func()) (left int) {
	g.listener.Drain()
	if g.listener.Wait(ctx) != nil {
		left = g.listener.Open()
	}
	cut()
	g.listener.CloseConns()
	g.all(func(u *Upstream) { u.unfollow() })
	return left
}

// all calls f for every service.
func (g *Gate) all(f func(*Upstream)) {
	for _, u := range g.named {
		f(u)
	}
	if g.other != nil {
		f(g.other)
	}
}
