package gate

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/backend"
	"sluice/pkg/headeredit"
	"sluice/pkg/limit"
)

// PolicyConfig describes a Policy.
type PolicyConfig struct {
	// Pool is the service's.
	Pool *backend.Pool
	// Sticky says how the requests of a client are kept together.
	Sticky Sticky
	// MaxRequests bounds the requests in flight; those beyond are answered with
	// 503. 0 means no bound.
	MaxRequests int
	// Rate bounds how many requests a second each client may make of the
	// service, whatever the listener; those beyond are answered with 429.
	Rate ClientRate
	// Adaptive makes the bound follow what the service can take, up to
	// MaxRequests or, if that is 0, 10,000.
	Adaptive bool
	// MinRequests is the least that such a bound may be. 0 means 10.
	MinRequests int
	// QueueTimeout is how long a request may wait for a backend with a slot
	// free, see backend.Pool.Limit. 0 means 5 s.
	QueueTimeout time.Duration
	// RequestHeaders and ResponseHeaders are made after those of the listener
	// and before those of the route.
	RequestHeaders, ResponseHeaders headeredit.Edits
	// EarlyHints goes before that of the listener.
	EarlyHints Toggle
	// Waits are what the service sets of the listener's limits.
	Waits Waits
	// Reuse says which requests may use idle connections to backends, and
	// KeepIdle how long those are kept. 0 means 4 s, negative that none is.
	Reuse    Reuse
	KeepIdle time.Duration
	// Drain is how long what stays, upgraded connections and responses that go
	// on, may stay on a backend that was deregistered or put into maintenance; 0
	// or less means for ever. CloseOnUnhealthy ends it when a backend's checks
	// have failed.
	Drain            time.Duration
	CloseOnUnhealthy bool
	// Breaker describes a circuit breaker that each backend gets. Nil means
	// that it gets none.
	Breaker *limit.BreakerConfig
	// TLS says how TLS is spoken with backends that want it. Its ServerName, if
	// empty, is the host of their address. Nil is the system's authorities.
	TLS *tls.Config
	// Logger takes what an operator should know. It must not be nil.
	Logger *slog.Logger
	// Metrics takes the service's gauges and counters. It must not be nil.
	Metrics *metrics.Set
}

// ClientRate bounds how many requests a second a client may make. The zero value
// is no bound.
type ClientRate struct {
	PerSecond, Burst float64 // see limit.NewRate
	Header           string  // lower case, that tells clients apart; empty: by address
}

// Policy is what is decided about the requests for one service, whatever the
// listener that they come by. What it says can be replaced while requests are
// under way: each of them ends by what it said when the request was judged.
type Policy struct {
	pool    *backend.Pool
	logger  *slog.Logger
	metrics *metrics.Set
	fronts  Fronts
	current atomic.Pointer[rules]

	// mu is held by Set. It protects the fields below.
	mu     sync.Mutex
	cfg    PolicyConfig
	closed atomic.Bool // nothing is written any more
}

// rules are what a Policy says at one moment. They never change.
type rules struct {
	sticky      Sticky
	pins        *pins              // nil without cookies
	concurrency *limit.Concurrency // nil without a bound
	breakers    *breakers          // nil without any
	rate        *limit.Rate        // nil without a bound
	rateHeader  string
	queue       time.Duration
	reuse       Reuse
	keep        time.Duration // of idle connections; negative: not at all
	waits       Waits
	hints       Toggle
	tls         *tls.Config
	terms       backend.Terms

	requestHeaders, responseHeaders headeredit.Edits
}

// plainRules are those of a service without a Policy.
func plainRules() *rules { return &rules{queue: defaultQueueTimeout, keep: defaultKeep} }

const (
	defaultMostRequests  = 10_000
	defaultLeastRequests = 10
	// overloadRetry is what clients are asked to wait if there are too many.
	overloadRetry = time.Second
)

// NewPolicy returns the policy of a service.
func NewPolicy(cfg PolicyConfig) (*Policy, error) {
	p := &Policy{pool: cfg.Pool, logger: cfg.Logger, metrics: cfg.Metrics}
	if err := p.Set(cfg); err != nil {
		return nil, err
	}
	cfg.Metrics.RegisterMetricsWriter(p.write)
	return p, nil
}

// Check returns what is wrong with c, or nil.
func (c *PolicyConfig) Check() error {
	if err := c.Sticky.validate(); err != nil {
		return err
	}
	if c.MaxRequests < 0 || c.MinRequests < 0 {
		return errors.New("a bound on requests is below 0")
	}
	if c.Rate.PerSecond < 0 || c.Rate.Burst < 0 {
		return errors.New("a rate of requests is below 0")
	}
	return nil
}

// Set replaces what the policy says, for the requests that come from now on. If
// cfg cannot be used, nothing has changed. Pool, Logger and Metrics must be those
// of before. Requests that are in flight count still where the limit stays of its
// kind, and breakers of which nothing changes keep their states.
func (p *Policy) Set(cfg PolicyConfig) error {
	if err := cfg.Check(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old, before := p.current.Load(), p.cfg
	if old == nil {
		old = &rules{}
	}
	r := &rules{
		sticky: cfg.Sticky, queue: cfg.QueueTimeout, waits: cfg.Waits, hints: cfg.EarlyHints, tls: cfg.TLS,
		reuse: cfg.Reuse, keep: min(cmp.Or(cfg.KeepIdle, defaultKeep), Forever), terms: backend.Terms{Drain: cfg.Drain, OnFailure: cfg.CloseOnUnhealthy},
		requestHeaders: cfg.RequestHeaders, responseHeaders: cfg.ResponseHeaders,
		concurrency: old.concurrency, pins: old.pins, breakers: old.breakers, rateHeader: cfg.Rate.Header,
	}
	if r.queue <= 0 {
		r.queue = defaultQueueTimeout
	}
	if !reflect.DeepEqual(before.Sticky, cfg.Sticky) {
		old.pins.end()
		r.pins = nil
		if cfg.Sticky.By == StickyCookie {
			r.pins = newPins(p.pool.Service(), cfg.Sticky.Secret, cfg.Sticky.Cookie)
			r.pins.unfollow = p.pool.OnChange(r.pins.follow)
		}
	}
	if !reflect.DeepEqual(before.Breaker, cfg.Breaker) {
		old.breakers.end()
		r.breakers = nil
		if cfg.Breaker != nil {
			r.breakers = &breakers{cfg: *cfg.Breaker, service: p.pool.Service(), logger: p.logger}
			r.breakers.unfollow = p.pool.OnChange(r.breakers.follow)
		}
	}
	r.bound(before, cfg)
	switch rate := cfg.Rate; {
	case rate.PerSecond == 0:
	case old.rate != nil && before.Rate.Header == rate.Header:
		r.rate = old.rate
		r.rate.Set(rate.PerSecond, rate.Burst)
	default:
		r.rate = limit.NewRate(rate.PerSecond, rate.Burst)
	}
	p.cfg = cfg
	p.current.Store(r)
	return nil
}

// bound sets the limit of requests in flight, of which the one before is there
// still.
func (r *rules) bound(before, cfg PolicyConfig) {
	least, most := cfg.MinRequests, cfg.MaxRequests
	switch {
	case cfg.Adaptive && r.concurrency != nil && before.Adaptive && before.MinRequests == least && before.MaxRequests == most:
	case cfg.Adaptive:
		least, most = cmp.Or(least, defaultLeastRequests), cmp.Or(most, defaultMostRequests)
		r.concurrency = limit.NewAdaptive(min(least, most), most, time.Now())
	case most == 0:
		r.concurrency = nil
	case r.concurrency != nil && !before.Adaptive:
		r.concurrency.SetLimit(most)
	default:
		r.concurrency = limit.NewConcurrency(most)
	}
}

// Close ends the metrics that follow the pool's members. Requests that are
// still under way may go on.
func (p *Policy) Close() { p.closed.Store(true) }

// ResetBreaker closes the circuit breaker of b, and forgets how requests to it
// fared. It does nothing if there is none.
func (p *Policy) ResetBreaker(b *backend.Backend) {
	if bs := p.current.Load().breakers; bs != nil {
		bs.reset(b)
	}
}

// Bounds returns how many requests may be in flight, and how many a second each
// client may make, as things are now; 0 for no bound.
func (p *Policy) Bounds() (requests, inFlight int, clientRate float64) {
	r := p.current.Load()
	if r.concurrency != nil {
		requests, inFlight = r.concurrency.Limit(), r.concurrency.InFlight()
	}
	if r.rate != nil {
		clientRate = r.rate.PerSecond()
	}
	return requests, inFlight, clientRate
}

// write writes the metrics of what bounds requests, as it is now.
func (p *Policy) write(w io.Writer) {
	if p.closed.Load() {
		return
	}
	r := p.current.Load()
	if r.concurrency != nil {
		fmt.Fprintf(w, "sluice_l7_requests_limit{service=%q} %d\n", p.pool.Service(), r.concurrency.Limit())
	}
	if r.rate != nil {
		fmt.Fprintf(w, "sluice_l7_service_client_rate{service=%q} %g\n", p.pool.Service(), r.rate.PerSecond())
	}
	if r.breakers != nil {
		r.breakers.write(w)
	}
}
