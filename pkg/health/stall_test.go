package health

import (
	"testing"

	"sluice/pkg/backend"
)

// TestStall looks at a backend after each step: + and - are slots taken and
// given back, b is a byte from it, and a blank is time for a look.
func TestStall(t *testing.T) {
	t.Parallel()
	f := func(steps, want string) {
		t.Helper()
		added, _ := backend.NewPool("web").Set([]backend.Target{{ID: "1", Address: "10.0.0.1:80", Weight: 1}})
		b, s, got := added[0], stall{}, ""
		for _, step := range steps + " " {
			switch step {
			case '+':
				b.Acquire()
			case '-':
				b.Release()
			case 'b':
				b.Counters.BytesOut.Add(1)
			case ' ':
				if s.look(b.Pulse()) {
					got += "!"
				} else {
					got += "."
				}
			}
		}
		if got != want {
			t.Fatalf("unexpected stalls in %q; got %s; want %s", steps, got, want)
		}
	}
	f("   ", "....")
	f(" +b- +b- ++bb-- ", ".....") // answers
	f(" + b- + b-", ".!.!.")       // slowly: a look in vain for each
	f("+++ b   ", ".....")
	f(" +b  ", "..!.") // a session that falls silent, once
	f(" +b+b +b++  + -- ++", "...!!.!")
	// It gave something, and was asked for much more before the next look:
	// then it stopped, and nobody asks any more.
	f(" +b- +b-++++   ", "...!..")
}
