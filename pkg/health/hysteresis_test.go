package health

import (
	"testing"
	"time"

	"sluice/pkg/backend"
)

// TestHysteresis feeds sequences of passes (+) and failures (-) and compares
// the state after each: u(nknown), U(p), D(own).
func TestHysteresis(t *testing.T) {
	t.Parallel()
	f := func(rise, fall int, results, want string) {
		t.Helper()
		h := Hysteresis{Rise: rise, Fall: fall}
		got, now := "", time.Unix(0, 0)
		for _, r := range results {
			before := h.State()
			changed, streak := h.Observe(r == '+', now)
			if changed != (before != h.State()) {
				t.Fatalf("unexpected changed=%v in %q", changed, results)
			}
			if changed != (streak > 0) {
				t.Fatalf("unexpected streak %d with changed=%v in %q", streak, changed, results)
			}
			now = now.Add(time.Hour) // too seldom for a flap
			got += map[backend.State]string{backend.Unknown: "u", backend.Up: "U", backend.Down: "D"}[h.State()]
		}
		if got != want {
			t.Fatalf("unexpected states for %q with rise %d, fall %d; got %s; want %s", results, rise, fall, got, want)
		}
	}
	// The first result decides.
	f(2, 3, "+", "U")
	f(2, 3, "-", "D")
	// Consecutive means consecutive: an agreeing result resets the counter.
	f(2, 3, "+--+--+--+", "UUUUUUUUUU")
	f(2, 3, "+---", "UUUD")
	f(2, 3, "+--+---", "UUUUUUD")
	f(2, 3, "-+-+-+-", "DDDDDDD")
	f(2, 3, "-++", "DDU")
	f(2, 3, "+---++---", "UUUDDUUUD")
	// A flap of period two never moves a settled state.
	f(2, 3, "+-+-+-+-+-+-", "UUUUUUUUUUUU")
	// 0 counts as 1.
	f(0, 0, "+-+-", "UDUD")
	f(1, 1, "-+-+", "DUDU")
}

func TestHysteresisStreak(t *testing.T) {
	t.Parallel()
	h := Hysteresis{Rise: 2, Fall: 3}
	h.Observe(true, time.Time{})
	h.Observe(false, time.Time{})
	h.Observe(false, time.Time{})
	if h.Contrary() != 2 {
		t.Fatalf("unexpected contrary count; got %d; want 2", h.Contrary())
	}
	if changed, streak := h.Observe(false, time.Time{}); !changed || streak != 3 {
		t.Fatalf("unexpected outcome of the third failure; got %v, %d; want true, 3", changed, streak)
	}
}

// TestDamping shows what each time that a backend goes down asks of its next
// recovery, and how that is forgotten.
func TestDamping(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	h := Hysteresis{Rise: 2, Fall: 3}
	const fast, most = 30 * time.Millisecond, 2 * time.Second
	f := func(wantNeeded int, wantSpacing time.Duration) {
		t.Helper()
		if needed, spacing := h.Needed(now), h.Spacing(now, fast, most); needed != wantNeeded || spacing != wantSpacing {
			t.Fatalf("unexpected need; got %d passes, %v apart; want %d, %v apart", needed, spacing, wantNeeded, wantSpacing)
		}
	}
	fall := func() {
		t.Helper()
		for range 3 {
			h.Observe(false, now)
		}
		if h.State() != backend.Down {
			t.Fatalf("unexpected state after three failures: %v", h.State())
		}
	}
	rise := func(n int) {
		t.Helper()
		for i := range n {
			if h.State() != backend.Down {
				t.Fatalf("unexpected state after %d passes: %v", i, h.State())
			}
			h.Observe(true, now)
		}
		if h.State() != backend.Up {
			t.Fatalf("unexpected state after %d passes: %v", n, h.State())
		}
	}
	h.Observe(true, now)
	f(3, fast) // going down is never damped
	fall()
	f(2, fast)
	rise(2)
	fall()
	f(8, fast)
	rise(8)
	fall()
	f(32, fast)
	rise(32)
	fall()
	f(32, 2*fast)
	for range 20 {
		rise(32)
		fall()
	}
	f(32, 64*fast) // the ceiling: a minute or so

	// What is forgotten, and what keeps it from being.
	now = now.Add(dampHalfLife)
	f(32, 4*fast) // 9 is 4.5 now
	h.Observe(true, now)
	h.Observe(false, now) // a recovery that failed: 9 again
	f(32, 64*fast)
	now = now.Add(2 * dampHalfLife)
	f(8, fast)
	now = now.Add(dampHalfLife)
	f(2, fast)
	rise(2)

	// Twice within a minute is a flap, twice within two is not.
	for _, x := range []struct {
		pause  time.Duration
		needed int
	}{{59 * time.Second, 8}, {2 * time.Minute, 2}} {
		h = Hysteresis{Rise: 2, Fall: 3}
		h.Observe(true, now)
		fall()
		now = now.Add(x.pause)
		rise(2)
		fall()
		f(x.needed, fast)
	}
	// A rise that is above what damping asks for stays.
	if n := passes(50, 5); n != 50 {
		t.Fatalf("unexpected passes; got %d; want 50", n)
	}
	if d := spacing(2, 9, time.Second, time.Second); d != time.Second {
		t.Fatalf("unexpected spacing; got %v; want 1s", d)
	}
}
