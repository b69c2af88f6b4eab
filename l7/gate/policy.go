package gate

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
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
	// Logger takes what an operator should know. It must not be nil.
	Logger *slog.Logger
	// Metrics takes the service's gauges and counters. It must not be nil.
	Metrics *metrics.Set
}

// Policy is what is decided about the requests for one service, whatever the
// listener that they come by.
type Policy struct {
	sticky      Sticky
	pins        *pins              // nil without cookies
	concurrency *limit.Concurrency // nil without a bound
	breakers    *breakers          // nil without any
	queue       time.Duration
	reuse       Reuse
	keep        time.Duration
	fronts      Fronts
	waits       Waits
	metrics     *metrics.Set
	hints       Toggle

	drain            time.Duration
	closeOnUnhealthy bool

	requestHeaders, responseHeaders headeredit.Edits
}

const (
	defaultMostRequests  = 10_000
	defaultLeastRequests = 10
	// overloadRetry is what clients are asked to wait if there are too many.
	overloadRetry = time.Second
)

// NewPolicy returns the policy of a service.
func NewPolicy(cfg PolicyConfig) (*Policy, error) {
	if err := cfg.Sticky.validate(); err != nil {
		return nil, err
	}
	if cfg.MaxRequests < 0 || cfg.MinRequests < 0 {
		return nil, errors.New("a bound on requests is below 0")
	}
	p, service := &Policy{sticky: cfg.Sticky, queue: cfg.QueueTimeout, waits: cfg.Waits, metrics: cfg.Metrics, hints: cfg.EarlyHints, requestHeaders: cfg.RequestHeaders, responseHeaders: cfg.ResponseHeaders}, cfg.Pool.Service()
	if p.queue <= 0 {
		p.queue = defaultQueueTimeout
	}
	p.drain, p.closeOnUnhealthy = cfg.Drain, cfg.CloseOnUnhealthy
	p.reuse, p.keep = cfg.Reuse, min(cmp.Or(cfg.KeepIdle, defaultKeep), Forever)
	if cfg.Sticky.By == StickyCookie {
		p.pins = newPins(service, cfg.Sticky.Secret, cfg.Sticky.Cookie)
		cfg.Pool.OnChange(p.pins.follow)
	}
	switch least, most := cfg.MinRequests, cfg.MaxRequests; {
	case cfg.Adaptive:
		if least == 0 {
			least = defaultLeastRequests
		}
		if most == 0 {
			most = defaultMostRequests
		}
		p.concurrency = limit.NewAdaptive(min(least, most), most, time.Now())
	case most > 0:
		p.concurrency = limit.NewConcurrency(most)
	}
	if p.concurrency != nil {
		cfg.Metrics.GetOrCreateGauge(fmt.Sprintf("sluice_l7_requests_limit{service=%q}", service), func() float64 { return float64(p.concurrency.Limit()) })
	}
	if cfg.Breaker != nil {
		p.breakers = &breakers{cfg: *cfg.Breaker, service: service, logger: cfg.Logger}
		cfg.Pool.OnChange(p.breakers.follow)
		cfg.Metrics.RegisterMetricsWriter(p.breakers.write)
	}
	return p, nil
}

// Close ends the metrics that follow the pool's members. Requests that are
// still under way may go on.
func (p *Policy) Close() {
	if p.breakers != nil {
		p.breakers.closed.Store(true)
	}
}

// ownWaits returns what the service sets of the listener's limits.
func (p *Policy) ownWaits() *Waits {
	if p == nil {
		return &Waits{}
	}
	return &p.waits
}

// connections returns what becomes of those that are idle, of a service whose
// policy may be nil.
func (p *Policy) connections() (Reuse, time.Duration) {
	if p == nil {
		return ReuseAlways, defaultKeep
	}
	return p.reuse, p.keep
}
