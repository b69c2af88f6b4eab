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
}
