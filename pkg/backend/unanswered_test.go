package backend

import "testing"

// TestUnanswered counts networks, and forgets them with any byte.
func TestUnanswered(t *testing.T) {
	t.Parallel()
	b := one(t)
	f := func(want int) {
		t.Helper()
		if got := b.Unanswered(); got != want {
			t.Fatalf("unexpected networks; got %d; want %d", got, want)
		}
	}
	f(0)
	for range 3 {
		b.ReportUnanswered(client(1))
		f(1)
	}
	b.ReportUnanswered(client(2))
	f(2)
	b.Counters.BytesOut.Add(1)
	f(0)
	b.ReportUnanswered(client(3))
	f(1)
	for n := range 100 {
		b.ReportUnanswered(client(n))
	}
	f(mostUnanswered)
	if b.TakeStalled() {
		t.Fatal("unexpected stall")
	}
	b.Stalled()
	if <-b.Alarmed(); !b.TakeStalled() || b.TakeStalled() {
		t.Fatal("a stall is to be taken once")
	}
}
