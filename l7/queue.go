package l7

import (
	"time"

	"sluice/pkg/backend"
)

// defaultQueueTimeout is how long a request may wait if nothing else is said.
const defaultQueueTimeout = 5 * time.Second

// queueing is a request's wait for a backend with a slot free, see
// backend.Pool.Limit.
type queueing struct {
	waiter  backend.Waiter
	x       *exchange // nil once that has ended
	pool    *backend.Pool
	waiting bool
	until   int64 // in the loop's time
}

// enqueue makes the request wait for a slot. It reports whether it does, and if
// not, whether one became free just now; else there is none to wait for, too
// many wait, or this one has waited long enough.
func (x *exchange) enqueue() (waits, free bool) {
	b, now := x.svc.balancer, x.sh.l.Now()
	if !b.Full(x.tried) {
		return false, false
	}
	q := x.queue
	again := q != nil
	if !again {
		q = &queueing{x: x, pool: b.Pool(), until: now + int64(x.svc.policy.queueTimeout())}
		l := x.sh.l
		q.waiter.Wake = func() {
			if !l.Post(q.woken) {
				q.pool.WakeNext()
			}
		}
		x.queue = q
	}
	if q.until <= now || !q.pool.Await(&q.waiter, again) {
		return false, false
	}
	if b.HasRoom(x.tried) && q.pool.Leave(&q.waiter) {
		return false, true
	}
	q.waiting = true
	return true, false
}

func (p *Policy) queueTimeout() time.Duration {
	if p == nil {
		return defaultQueueTimeout
	}
	return p.queue
}

// woken is called in the loop when a slot may be free.
func (q *queueing) woken() {
	if q.x == nil || !q.waiting {
		q.pool.WakeNext() // it has gone meanwhile: another one shall hear of it
		return
	}
	q.waiting = false
	defer q.x.c.guard()
	q.x.try()
}

// queued reports whether the request waits for a slot.
func (x *exchange) queued() bool { return x.queue != nil && x.queue.waiting }

// leaveQueue ends the wait, whatever came of it.
func (x *exchange) leaveQueue() {
	if q := x.queue; q != nil && q.waiting {
		q.waiting = false
		q.pool.Leave(&q.waiter) // if it was woken already, woken passes that on
	}
}
