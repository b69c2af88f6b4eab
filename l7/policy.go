package l7

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
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
	fronts      fronts
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
	p.reuse, p.keep = cfg.Reuse, min(cmp.Or(cfg.KeepIdle, defaultKeep), forever)
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

// breakers are the circuit breakers of a service's backends. They follow the
// pool.
type breakers struct {
	cfg     limit.BreakerConfig
	service string
	logger  *slog.Logger

	of     atomic.Pointer[map[*backend.Backend]*limit.Breaker]
	closed atomic.Bool // nothing is written any more
}

// follow is for backend.Pool.OnChange.
func (bs *breakers) follow(s *backend.Snapshot) {
	m := make(map[*backend.Backend]*limit.Breaker, len(s.All))
	old := bs.of.Load()
	for _, b := range s.All {
		if old != nil {
			m[b] = (*old)[b]
		}
		if m[b] == nil {
			m[b] = limit.NewBreaker(bs.cfg)
		}
	}
	bs.of.Store(&m)
}

// allow asks b's breaker for a permit.
func (bs *breakers) allow(b *backend.Backend, now time.Time) limit.Permit {
	br := (*bs.of.Load())[b]
	if br == nil { // no longer a member
		return limit.Admitted
	}
	return br.Allow(now)
}

// done tells b's breaker how a request went.
func (bs *breakers) done(b *backend.Backend, p limit.Permit, o limit.Outcome, now time.Time) {
	br := (*bs.of.Load())[b]
	if br == nil {
		return
	}
	before := br.State()
	br.Done(p, o, now)
	after := br.State()
	if before == after {
		return
	}
	if after == limit.Open {
		bs.logger.Warn("circuit breaker opened: too many requests have failed", "service", bs.service, "backend", b.Addr(), "openings", br.Openings())
	} else {
		bs.logger.Info("circuit breaker closed: trials have succeeded", "service", bs.service, "backend", b.Addr())
	}
}

// opensIn returns how long it takes at now until one of the breakers of the
// eligible backends lets a request pass again, at least.
func (bs *breakers) opensIn(s *backend.Snapshot, now time.Time) time.Duration {
	all, least := *bs.of.Load(), time.Duration(-1)
	for _, b := range s.Eligible {
		if br := all[b]; br != nil {
			if d := br.OpenFor(now); least < 0 || d < least {
				least = d
			}
		}
	}
	return max(least, 0)
}

// write writes the metrics of all breakers as they are now.
func (bs *breakers) write(w io.Writer) {
	if bs.closed.Load() {
		return
	}
	type sums struct {
		state    limit.BreakerState
		openings uint64
	}
	byAddr := make(map[string]sums) // members that share an address are one backend to a metric
	for b, br := range *bs.of.Load() {
		x := byAddr[b.Addr()]
		x.state = max(x.state, br.State())
		x.openings += br.Openings()
		byAddr[b.Addr()] = x
	}
	var states, openings strings.Builder
	for addr, x := range byAddr {
		labels := fmt.Sprintf("service=%q,backend=%q", bs.service, addr)
		for _, s := range limit.BreakerStates() {
			n := 0
			if s == x.state {
				n = 1
			}
			fmt.Fprintf(&states, "sluice_l7_breaker_state{%s,state=%q} %d\n", labels, s, n)
		}
		fmt.Fprintf(&openings, "sluice_l7_breaker_openings_total{%s} %d\n", labels, x.openings)
	}
	_, _ = io.WriteString(w, states.String()+openings.String())
}

// enter counts the request among those in flight, or answers it if there are
// too many.
func (x *exchange) enter() bool {
	p := x.svc.policy
	if p == nil || p.concurrency == nil {
		return true
	}
	if x.begun = x.sh.l.Now(); !p.concurrency.Enter() {
		x.retryAfter = overloadRetry
		x.fail(Overloaded, nil)
		return false
	}
	x.entered = true
	if !x.inDone && p.concurrency.Adaptive() {
		x.stepOut()
		x.joins = true
	}
	return true
}

// uploaded is told that the whole request has gone to the backend: from now on
// the service alone is waited for.
func (x *exchange) uploaded() {
	if !x.joins {
		return
	}
	x.joins, x.entered = false, true
	x.svc.policy.concurrency.Join()
	x.begun, x.sinceUpload = x.sh.l.Now(), true
}

// answering is told that the response has begun. A limit that follows the
// latency counts a request no more then: how long the rest takes is up to the
// client's line, or to the nature of the thing, as with server-sent events. A
// fixed one counts it until its end.
func (x *exchange) answering() {
	x.joins = false
	if x.entered && x.svc.policy.concurrency.Adaptive() {
		x.stepOut()
	}
}

// upgraded is told that the request became a connection in its own right, which
// is none of those that are limited as requests.
func (x *exchange) upgraded() {
	x.joins = false
	if x.entered {
		x.stepOut()
	}
}

// leave gives back what enter and pick have taken.
func (x *exchange) leave() {
	x.settle(limit.NoOutcome)
	if x.entered {
		x.stepOut()
	}
}

// stepOut ends the request's count among those in flight.
func (x *exchange) stepOut() {
	x.entered = false
	l := x.sh.l
	latency := time.Duration(0)
	switch {
	case !x.attempt.replayable && !x.sinceUpload: // the time that a body took is the client's doing as well
	case x.answered && x.status < 500, x.reason == ResponseTimeout:
		latency = time.Duration(x.settled - x.begun)
	}
	now := l.Time()
	x.svc.policy.concurrency.Leave(now.Add(-time.Duration(l.Now()-x.begun)), latency, now)
}

// settle tells the breaker of x.backend how the attempt went.
func (x *exchange) settle(o limit.Outcome) {
	if o != limit.NoOutcome {
		x.settled = x.sh.l.Now()
	}
	if x.permit != 0 {
		x.svc.policy.breakers.done(x.backend, x.permit, o, x.sh.l.Time())
		x.permit = 0
	}
}

// pick takes a slot of a backend for the next attempt. If there is none, why
// says so.
func (x *exchange) pick() (b *backend.Backend, why Reason) {
	p := x.svc.policy
	if p == nil {
		return x.choose(balance.Request{Tried: x.tried, Key: x.key, HasKey: true, Failed: x.failed()}), NoBackend
	}
	req := balance.Request{Tried: x.tried, Failed: x.failed()}
	req.Key, req.HasKey = p.sticky.key(x.req.Fields, x.from.client)
	if p.pins != nil {
		b, known := p.pins.pick(p.pins.cookieOf(x.req.Fields, p.sticky.Name), &x.tried)
		if x.repin = !known; b != nil {
			if x.allowed(b) {
				return b, None
			}
			b.Release()
		}
	}
	if b = x.choose(req); b == nil || x.allowed(b) {
		return b, NoBackend
	}
	return x.pickAllowed(b, req)
}

// failed reports whether all that was tried has failed. That a connection which
// had been idle is gone says little about its backend, which may be tried again.
func (x *exchange) failed() bool { return x.tried.Len() > 0 && x.stale == nil }

// choose has the strategy choose.
func (x *exchange) choose(req balance.Request) *backend.Backend { return x.svc.balancer.Pick(req) }

// allowed asks the breaker of b, if there is one.
func (x *exchange) allowed(b *backend.Backend) bool {
	bs := x.svc.policy.breakers
	if bs == nil {
		return true
	}
	x.permit = bs.allow(b, x.sh.l.Time())
	return x.permit != 0
}

// pickAllowed picks a backend whose breaker lets the request pass, other than
// refused, whose does not: first as the strategy has it, and then the least
// busy one.
func (x *exchange) pickAllowed(refused *backend.Backend, req balance.Request) (*backend.Backend, Reason) {
	for req.Tried.Len() < balance.MaxTries {
		refused.Release()
		req.Tried.Add(refused)
		b := x.choose(req)
		if b == nil || x.allowed(b) {
			return b, BreakerOpen
		}
		refused = b
	}
	refused.Release()
	s := x.svc.balancer.Pool().Snapshot()
	var best *backend.Backend
	for _, b := range s.Eligible {
		if !x.tried.Has(b) && b.HasRoom() && (best == nil || balance.LessLoaded(b, b.Weight(), best, best.Weight())) && x.svc.policy.breakers.isClosed(b) {
			best = b
		}
	}
	if best == nil || !best.TryAcquire() {
		return nil, BreakerOpen
	}
	if !x.allowed(best) { // it has just opened
		best.Release()
		return nil, BreakerOpen
	}
	return best, None
}

// isClosed reports whether b's breaker is closed.
func (bs *breakers) isClosed(b *backend.Backend) bool {
	br := (*bs.of.Load())[b]
	return br == nil || br.State() == limit.Closed
}
