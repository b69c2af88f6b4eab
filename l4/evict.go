package l4

import (
	"sync"
	"sync/atomic"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

// relayed is a connection of the copy driver.
type relayed struct {
	to      destination
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
	to := destination{svc, addr}
	for i := range s.lists {
		l, q := s.cfg.Loops.Loops()[i], &s.lists[i]
		l.Post(func() {
			if c := q.led[to]; c != nil {
				said()
				newEviction(l, q, to, c.n, reason, spread).Expired(nil)
			}
		})
	}
	var all []*relayed
	s.mu.Lock()
	for e := range s.relayed[to] {
		all = append(all, e)
		said()
	}
	s.mu.Unlock()
	backend.InSteps(len(all), spread, func(i int) {
		all[i].evicted.Store(&reason)
		all[i].client.Close()
	})
}

// evictSteps is in how many steps the sessions of a drained backend are ended, so
// that their clients do not all come back at once.
const evictSteps = 50

// evictsPerTurn is how many sessions one turn of a loop ends of an eviction.
const evictsPerTurn = 128

// eviction ends the sessions that lead to one backend in a loop, the oldest
// first, in steps over some time and a few at a time.
type eviction struct {
	l      *reactor.Loop
	q      *sessionList
	to     destination
	reason Reason
	before int64         // those that began later stay; in the loop's real time
	every  time.Duration // between two steps
	per    int           // sessions a step
	left   int           // of the current one
	timer  reactor.Timer
}

func newEviction(l *reactor.Loop, q *sessionList, to destination, n int, reason Reason, spread time.Duration) *eviction {
	e := &eviction{l: l, q: q, to: to, reason: reason, before: l.Real(), per: n}
	if spread > 0 {
		e.per, e.every = (n+evictSteps-1)/evictSteps, spread/evictSteps
	}
	return e
}

// Expired begins a step.
func (e *eviction) Expired(*reactor.Timer) {
	e.left = e.per
	e.goOn()
}

// goOn ends some more sessions.
func (e *eviction) goOn() {
	for range min(e.left, evictsPerTurn) {
		c := e.q.led[e.to]
		if c == nil || c.last.start > e.before {
			return
		}
		x := c.last
		e.l.Guard(x.client, func() { x.end(e.reason, nil) })
		e.left--
	}
	switch {
	case e.left > 0:
		e.l.Post(e.goOn) // which is the next turn
	case e.every > 0:
		e.l.After(&e.timer, e.every, e)
	}
}
