package gate

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l7/mirror"
	"sluice/pkg/headeredit"
	"sluice/pkg/throttle"
)

// Gate decides about the requests of one listener. What is decided about one of
// them is in its Ticket. All methods are safe for concurrent use.
type Gate struct {
	cfg    Config
	name   string // of the listener
	port   uint16 // that it listens on
	limits Limits
	router atomic.Pointer[router]
	hsts   string // the line that asks clients for HTTPS, or empty
	// noClientCert drops what others say of a client's certificate.
	noClientCert headeredit.Edits
	copies       *mirror.Sender
	draining     atomic.Bool

	redirects *metrics.Counter
	rejected  [reasons]*metrics.Counter // of requests without a service
	refusals  throttle.Throttle
	malformed throttle.Throttle

	// mu protects the field below, and the order of route tables.
	mu       sync.Mutex
	services []*Service // that routes lead to
}

// New returns the Gate of a listener of that name at that address. The error
// names every route that cannot be used.
func New(name string, addr net.Addr, cfg Config) (*Gate, error) {
	if cfg.Logger == nil || cfg.Metrics == nil {
		return nil, errors.New("l7: a gate needs a logger and a set of metrics")
	}
	g := &Gate{cfg: cfg.WithDefaults(), name: name, hsts: hstsLine(cfg.HSTS), noClientCert: dropClientCert(), rejected: newRejected(cfg.Metrics), copies: mirror.New()}
	g.limits = newLimits(&g.cfg)
	if a, ok := addr.(*net.TCPAddr); ok {
		g.port = uint16(a.Port)
	}
	g.redirects = cfg.Metrics.GetOrCreateCounter("sluice_l7_redirects_total")
	if cfg.Rate != nil {
		cfg.Metrics.GetOrCreateGauge(fmt.Sprintf("sluice_l7_rate_untracked_total{addr=%q}", addr), func() float64 { return float64(cfg.Rate.Overflow()) })
	}
	if err := g.SetRoutes(cfg.Routes); err != nil {
		return nil, err
	}
	return g, nil
}

// Config returns the settings, with their defaults.
func (g *Gate) Config() *Config { return &g.cfg }

// SetRoutes replaces all routes at once, for the requests that come from now
// on; those under way are not touched. The error names every route that cannot
// be used, and then nothing has changed. Without any routes every request is
// answered with 404.
func (g *Gate) SetRoutes(routes []Route) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	known := len(g.services)
	r, err := newRouter(routes, g.serviceOf)
	if err != nil {
		g.services = g.services[:known]
		return err
	}
	if g.cfg.OnService != nil {
		for _, svc := range g.services[known:] {
			svc.left = g.cfg.OnService(svc)
		}
	}
	countRoutes(g.cfg.Metrics, r, g.router.Load())
	r.each(func(rt *route) {
		if svc := rt.mirror.service; svc != nil {
			rt.mirror.counts = mirror.NewCounts(g.cfg.Metrics, svc.name)
		}
	})
	g.router.Store(r)
	g.dropUnused(r)
	return nil
}

// dropUnused forgets the services that no route of r leads to. What is under way
// ends as it would; g.mu is held.
func (g *Gate) dropUnused(r *router) {
	used := make(map[*Service]bool)
	r.each(func(rt *route) { used[rt.service], used[rt.canary.service], used[rt.mirror.service] = true, true, true })
	g.services = slices.DeleteFunc(g.services, func(svc *Service) bool {
		if used[svc] {
			return false
		}
		if svc.left != nil {
			svc.left()
		}
		return true
	})
}

// Drain makes every response from now on the last one on its connection.
func (g *Gate) Drain() { g.draining.Store(true) }

// Close ends the copies of requests that are under way, and returns when they
// have. There must be no request any more.
func (g *Gate) Close() { g.copies.Close() }

// hstsLine returns the header line that asks clients to use HTTPS for so long.
func hstsLine(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return fmt.Sprintf("Strict-Transport-Security: max-age=%d\r\n", d/time.Second)
}
