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

// enqueue makes the request wait for a slot. It reports whether it does; else
// there is none to wait for, too many wait, or this one has waited long enough.
func (x *exchange) enqueue() (waits bool) {
	b, now := x.svc.balancer, x.sh.l.Now()
	if !b.HasUntried(x.tried) {
		return false
	}
	q := x.queue
	again := q != nil
	if !again {
		q = &queueing{x: x, pool: b.Pool(), until: now + int64(x.svc.policy.queueTimeout())}
		l := x.sh.l
		q.waiter.Wake = func() {
			if !l.Post(q.woken) {
				q.pool.Leave(&q.waiter)
			}
		}
		x.queue = q
	}
	// By the time that the loop hears of a wake, this has returned.
	q.waiting = q.until > now && q.pool.Await(&q.waiter, again)
	return q.waiting
}

// mustWait reports whether the request is to wait because others came first.
func (x *exchange) mustWait() bool {
	return x.queue == nil && x.tried.Len() == 0 && x.stale == nil && x.svc.balancer.Pool().Contended()
}

func (p *Policy) queueTimeout() time.Duration {
	if p == nil {
		return defaultQueueTimeout
	}
	return p.queue
}

// woken is called in the loop when a slot may be free. A request that has ended
// meanwhile has said so.
func (q *queueing) woken() {
	if q.x == nil || !q.waiting {
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
	if q := x.queue; q != nil {
		q.waiting = false
		q.pool.Leave(&q.waiter)
	}
}
