package l4

import (
	"time"

	"sluice/pkg/backend"
)

// queueing is a session's wait for a backend with a slot free.
type queueing struct {
	waiter  backend.Waiter
	waiting bool
	used    bool
	since   int64 // in the loop's time
}

// enqueue makes the session wait for a slot. It reports whether it does, and
// if not, whether one became free just now; else too many wait, or this one
// has waited long enough.
func (x *session) enqueue() (waits, free bool) {
	q := &x.dialing.queue
	again := q.used
	if !again {
		q.since = x.l.Now()
		q.waiter.Wake = func() { x.l.Post(x.wake) }
	}
	left := q.since + int64(x.svc.QueueTimeout) - x.l.Now()
	if left <= 0 || !x.svc.pool().Await(&q.waiter, again) {
		return false, false
	}
	q.used = true
	if x.svc.Balancer.HasRoom(x.rec.tries.tried) && x.svc.pool().Leave(&q.waiter) {
		return false, true
	}
	q.waiting = true
	x.l.After(&x.timer, time.Duration(left), x)
	return true, false
}

// wake is called in the loop when a slot may be free.
func (x *session) wake() {
	if x.ended || x.dialing == nil || !x.dialing.queue.waiting {
		x.svc.pool().WakeNext()
		return
	}
	x.dialing.queue.waiting = false
	x.l.After(&x.timer, x.s.cfg.ConnectDeadline, x)
	x.dial()
}

// leaveQueue ends the wait, whatever came of it.
func (x *session) leaveQueue() {
	if q := &x.dialing.queue; q.waiting {
		q.waiting = false
		x.svc.pool().Leave(&q.waiter) // if it was woken already, wake passes that on
	}
}

// await waits for a slot, for a connection of the copy driver; false means that
// too many wait, or that it took too long.
func (svc *service) await(rec *record, closing <-chan struct{}) bool {
	woken := make(chan struct{}, 1)
	w := &backend.Waiter{Wake: func() { woken <- struct{}{} }}
	timeout := time.NewTimer(svc.QueueTimeout)
	defer timeout.Stop()
	if !svc.pool().Await(w, false) {
		return false
	}
	if svc.Balancer.HasRoom(rec.tries.tried) && svc.pool().Leave(w) {
		return true
	}
	select {
	case <-woken:
		return true
	case <-timeout.C:
	case <-closing:
	}
	if !svc.pool().Leave(w) {
		svc.pool().WakeNext() // it was woken at this moment: another one shall hear of it
	}
	return false
}
