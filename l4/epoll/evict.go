package epoll

import (
	"time"

	"sluice/l4"
	"sluice/pkg/reactor"
)

const (
	// evictSteps is in how many steps the sessions of a drained backend are
	// ended, so that their clients do not all come back at once.
	evictSteps = 50
	// evictsPerTurn is how many sessions one turn of a loop ends of an eviction.
	evictsPerTurn = 128
)

// evict ends the sessions that lead to a backend.
func (s *Server) evict(e l4.Eviction) {
	if s.closing.Err() != nil {
		return
	}
	s.evictions.Add(1)
	for i := range s.lists {
		l, q := s.loops.Loops()[i], &s.lists[i]
		l.Post(func() {
			if c := q.led[e.To]; c != nil {
				e.Found()
				newEviction(l, q, e, c.Len()).Expired(nil)
			}
		})
	}
}

// eviction ends the sessions that lead to one backend in a loop, the oldest
// first, in steps over some time and a few at a time.
type eviction struct {
	l4.Eviction
	l      *reactor.Loop
	q      *sessions
	before int64         // those that came later stay; in the loop's real time
	every  time.Duration // between two steps
	per    int           // sessions a step
	left   int           // of the current one
	timer  reactor.Timer
}

func newEviction(l *reactor.Loop, q *sessions, e l4.Eviction, n int) *eviction {
	v := &eviction{Eviction: e, l: l, q: q, before: l.Real(), per: n}
	if e.Over > 0 {
		v.per, v.every = (n+evictSteps-1)/evictSteps, e.Over/evictSteps
	}
	return v
}

// Expired begins a step.
func (e *eviction) Expired(*reactor.Timer) {
	e.left = e.per
	e.goOn()
}

// goOn ends some more sessions.
func (e *eviction) goOn() {
	for range min(e.left, evictsPerTurn) {
		c := e.q.led[e.To]
		if c == nil || c.Last().Of.since > e.before {
			return
		}
		x := c.Last().Of
		e.l.Guard(x.client, func() { x.end(e.Reason) })
		e.left--
	}
	switch {
	case e.left > 0:
		e.l.Post(e.goOn) // which is the next turn
	case e.every > 0:
		e.l.After(&e.timer, e.every, e)
	}
}
