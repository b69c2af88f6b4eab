package reactor

import "time"

// stallMargin is by how much a turn may take longer than the loop meant to
// wait before the loop counts as stalled. HAProxy's clock.c uses the same.
const stallMargin = 100 * time.Millisecond

// clock is a loop's time. It runs with the monotonic clock, but stands still
// while the loop does not run: when the process is stopped, starved of CPU or
// moved to another host, or a handler takes long. What peers sent meanwhile
// lies in the sockets, so such a time must not be held against them. HAProxy
// ignores jumps of its clock for the same reason.
//
// It is a plain value that reads no clock.
type clock struct {
	real    int64 // ns since the loop began, as last read
	now     int64 // the same without stalls
	stalled int64 // now when a stall last ended, or -1
	late    bool  // the last turn was a stall
}

func newClock() clock { return clock{stalled: -1} }

// advance is told that the time is real, after a wait of at most wait, and
// returns for how long the loop was stalled, or 0.
//
// The first turn that is late does not count at all, so that whoever is waited
// for has the time left that there was before. Those that follow at once count
// as far as they may, so that time passes in a loop that is always late.
func (c *clock) advance(real int64, wait time.Duration) (stall time.Duration) {
	passed := max(0, real-c.real)
	most := int64(wait + stallMargin)
	c.real += passed
	if passed <= most {
		c.now += passed
		c.late = false
		return 0
	}
	if c.late {
		c.now += most
	}
	c.late, c.stalled = true, c.now
	return time.Duration(passed - int64(wait))
}

// stalledSince reports whether there was a stall after the moment at.
func (c *clock) stalledSince(at int64) bool { return c.stalled >= at }
