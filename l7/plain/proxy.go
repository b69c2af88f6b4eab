package plain

import (
	"context"
	"net"
	"sync"
	"time"

	"sluice/l7/gate"
	"sluice/pkg/backend"
	"sluice/pkg/pause"
)

// Config describes a Proxy.
type Config struct {
	gate.Config
	// IdleRoom is how many connections to backends may be idle, of all services
	// together. 0 means any number.
	IdleRoom int
	// Pauses knows when the process did not run: what times out then is nobody's
	// fault. Nil means that it always runs.
	Pauses *pause.Watch
}

// Proxy sends requests to backends and brings their responses, each in the
// goroutine that asks. All methods are safe for concurrent use.
type Proxy struct {
	cfg    Config
	gate   *gate.Gate
	pool   *pool
	dialer net.Dialer
	start  time.Time // what clocks reckon from
	active active
	bound  boundTo

	exchanges sync.Pool // of *Exchange
	buffers   sync.Pool // of *buffer

	// closing ends with Close; look-ups of names and connects end with it.
	closing context.Context
	cancel  context.CancelFunc
}

// New returns a Proxy for the requests that come by the listener at addr, which
// is called name in logs. The error names every route that cannot be used.
func New(cfg Config, addr net.Addr, name string) (*Proxy, error) {
	p := &Proxy{cfg: cfg, pool: newPool(cfg.IdleRoom), start: time.Now()}
	p.cfg.Config = cfg.Config.WithDefaults()
	p.cfg.OnService = p.serve
	p.exchanges.New = func() any { return &Exchange{p: p, awake: make(chan struct{}, 1)} }
	p.buffers.New = func() any { return new(buffer) }
	p.closing, p.cancel = context.WithCancel(context.Background())
	var err error
	if p.gate, err = gate.New(name, addr, p.cfg.Config); err != nil {
		p.cancel()
		return nil, err
	}
	return p, nil
}

// Config returns the configuration, with what was left out filled in.
func (p *Proxy) Config() *Config { return &p.cfg }

// Client returns what is known of a client by its connection.
func (p *Proxy) Client(a gate.Arrival) gate.Client { return p.gate.Client(a) }

// Foresee says what would become of a request; see gate.Gate.
func (p *Proxy) Foresee(q gate.Probe) gate.Foresight { return p.gate.Foresee(q) }

// SetRoutes replaces all routes at once, for the requests that come from now
// on; those under way are not touched. The error names every route that cannot
// be used, and then nothing has changed.
func (p *Proxy) SetRoutes(routes []gate.Route) error { return p.gate.SetRoutes(routes) }

// Drain makes every response from now on the last one on its connection.
func (p *Proxy) Drain() { p.gate.Drain() }

// Cut ends the requests that are under way, by reason.
func (p *Proxy) Cut(r gate.Reason) {
	p.active.each(func(x *Exchange) { x.stop(cause{reason: r}) })
}

// Close closes the idle connections to backends, and waits for copies of
// requests. There must be no request any more.
func (p *Proxy) Close() {
	p.cancel()
	p.pool.close()
	p.gate.Close()
}

// now returns the moment as gates take it.
func (p *Proxy) now() gate.Now {
	t := time.Now()
	return gate.Now{Mono: int64(t.Sub(p.start)) + 1, Time: t}
}

// nowSince is now for what may be held against somebody who was waited for
// since a moment: it tells of pauses since then.
func (p *Proxy) nowSince(mono int64) gate.Now {
	n := p.now()
	if p.cfg.Pauses.Since(p.start.Add(time.Duration(mono))) > 0 {
		n.Stalled = n.Mono
	}
	return n
}

// serve follows a service that routes begin to lead to.
func (p *Proxy) serve(svc *gate.Service) (left func()) {
	f := &following{p: p, svc: svc}
	pool := svc.Pool()
	if fronts := svc.Fronts(); fronts != nil {
		fronts.Join(p)
	}
	remain := svc.Departures(f.evict).Follow(pool)
	unheard := pool.OnCrowded(p.makeRoom)
	unfollow := pool.OnChange(f.follow)
	return func() {
		unfollow()
		remain()
		unheard()
		if fronts := svc.Fronts(); fronts != nil {
			fronts.Part(p)
		}
		f.end()
	}
}

// makeRoom closes the idle connections to a backend that may be crowded.
func (p *Proxy) makeRoom(b *backend.Backend) {
	for p.pool.drop(b) {
	}
}
