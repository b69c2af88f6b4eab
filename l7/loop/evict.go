package loop

import (
	"sync"
	"time"

	"sluice/l7/gate"
	"sluice/pkg/backend"
)

// departures says what becomes of what stays on a backend that leaves, or fails.
func (s *Server) departures(svc *gate.Service) backend.Departures {
	return svc.Departures(func(addr string, why gate.Reason, over time.Duration) { s.evict(svc, addr, why, over) })
}

// evict ends what stays on the backend at addr by reason, in steps over some
// time. It may be called from any goroutine.
func (s *Server) evict(svc *gate.Service, addr string, reason gate.Reason, over time.Duration) {
	said := sync.OnceFunc(func() {
		s.cfg.Logger.Info("closing the connections to a backend", "listener", "l7", "service", svc.Name(), "backend", addr, "reason", reason.String(), "over", over)
	})
	for _, sh := range s.shards {
		sh.l.Post(func() {
			all := sh.staying(svc, addr)
			if len(all) > 0 {
				said()
			}
			backend.InSteps(len(all), over, func(i int) { sh.l.Post(func() { all[i].leave(reason) }) })
		})
	}
}

// stayer is an exchange that stays; the same memory may serve another one later.
type stayer struct {
	c     *conn
	x     *exchange
	began int64
}

// staying returns what stays on the backend at addr, and closes what is bound
// to it and idle.
func (sh *shard) staying(svc *gate.Service, addr string) (all []stayer) {
	for c := sh.first; c != nil; c = c.next {
		for i := len(c.bound) - 1; i >= 0; i-- {
			if up := c.bound[i]; up.svc == svc && up.b.Addr() == addr {
				c.unbind(up)
				up.close()
			}
		}
		if x := c.x; x != nil && x.Service() == svc && x.stays() && x.Backend().Addr() == addr {
			all = append(all, stayer{c, x, x.Began()})
		}
	}
	return all
}

// stays reports whether the exchange may go on for any time.
func (x *exchange) stays() bool {
	return x.up != nil && (x.phase == tunnelling || x.phase == responding && x.download.started)
}

func (st stayer) leave(reason gate.Reason) {
	if st.c.x != st.x || st.x.Began() != st.began || !st.x.stays() {
		return
	}
	defer st.c.guard()
	st.x.fail(reason, nil)
}
