package attempt

import (
	"time"

	"sluice/pkg/backend"
)

// Queue is somebody's wait for a backend with a slot free, see
// backend.Pool.Limit: in the order of coming, within a time for all waits
// together. Its zero value has not waited. It must not be copied once it has,
// nor used again for somebody else: a wake may be on its way.
type Queue struct {
	waiter  backend.Waiter
	pool    *backend.Pool
	until   int64
	used    bool
	waiting bool
}

// Waker is who waits.
type Waker interface {
	// Wake makes the owner of the queue call Woken, soon. It is called from any
	// goroutine, once for each wait, and must not block. It returns false if
	// there is no owner any more, so that the slot goes to who is next.
	Wake() bool
}

// Await begins a wait at now, or goes on with it after a wake that was in vain,
// until timeout is over, reckoned from the first call. left is how long that is
// from now on. It returns false if that time is over, or too many wait already.
// It may call Wake before it returns.
func (q *Queue) Await(pool *backend.Pool, w Waker, now int64, timeout time.Duration) (left time.Duration, ok bool) {
	if !q.used {
		q.pool, q.until = pool, now+int64(timeout)
		q.waiter.Wake = func() {
			if !w.Wake() {
				pool.Leave(&q.waiter)
			}
		}
	}
	if left = q.Left(now); left <= 0 {
		return 0, false
	}
	if q.used {
		ok = pool.AwaitAgain(&q.waiter)
	} else {
		ok = pool.Await(&q.waiter)
	}
	if ok {
		q.used, q.waiting = true, true
	}
	return left, ok
}

// Left returns for how long from now on the wait may go on.
func (q *Queue) Left(now int64) time.Duration { return time.Duration(q.until - now) }

// Woken ends a wait because a slot may be free. It returns false if there is
// none: the wake came too late.
func (q *Queue) Woken() bool {
	was := q.waiting
	q.waiting = false
	return was
}

// Waiting reports whether a wait is under way.
func (q *Queue) Waiting() bool { return q.waiting }

// Used reports whether there ever was one.
func (q *Queue) Used() bool { return q.used }

// Leave ends the wait, whatever came of it: with a slot, or without wanting one
// any more. Without a wait it does nothing.
func (q *Queue) Leave() {
	q.waiting = false
	if q.used {
		q.pool.Leave(&q.waiter)
	}
}
