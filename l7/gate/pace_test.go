package gate

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	t.Parallel()
	const s = int64(time.Second)
	f := func(bytes int64, looks [][2]int64, want bool) { // seconds, and bytes in all
		t.Helper()
		p := Pace{From: 1, Bytes: bytes}
		got := false
		for _, l := range looks {
			got = p.Slow(1+l[0]*s, l[1], 10, 20*time.Second)
		}
		if got != want {
			t.Errorf("unexpected verdict on %v; got %v; want %v", looks, got, want)
		}
	}
	f(0, [][2]int64{{5, 1}}, false)
	f(0, [][2]int64{{20, 199}}, true)
	f(0, [][2]int64{{20, 200}}, false)
	f(0, [][2]int64{{20, 5000}, {25, 5000}, {40, 5001}}, true) // no credit for what was fast
	f(0, [][2]int64{{20, 0}}, false)                           // nothing at all is for somebody else
	f(0, [][2]int64{{20, 0}, {40, 0}, {60, 1}}, true)
	f(0, [][2]int64{{20, 0}, {40, 400}}, false)
	f(Unknown, [][2]int64{{20, 7}}, false)
	f(Unknown, [][2]int64{{20, 7}, {40, 8}}, true)
	if (&Pace{}).Slow(100*s, 1, 10, time.Second) {
		t.Error("nothing that is measured is slow")
	}
}
