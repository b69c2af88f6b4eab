package l4

import (
	"sync"
	"sync/atomic"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/listen"
)

// relayed is a connection of the copy driver.
type relayed struct {
	svc     *service
	b       *backend.Backend
	client  *listen.Conn
	evicted atomic.Pointer[Reason]
}

// follow evicts the connections of backends that leave the service, or fail.
// It is called once for each service.
func (s *Server) follow(svc *service) {
	svc.unfollow = backend.Departures{
		Drain: svc.DrainTimeout, OnFailure: svc.CloseOnUnhealthy,
		End: func(addr string, why backend.Departure, over time.Duration) {
			reason := BackendDrained
			if why == backend.Failed {
				reason = BackendUnhealthy
			}
			s.evict(svc, addr, reason, over)
		},
	}.Follow(svc.pool())
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
			backend.InSteps(len(all), spread, func(i int) {
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
	backend.InSteps(len(all), spread, func(i int) {
		all[i].evicted.Store(&reason)
		all[i].client.Close()
	})
}
