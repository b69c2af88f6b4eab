package l4

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/listen"
)

// evictSteps is in how many steps the connections of a drained backend are
// closed, so that their clients do not all come back at once.
const evictSteps = 50

// relayed is a connection of the copy driver.
type relayed struct {
	svc     *service
	b       *backend.Backend
	client  *listen.Conn
	evicted atomic.Pointer[Reason]
}

// follow evicts the connections of backends that leave the service, or fail.
// It is called once for each service. A backend is its address: one that was
// deregistered and is registered again is the same to its connections.
func (s *Server) follow(svc *service) {
	type known struct {
		drain     *time.Timer // set while the backend is on its way out
		unhealthy bool
		gone      bool // is no member any more
	}
	var mu sync.Mutex // protects all
	all := make(map[string]*known)
	svc.unfollow = svc.pool().OnChange(func(now *backend.Snapshot) {
		mu.Lock()
		defer mu.Unlock()
		type seen struct{ staying, failed bool }
		members := make(map[string]seen, len(now.All)) // by address
		for _, b := range now.All {
			if all[b.Addr()] == nil {
				all[b.Addr()] = &known{}
			}
			status := b.Target().Status
			members[b.Addr()] = seen{
				staying: members[b.Addr()].staying || status != backend.Maintenance,
				failed:  b.Condition().State == backend.Down || status == backend.Critical,
			}
		}
		for addr, k := range all {
			m, member := members[addr]
			if !member {
				m.failed = slices.Contains(now.Withdrawn, addr)
			}
			if svc.CloseOnUnhealthy && m.failed && !k.unhealthy {
				s.evict(svc, addr, BackendUnhealthy, 0)
			}
			k.unhealthy = m.failed
			switch {
			case m.staying && k.drain != nil:
				k.drain.Stop()
				k.drain = nil
			case !m.staying && k.drain == nil && svc.DrainTimeout > 0:
				k.drain = time.AfterFunc(svc.DrainTimeout, func() {
					s.evict(svc, addr, BackendDrained, svc.DrainTimeout/10)
					mu.Lock()
					defer mu.Unlock()
					if k := all[addr]; k != nil && k.gone {
						delete(all, addr)
					}
				})
			case !member && svc.DrainTimeout <= 0:
				delete(all, addr)
			}
			k.gone = !member
		}
	})
}

// evict ends the connections of svc to addr by reason, spread over some time.
func (s *Server) evict(svc *service, addr string, reason Reason, spread time.Duration) {
	if s.closing.Err() != nil {
		return
	}
	said := sync.OnceFunc(func() {
		s.log.Info("closing the connections to a backend", "listener", "l4", "service", svc.name, "backend", addr, "reason", reason.String(), "over", spread)
	})
	for i := range s.lists {
		l, q := s.cfg.Loops.Loops()[i], &s.lists[i]
		l.Post(func() {
			var all []*session
			for x := q.first; x != nil; x = x.next {
				if x.b != nil && x.svc == svc && x.b.Addr() == addr {
					all = append(all, x)
					said()
				}
			}
			spreadOver(len(all), spread, func(i int) {
				l.Post(func() { all[i].end(reason, nil) })
			})
		})
	}
	var all []*relayed
	s.mu.Lock()
	for e := range s.relayed {
		if e.svc == svc && e.b.Addr() == addr {
			all = append(all, e)
			said()
		}
	}
	s.mu.Unlock()
	spreadOver(len(all), spread, func(i int) {
		all[i].evicted.Store(&reason)
		all[i].client.Close()
	})
}

// spreadOver calls f for 0 to n-1 in steps over some time, at first at once.
func spreadOver(n int, d time.Duration, f func(i int)) {
	if n == 0 {
		return
	}
	per := (n + evictSteps - 1) / evictSteps
	if d <= 0 {
		per = n
	}
	var step func(from int)
	step = func(from int) {
		for i := from; i < min(from+per, n); i++ {
			f(i)
		}
		if from+per < n {
			time.AfterFunc(d/evictSteps, func() { step(from + per) })
		}
	}
	step(0)
}
