package reactor

import (
	"sync/atomic"
	"time"
)

// Work is kept together: a connection that wakes a loop which is awake costs
// nothing, one that wakes a sleeping one a switch of tasks, some microseconds.
// So as few loops accept as can do the work, which are the first ones, the
// front. A loop joins it when those that are in it have little time left, and
// leaves it when they would do without it for a while. Connections that have
// stayed move from a loop that is busy to one that is less so, and from behind
// the front into it.
const (
	// weighEvery is how often a loop finds out how busy it is.
	weighEvery = 50 * time.Millisecond
	// staleAfter is how old at most a weight is that is believed: a loop that
	// does not turn is idle.
	staleAfter = 4 * weighEvery
	// growAt is from which mean share of a processor on the loops of the front
	// get help, in thousandths.
	growAt = 800
	// shrinkAt is below which mean share those that would be left do without one.
	shrinkAt = 400
	// shrinkAfter is for how long.
	shrinkAfter = 5 * time.Second
	// shedAt is from which share on a loop gives connections away, and shedGap by
	// how much another one's must be below it.
	shedAt, shedGap = 600, 250
	// settledAfter is how long a connection has been in a loop before it moves: to
	// move costs as much as many a short connection lasts.
	settledAfter = 500 * time.Millisecond
)

// scale is what a loop is weighed by. A few of its turns are measured.
type scale struct {
	at           int64 // when it began, in real time
	cpu          int64 // processor time that the process had used then, ns
	turns, waits int64 // ns that the turns measured took, and the waits before them
}

// measureOneIn is which part of the turns is measured, as it takes a look at the
// clock.
const measureOneIn = 8

// weight is how busy a loop is, as others see it.
type weight struct {
	busy  atomic.Int32 // thousandths of the time in which it did not wait
	share atomic.Int32 // the same, as far as it had a processor
	at    atomic.Int64 // when that was found out, in ns since the group began
}

// shareAt returns the share at now.
func (w *weight) shareAt(now int64) int { return w.recent(now, &w.share) }

// busyAt returns the part of the time in which the loop does not wait, at now.
func (w *weight) busyAt(now int64) int { return w.recent(now, &w.busy) }

func (w *weight) recent(now int64, of *atomic.Int32) int {
	if now-w.at.Load() > int64(staleAfter) {
		return 0
	}
	return int(of.Load())
}

// share returns how much of a processor a loop uses that is busy for that part
// of the time, all loops together for all, while the process uses that much. All
// are thousandths. Who is always busy, and gets half a processor as the machine
// is, would get no more with the help of another loop.
func share(busy, all, used int) int {
	if all <= used {
		return busy
	}
	return busy * used / all
}

// nextFront returns how many loops should accept of those with the given
// shares, front of which do so now. quiet says that fewer would have been enough
// for a while.
func nextFront(shares []int, front int, quiet bool) int {
	sum := 0
	for _, s := range shares[:front] {
		sum += s
	}
	switch {
	case front < len(shares) && sum >= growAt*front:
		return front + 1
	case front > 1 && quiet && spare(shares, front):
		return front - 1
	}
	return front
}

// spare reports whether the front could do with one loop less.
func spare(shares []int, front int) bool {
	sum := 0
	for _, s := range shares {
		sum += s
	}
	return front > 1 && sum < shrinkAt*(front-1)
}

// shedding says which connections of a loop move where, until the loop is
// weighed again.
type shedding struct {
	to    *Loop  // nil: none
	part  uint32 // of 1<<32
	salt  uint32 // so that others do each time
	fixed bool   // it stays as it is
}

// plan returns to which of the loops the one of that index gives connections
// away, and which part of them in thousandths; a part of 0 means none.
func plan(shares []int, front, index int) (to, part int) {
	for i, s := range shares[:front] {
		if s < shares[to] {
			to = i
		}
	}
	mine := shares[index]
	switch {
	case to == index:
		return 0, 0
	case index >= front:
		return to, 1000
	case mine >= shedAt && mine-shares[to] >= shedGap:
		return to, (mine - shares[to]) * 1000 / (2 * mine)
	}
	return 0, 0
}
