// Package throttle keeps a repeated trouble from flooding the log: one line
// in ten seconds, which says how many it stands for.
package throttle

import (
	"sync/atomic"
	"time"
)

// Every is how often at most an event is let through.
const Every = 10 * time.Second

// Throttle lets one event through per Every and counts the others. Its zero
// value is ready; it is safe for concurrent use and must not be copied.
type Throttle struct {
	last    atomic.Pointer[time.Time] // when the last event was let through
	dropped atomic.Uint64
}

// Allow reports whether an event that happens now may be logged and, if so,
// how many were not since the last one that was.
func (t *Throttle) Allow(now time.Time) (ok bool, dropped uint64) {
	last := t.last.Load()
	// The difference is that of the monotonic clock, if both times have it. A
	// clock that was put back must not silence anybody for as long.
	if last == nil || now.Sub(*last).Abs() >= Every {
		at := now // which alone is allocated
		if t.last.CompareAndSwap(last, &at) {
			return true, t.dropped.Swap(0)
		}
	}
	t.dropped.Add(1)
	return false, 0
}
