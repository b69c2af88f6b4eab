package gate

import (
	"time"

	"sluice/pkg/attempt"
)

// defaultQueueTimeout is how long a request may wait if nothing else is said.
const defaultQueueTimeout = 5 * time.Second

// mustWait reports whether the request is to wait because others came first.
func (t *Ticket) mustWait() bool {
	return t.queue == nil && t.attempt.tried.Len() == 0 && t.attempt.stale == nil && t.svc.Pool().Contended()
}

// mayQueue reports whether there is a slot to wait for, and time left to do so.
func (t *Ticket) mayQueue(now Now) bool {
	return t.svc.balancer.HasUntried(t.attempt.tried) && (t.queue == nil || t.queue.Left(now.Mono) > 0)
}

// Await makes the request wait for the slot that Pick awaits. w is woken when one
// may be free, and its driver then tells Woken; of a request that has waited
// before, it is the w of the first time. If too many wait, the decision is Answer.
func (t *Ticket) Await(now Now, w attempt.Waker) Decision {
	if t.queue == nil {
		t.queue = new(attempt.Queue)
	}
	// By the time that the driver hears of a wake, this has returned.
	if _, ok := t.queue.Await(t.svc.Pool(), w, now.Mono, t.admission.rules.queue); !ok {
		return t.nobody(now, NoBackend)
	}
	return Await
}

// Woken tells that a slot may be free, and reports whether that is still waited
// for; Pick is next then.
func (t *Ticket) Woken() bool { return t.queue != nil && t.queue.Woken() }

// QueueTime returns for how long the request may go on waiting for a slot.
func (t *Ticket) QueueTime(now Now) time.Duration {
	if t.queue == nil {
		return 0
	}
	return t.queue.Left(now.Mono)
}

// LeaveQueue ends the wait, whatever came of it.
func (t *Ticket) LeaveQueue() {
	if t.queue != nil {
		t.queue.Leave()
	}
}
