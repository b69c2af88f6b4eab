package l7

import (
	"sync"
	"time"

	"sluice/pkg/backend"
)

// follows says what becomes of what stays on a backend that leaves, or fails:
// upgraded connections, responses that go on, as server-sent events do, and
// connections that are bound. Requests that wait for a response end by
// themselves.
func (s *Server) departures(svc *service) backend.Departures {
	d := backend.Departures{End: func(addr string, why backend.Departure, over time.Duration) {
		reason := BackendDrained
		if why == backend.Failed {
			reason = BackendUnhealthy
		}
		s.evict(svc, addr, reason, over)
	}}
	if p := svc.policy; p != nil {
		d.Drain, d.OnFailure = p.drain, p.closeOnUnhealthy
	}
	return d
}

// evict ends what stays on the backend at addr by reason, in steps over some
// time. It may be called from any goroutine.
func (s *Server) evict(svc *service, addr string, reason Reason, over time.Duration) {
	said := sync.OnceFunc(func() {
		s.cfg.Logger.Info("closing the connections to a backend", "listener", "l7", "service", svc.name, "backend", addr, "reason", reason.String(), "over", over)
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
	start int64
}

// staying returns what stays on the backend at addr, and closes what is bound
// to it and idle.
func (sh *shard) staying(svc *service, addr string) (all []stayer) {
	for c := sh.first; c != nil; c = c.next {
		for i := len(c.bound) - 1; i >= 0; i-- {
			if up := c.bound[i]; up.svc == svc && up.b.Addr() == addr {
				c.unbind(up)
				up.close(false)
			}
		}
		if x := c.x; x != nil && x.svc == svc && x.stays() && x.backend.Addr() == addr {
			all = append(all, stayer{c, x, x.start})
		}
	}
	return all
}

// stays reports whether the exchange may go on for any time.
func (x *exchange) stays() bool {
	return x.up != nil && x.backend != nil && (x.tunnel != nil || x.answered && x.started)
}

func (st stayer) leave(reason Reason) {
	if st.c.x != st.x || st.x.start != st.start || !st.x.stays() {
		return
	}
	defer st.c.guard()
	st.x.fail(reason, nil)
}
