package plain

import (
	"sync"
	"time"

	"sluice/l7/gate"
	"sluice/pkg/backend"
)

// following follows the members of a service.
type following struct {
	p   *Proxy
	svc *gate.Service

	// mu protects the fields below.
	mu      sync.Mutex
	members []*backend.Backend
	down    map[*backend.Backend]bool // those of them that health has found down
}

// follow is for backend.Pool.OnChange: idle connections are kept to members, and
// requests that wait for one that has fallen are taken elsewhere.
func (f *following) follow(s *backend.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.p.pool.follow(keeping{f.svc.Reuse(), f.svc.KeepIdle()}, f.members, s.All)
	f.members = s.All
	down := make(map[*backend.Backend]bool)
	fell := make(map[*backend.Backend]bool)
	for _, b := range s.All {
		if b.State() == backend.Down {
			if down[b] = true; !f.down[b] {
				fell[b] = true
			}
		}
	}
	f.down = down
	if len(fell) == 0 {
		return
	}
	f.p.active.each(func(x *Exchange) {
		if fell[x.waitsFor()] {
			x.stop(cause{rescue: true})
		}
	})
}

// end forgets the members.
func (f *following) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.p.pool.follow(keeping{}, f.members, nil)
	f.members = nil
}

// evict ends what stays on the backend at addr by reason, in steps over some
// time. It may be called from any goroutine.
func (f *following) evict(addr string, r gate.Reason, over time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []visit
	f.p.active.each(func(x *Exchange) {
		if b := x.staysOn(); b != nil && b.Addr() == addr && b.Service() == f.svc.Name() {
			all = append(all, x.visit())
		}
	})
	if len(all) > 0 {
		f.p.cfg.Logger.Info("closing the connections to a backend", "listener", "l7", "service", f.svc.Name(), "backend", addr, "reason", r.String(), "over", over)
	}
	f.p.bound.each(func(u *upstream) bool { return u.b.Addr() == addr && u.b.Service() == f.svc.Name() })
	backend.InSteps(len(all), over, func(i int) { all[i].stop(cause{reason: r}) })
}
