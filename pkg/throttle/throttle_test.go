package throttle

import (
	"testing"
	"time"
)

func TestAllow(t *testing.T) {
	t.Parallel()
	var th Throttle
	now := time.Unix(1000, 0)
	f := func(at time.Duration, wantOK bool, wantDropped uint64) {
		t.Helper()
		ok, dropped := th.Allow(now.Add(at))
		if ok != wantOK || dropped != wantDropped {
			t.Fatalf("unexpected Allow at %v; got %v, %d; want %v, %d", at, ok, dropped, wantOK, wantDropped)
		}
	}
	f(0, true, 0)
	f(time.Second, false, 0)
	f(Every-1, false, 0)
	f(Every, true, 2)
	f(Every+time.Second, false, 0)
	f(2*Every, true, 1)
	f(3*Every, true, 0)
	// A clock that was put back by an hour.
	f(-time.Hour, true, 0)
	f(time.Second-time.Hour, false, 0)
	f(Every-time.Hour, true, 1)
}

// TestAllowAllocs checks that what is not let through costs no memory.
func TestAllowAllocs(t *testing.T) {
	var th Throttle
	now := time.Now()
	th.Allow(now)
	if n := testing.AllocsPerRun(100, func() { th.Allow(now) }); n != 0 {
		t.Fatalf("unexpected allocations: %v", n)
	}
}
