package reactor

import (
	"testing"
	"time"
)

// TestClock lets turns be on time and late: a stall does not count, unless the
// loop is late all the time.
func TestClock(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	c := newClock()
	real := time.Duration(0)
	f := func(wait, took, wantPassed time.Duration, wantStall bool) {
		t.Helper()
		before := c.now
		real += took
		stall := c.advance(int64(real), wait)
		if passed := time.Duration(c.now - before); passed != wantPassed || (stall > 0) != wantStall || c.real != int64(real) {
			t.Fatalf("unexpected turn of %v after a wait of %v; %v passed, stall of %v; want %v, %v", took, wait, passed, stall, wantPassed, wantStall)
		}
	}
	f(10*ms, 3*ms, 3*ms, false)
	f(10*ms, 10*ms+stallMargin, 10*ms+stallMargin, false)
	if c.stalledSince(0) {
		t.Fatal("unexpected stall")
	}
	at := c.now
	f(10*ms, 5*time.Second, 0, true)
	f(10*ms, 5*ms, 5*ms, false)
	if !c.stalledSince(at) || c.stalledSince(c.now) {
		t.Fatal("unexpected time of the stall")
	}
	f(0, time.Second, 0, true)
	for range 5 {
		f(0, time.Second, stallMargin, true)
	}
	f(0, ms, ms, false)
	real -= time.Second // which a monotonic clock never does
	if c.advance(int64(real), 0); c.now < at {
		t.Fatal("time went back")
	}
}

// TestWatchdog looks at a loop that waits, turns, and hangs.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	var w watchdog
	for i, x := range []struct {
		phase uint64
		late  bool
		want  int
	}{
		{1, false, 0}, {1, false, 0}, // it waits
		{4, false, 0}, {6, false, 0}, // it works, in another turn each time
		{6, true, 0}, // nobody ran
		{6, false, 1}, {6, false, 2},
		{7, false, 0}, {8, false, 0},
	} {
		if got := w.look(x.phase, x.late); got != x.want {
			t.Fatalf("unexpected look %d at phase %d; got %d; want %d", i, x.phase, got, x.want)
		}
	}
}
