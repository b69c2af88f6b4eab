package l7

import (
	"time"

	"sluice/pkg/attempt"
	"sluice/pkg/reactor"
)

// defaultQueueTimeout is how long a request may wait if nothing else is said.
const defaultQueueTimeout = 5 * time.Second

// queueing is a request's wait for a backend with a slot free.
type queueing struct {
	attempt.Queue
	l *reactor.Loop
	x *exchange // nil once that has ended
}

// enqueue makes the request wait for a slot. It reports whether it does; else
// there is none to wait for, too many wait, or this one has waited long enough.
func (x *exchange) enqueue() (waits bool) {
	b, l := x.svc.balancer, x.sh.l
	if !b.HasUntried(x.tried) {
		return false
	}
	if x.queue == nil {
		x.queue = &queueing{l: l, x: x}
	}
	// By the time that the loop hears of a wake, this has returned.
	_, waits = x.queue.Await(b.Pool(), x.queue, l.Now(), x.svc.policy.queueTimeout())
	return waits
}

// Wake tells the loop of a slot that may be free.
func (q *queueing) Wake() bool { return q.l.Post(q.woken) }

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
	if q.x == nil || !q.Woken() {
		return
	}
	defer q.x.c.guard()
	q.x.try()
}

// queued reports whether the request waits for a slot.
func (x *exchange) queued() bool { return x.queue != nil && x.queue.Waiting() }

// leaveQueue ends the wait, whatever came of it.
func (x *exchange) leaveQueue() {
	if x.queue != nil {
		x.queue.Leave()
	}
}
