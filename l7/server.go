package l7

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l7/http1"
	"sluice/pkg/accesslog"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/headeredit"
	"sluice/pkg/limit"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
	"sluice/pkg/throttle"
)

// Config describes an HTTP listener.
type Config struct {
	// Routes says which service gets a request; see SetRoutes.
	Routes []Route
	// TrustedProxies are the networks of peers whose X-Forwarded-*, Forwarded,
	// X-Real-IP and X-Request-ID are believed and kept; from others they are
	// replaced or removed. Empty means that nobody's are.
	TrustedProxies []netip.Prefix
	// Paths says how the paths of requests are read, and PathForm in which form
	// they are forwarded where a route does not say.
	Paths    PathPolicy
	PathForm PathForm
	// Instance names this process, so that a request which comes back to a
	// service that it was forwarded to is known and refused. Servers whose
	// routes may lead to each other need the same. Empty means one of its own.
	Instance string
	// Forwarded says the origin of a request in a Forwarded header (RFC 7239),
	// beside X-Forwarded-*, and the same.
	Forwarded bool
	// TraceShare is the part, 0 to 1, of the requests without a W3C trace that
	// begin one which is sampled; the others begin one which is not. 0 means
	// that none begin one, which leaves it to backends.
	TraceShare float64
	// ConnectTimeout bounds one attempt to connect to a backend. 0 means 2 s,
	// negative no limit but the system's.
	ConnectTimeout time.Duration
	// ConnectDeadline bounds all attempts of one request to connect. 0 means 5 s,
	// negative no limit.
	ConnectDeadline time.Duration
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
	// FINTimeout is how long a client that has ended its direction after its
	// request waits for the next byte of the response; then it is taken for
	// gone. 0 means 1 s, negative that its end means nothing.
	FINTimeout time.Duration
	// UpgradeIdleTimeout is how long no byte may move on a connection that has
	// switched protocols, in either direction. 0 means 1 h, negative for ever.
	UpgradeIdleTimeout time.Duration
	// UpgradeFINTimeout is the same once one side has ended its direction. 0
	// means 1 min, negative as UpgradeIdleTimeout.
	UpgradeFINTimeout time.Duration
	// TotalTimeout bounds a request and its response altogether, from the head
	// on. 0 or less means no limit.
	TotalTimeout time.Duration
	// MinBodyRate is how many bytes a second a client must send or take of a body
	// while it alone is waited for, over MinBodyRateOver. 0 means 64 over 20 s,
	// negative any number; if none moves at all BodyTimeout judges.
	MinBodyRate     int64
	MinBodyRateOver time.Duration
	// LingerTimeout is how long a client may send nothing that goes on sending
	// after its last response, and is listened to lest it loses that; LingerTime
	// bounds this altogether. 0 means 5 s and 10 min, negative no limit.
	LingerTimeout time.Duration
	LingerTime    time.Duration
	// RequireHTTPS sends clients that do not use HTTPS, with sluice or with a
	// trusted proxy, to HTTPSPort of the same host. 0 means 443.
	RequireHTTPS bool
	HTTPSPort    int
	// HSTS is for how long clients that use HTTPS are asked to use nothing else
	// for this host (RFC 6797). 0 means that they are not.
	HSTS time.Duration
	// Rate bounds the requests of each client; those beyond are answered with
	// 429. Nil means no bound. Clients are told apart by their address as
	// clientOf finds it, or by the header RateHeader, a name in lower case, if
	// that is not empty and they send it.
	Rate       *limit.Rate
	RateHeader string
	// MaxBodyBytes bounds the body of a request; what is larger is answered
	// with 413. 0 or less means no bound.
	MaxBodyBytes int64
	// MaxFields bounds the header lines of a head, of a request and of a
	// response. 0 or less means 200.
	MaxFields int
	// MaxTargetBytes bounds the target of a request, in bytes. 0 or less means
	// 16 KiB.
	MaxTargetBytes int
	// Retries is how many attempts may follow the first one of a request, where
	// another is safe. 0 means balance.MaxTries less one, see Waits; negative none.
	Retries int
	// MaxHeadBytes bounds the head of a request, in bytes. 0 or less means
	// 32 KiB. The head of a response may have as many, or 64 KiB if that is
	// more.
	MaxHeadBytes int
	// IdleRoom is how many connections to backends a loop may have beyond one
	// for each of its clients. Idle ones are closed for it. 0 means any number.
	IdleRoom int
	// Loops are where the connections live. They must be running, and outlive
	// the server.
	Loops *reactor.Group
	// AccessLog takes a record of every request when it has ended. Nil means
	// that nobody does.
	AccessLog *accesslog.Log
	// EarlyHints says whether 103 and other interim responses of backends are
	// passed on, where neither route nor service says.
	EarlyHints Toggle
	// ClientCerts says that the listener asks TLS clients for certificates, and
	// verifies them: backends are told of them, and of nobody else's word.
	ClientCerts bool
	// Auth says who is let in, where the route does not say.
	Auth *Auth
	// RequestHeaders are made on the head that a backend gets, and
	// ResponseHeaders on the one that a client gets, before those of the service
	// and of the route.
	RequestHeaders, ResponseHeaders headeredit.Edits
	// LogFields are what such a record has beside what all have.
	LogFields []LogField
	// Logger takes what an operator should know. It must not be nil.
	Logger *slog.Logger
	// Metrics takes the counters of the listener, and of services whose routes
	// have no Policy. It must not be nil.
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
		{&c.ConnectDeadline, 5 * time.Second},
		{&c.HeadTimeout, 10 * time.Second},
		{&c.BodyTimeout, 60 * time.Second},
		{&c.ResponseTimeout, 60 * time.Second},
		{&c.IdleTimeout, 75 * time.Second},
		{&c.FINTimeout, time.Second},
		{&c.UpgradeIdleTimeout, time.Hour},
		{&c.UpgradeFINTimeout, time.Minute},
		{&c.TotalTimeout, forever},
		{&c.MinBodyRateOver, 20 * time.Second},
		{&c.LingerTimeout, 5 * time.Second},
		{&c.LingerTime, 10 * time.Minute},
	} {
		switch {
		case *t.d == 0:
			*t.d = t.zero
		case *t.d < 0 || *t.d > forever:
			*t.d = forever
		}
	}
	if c.MinBodyRate == 0 {
		c.MinBodyRate = defaultMinBodyRate
	}
	if c.Instance == "" {
		c.Instance = NewInstance()
	}
	if c.MaxHeadBytes <= 0 {
		c.MaxHeadBytes = 32 << 10
	}
	if c.MaxFields <= 0 {
		c.MaxFields = http1.MaxFields
	}
	if c.MaxTargetBytes <= 0 {
		c.MaxTargetBytes = http1.MaxTarget
	}
	return c
}

// How far a server has stopped.
const (
	running      int32 = iota
	closingIdle        // connections that wait for another request are closed
	closingFresh       // and those that wait for their first one
)

// Server serves the HTTP requests of one listener.
type Server struct {
	cfg       Config
	waits     waits
	ln        *listen.Listener
	router    atomic.Pointer[router]
	redirects *metrics.Counter
	port      uint16                    // that it listens on
	hsts      string                    // the line that asks clients for HTTPS, or empty
	rejected  [reasons]*metrics.Counter // of requests without a service
	refusals  throttle.Throttle
	malformed throttle.Throttle
	shards    []*shard // one a loop

	mirrors *mirrors
	// noClientCert drops what others say of a client's certificate.
	noClientCert headeredit.Edits

	draining atomic.Bool
	stopped  atomic.Int32

	// closing ends when the connections that are left are cut; look-ups of
	// names end with it.
	closing context.Context
	cut     context.CancelFunc

	// mu protects the field below, and the order of route tables.
	mu       sync.Mutex
	services []*service // that routes lead to
}

// service is what the requests for one balancer share.
type service struct {
	name     string
	mark     string // see loops.go
	balancer *balance.Balancer
	budget   *limit.Budget
	policy   *Policy
	reuse    Reuse
	keep     time.Duration // of idle connections; negative: not at all
	metrics  *serviceMetrics
	members  []*backend.Backend        // that the shards follow; its pool's calls of follow are in order
	down     map[*backend.Backend]bool // those of them that health has found down
	unfollow func()                    // ends those calls
	unheard  func()                    // makes no more room on backends that may be crowded
	remain   func()                    // lets what is left stay on backends that leave
}

// New returns a Server for ln. It starts nothing. The error names every route
// that cannot be used.
func New(ln *listen.Listener, cfg Config) (*Server, error) {
	s := &Server{cfg: cfg.withDefaults(), ln: ln}
	s.waits = s.cfg.waits()
	s.noClientCert = dropClientCert()
	s.rejected = newRejected(cfg.Metrics)
	if a, ok := ln.Addr().(*net.TCPAddr); ok {
		s.port = uint16(a.Port)
	}
	s.redirects = cfg.Metrics.GetOrCreateCounter("sluice_l7_redirects_total")
	s.hsts = hstsLine(cfg.HSTS)
	if cfg.Rate != nil {
		cfg.Metrics.GetOrCreateGauge(fmt.Sprintf("sluice_l7_rate_untracked_total{addr=%q}", ln.Addr()), func() float64 { return float64(cfg.Rate.Overflow()) })
	}
	s.closing, s.cut = context.WithCancel(context.Background())
	s.mirrors = newMirrors(s.closing)
	for _, l := range cfg.Loops.Loops() {
		s.shards = append(s.shards, newShard(s, l))
	}
	if err := s.SetRoutes(cfg.Routes); err != nil {
		return nil, err
	}
	return s, nil
}

// SetRoutes replaces all routes at once, for the requests that come from now
// on; those under way are not touched. The error names every route that cannot
// be used, and then nothing has changed. Without any routes every request is
// answered with 404.
func (s *Server) SetRoutes(routes []Route) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := len(s.services)
	r, err := newRouter(routes, s.serviceOf)
	if err != nil {
		s.services = s.services[:known]
		return err
	}
	for _, svc := range s.services[known:] {
		if svc.policy != nil {
			svc.policy.fronts.join(s)
		}
		svc.remain = s.departures(svc).Follow(svc.balancer.Pool())
		svc.unheard = svc.balancer.Pool().OnCrowded(s.makeRoom)
		svc.unfollow = svc.balancer.Pool().OnChange(func(snapshot *backend.Snapshot) { s.follow(svc, snapshot) })
	}
	countRoutes(s.cfg.Metrics, r, s.router.Load())
	r.each(func(rt *route) {
		if svc := rt.mirror.service; svc != nil {
			rt.mirror.counts = newMirrorCounts(s.cfg.Metrics, svc.name)
		}
	})
	s.router.Store(r)
	s.dropUnused(r)
	return nil
}

// dropUnused forgets the services that no route of r leads to, and closes their
// idle connections. What is under way ends as it would; s.mu is held.
func (s *Server) dropUnused(r *router) {
	used := make(map[*service]bool)
	r.each(func(rt *route) { used[rt.service], used[rt.canary.service], used[rt.mirror.service] = true, true, true })
	s.services = slices.DeleteFunc(s.services, func(svc *service) bool {
		if used[svc] {
			return false
		}
		svc.unfollow()
		svc.remain()
		svc.unheard()
		if svc.policy != nil {
			svc.policy.fronts.part(s)
		}
		for _, sh := range s.shards {
			sh.l.Post(func() { sh.follow(svc, nil) })
		}
		return true
	})
}

// serviceOf returns the service of a route, one for all routes with the same
// balancer; s.mu is held.
func (s *Server) serviceOf(r *Route) *service {
	for _, svc := range s.services {
		if svc.balancer == r.Balancer {
			return svc
		}
	}
	name, set := r.Balancer.Pool().Service(), s.cfg.Metrics
	if r.Policy != nil {
		set = r.Policy.metrics
	}
	svc := &service{name: name, mark: loopMark(s.cfg.Instance, name), balancer: r.Balancer, budget: r.RetryBudget, policy: r.Policy, metrics: newServiceMetrics(set, name)}
	if svc.budget == nil {
		svc.budget = limit.NewBudget(0.2, 10, time.Now())
	}
	svc.reuse, svc.keep = r.Policy.connections()
	s.services = append(s.services, svc)
	return svc
}

// follow makes the shards keep connections to the members of a service, and
// to nobody else, and take requests elsewhere that wait for one that is down.
// It may be called from any goroutine.
func (s *Server) follow(svc *service, snapshot *backend.Snapshot) {
	for _, b := range svc.newlyDown(snapshot) {
		for _, sh := range s.shards {
			sh.l.Post(func() { sh.rescuer.rescue(b) })
		}
	}
	if svc.members != nil && slices.Equal(svc.members, snapshot.All) {
		return // some member's state has changed
	}
	svc.members = snapshot.All
	for _, sh := range s.shards {
		sh.l.Post(func() { sh.follow(svc, snapshot.All) })
	}
}

// Serve accepts and serves connections until the listener is closed, by
// Shutdown or otherwise, and then returns nil. Connections outlive it.
func (s *Server) Serve() error { return s.ln.Serve(s.closing, s.cfg.Loops, s.start) }

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
		s.each(func(sh *shard) { cut += sh.cut() })
	}
	s.cut()
	s.each((*shard).close)
	s.mirrors.wait()
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
