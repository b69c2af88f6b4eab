package l4

import (
	"sync"
	"time"

	"sluice/pkg/backend"
)

// Destination is where connections lead: a service's backend, by its address, so
// that one which was deregistered and registered again is the same.
type Destination struct {
	Upstream *Upstream
	Addr     string
}

// Eviction is the end of all connections to a backend that was taken out, or
// fails.
type Eviction struct {
	To     Destination
	Reason Reason
	Over   time.Duration // over which they are spread
	// Found is to be called when there are some: it says so in the log, once.
	Found func()
}

// Follow calls evict for the backends that leave their services, or fail, until
// Shutdown. It must not block, and is called from any goroutine.
func (g *Gate) Follow(evict func(Eviction)) {
	g.all(func(u *Upstream) {
		u.unfollow = backend.Departures{
			Terms: func() backend.Terms {
				return backend.Terms{Drain: u.DrainTimeout, OnFailure: u.CloseOnUnhealthy}
			},
			End: func(addr string, why backend.Departure, over time.Duration) {
				e := Eviction{To: Destination{u, addr}, Reason: BackendDrained, Over: over}
				if why == backend.Failed {
					e.Reason = BackendUnhealthy
				}
				e.Found = sync.OnceFunc(func() {
					g.Logger.Info("closing the connections to a backend", "listener", "l4", "service", u.name, "backend", addr, "reason", e.Reason.String(), "over", over)
				})
				evict(e)
			},
		}.Follow(u.Balancer.Pool())
	})
}
