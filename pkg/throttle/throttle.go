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
	last    atomic.Int64 // unix nanoseconds of the last event let through
	dropped atomic.Uint64
}

// Allow reports whether an event that happens now may be logged and, if so,
// how many were not since the last one that was.
func (t *Throttle) Allow(now time.Time) (ok bool, dropped uint64) {
	last := t.last.Load()
	if (last != 0 && now.UnixNano()-last < int64(Every)) || !t.last.CompareAndSwap(last, now.UnixNano()) {
		t.dropped.Add(1)
		return false, 0
	}
	return true, t.dropped.Swap(0)
}
