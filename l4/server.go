package l4

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/balance"
	"sluice/pkg/limit"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

// Config describes a TCP service.
type Config struct {
	// Balancer picks the backends; its pool's name is the service's.
	Balancer *balance.Balancer
	// ConnectTimeout bounds one attempt to connect to a backend. 0 means 2 s.
	ConnectTimeout time.Duration
	// ConnectDeadline bounds all attempts of one connection together. 0 means
	// 5 s.
	ConnectDeadline time.Duration
	// HedgeAfter is how long a backend may take to answer a connect before a
	// second one is tried beside it; the first to answer wins. 0 means 200 ms,
	// negative never.
	HedgeAfter time.Duration
	// RetryBudget is asked before a connection tries a second or third
	// backend. nil means a budget of a fifth, and at least 10 a second.
	RetryBudget *limit.Budget
	// IdleTimeout ends a connection that moved no byte in either direction for
	// so long. 0 means an hour, negative never.
	IdleTimeout time.Duration
	// FINTimeout takes IdleTimeout's place, if it is shorter, once one side has
	// closed its direction. 0 means a minute, negative never.
	FINTimeout time.Duration
	// Loops moves the bytes: the epoll driver. nil means the copy driver, two
	// goroutines a connection.
	Loops *reactor.Group
	// ConnectionLog writes a log line for every connection when it has ended.
	ConnectionLog bool
	// Logger takes what an operator should know. It must not be nil.
	Logger *slog.Logger
	// Metrics takes the counters of the service. It must not be nil.
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
	if c.RetryBudget == nil {
		c.RetryBudget = limit.NewBudget(0.2, 10, time.Now())
	}
	if c.FINTimeout == 0 {
		c.FINTimeout = time.Minute
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = time.Hour
	}
	return c
}

// Server balances the connections of one listener over one service.
type Server struct {
	cfg     Config
	service string
	ln      *listen.Listener
	dialer  net.Dialer
	metrics *serviceMetrics
	lists   []sessionList // of the epoll driver, one a loop

	// closing ends when the connections that are left are cut; dials in
	// progress end with it.
	closing context.Context
	cut     context.CancelFunc
}

// New returns a Server for ln. It starts nothing.
func New(ln *listen.Listener, cfg Config) *Server {
	s := &Server{cfg: cfg.withDefaults(), service: cfg.Balancer.Pool().Service(), ln: ln}
	s.metrics = newServiceMetrics(cfg.Metrics, s.service)
	s.lists = newSessionLists(cfg.Loops)
	s.closing, s.cut = context.WithCancel(context.Background())
	return s
}

// Serve accepts and balances connections until the listener is closed, by
// Shutdown or otherwise, and then returns nil. Connections outlive it.
func (s *Server) Serve() error {
	if s.cfg.Loops != nil {
		return s.serveLoops()
	}
	return s.serveCopy()
}

// Shutdown stops accepting without losing a queued connection, waits until
// the open ones have ended or ctx ends, and then cuts those that are left and
// returns how many they were. Serve must be running.
func (s *Server) Shutdown(ctx context.Context) (cut int) {
	s.ln.Drain()
	if s.ln.Wait(ctx) == nil {
		s.cut()
		return 0
	}
	s.cut()
	return s.ln.CloseConns() + s.cutSessions()
}
