package health

import (
	"testing"

	"sluice/pkg/backend"
)

// TestHysteresis feeds sequences of passes (+) and failures (-) and compares
// the state after each: u(nknown), U(p), D(own).
func TestHysteresis(t *testing.T) {
	t.Parallel()
	f := func(rise, fall int, results, want string) {
		t.Helper()
		h := Hysteresis{Rise: rise, Fall: fall}
		got := ""
		for _, r := range results {
			before := h.State()
			changed, streak := h.Observe(r == '+')
			if changed != (before != h.State()) {
				t.Fatalf("unexpected changed=%v in %q", changed, results)
			}
			if changed != (streak > 0) {
				t.Fatalf("unexpected streak %d with changed=%v in %q", streak, changed, results)
			}
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
	h.Observe(true)
	h.Observe(false)
	h.Observe(false)
	if h.Contrary() != 2 {
		t.Fatalf("unexpected contrary count; got %d; want 2", h.Contrary())
	}
	if changed, streak := h.Observe(false); !changed || streak != 3 {
		t.Fatalf("unexpected outcome of the third failure; got %v, %d; want true, 3", changed, streak)
	}
}
