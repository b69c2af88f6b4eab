package consul

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	t.Parallel()
	b := bucket{interval: time.Second, burst: 3}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f := func(at, want time.Duration) {
		t.Helper()
		if got := b.take(start.Add(at)); got != want {
			t.Fatalf("unexpected wait at %s; got %s; want %s", at, got, want)
		}
	}

	f(0, 0)
	f(0, 0)
	f(0, 0)
	f(0, time.Second)
	f(time.Second, time.Second) // the token of this second is taken
	f(2500*time.Millisecond, 500*time.Millisecond)
	f(4*time.Second, 0) // one token came in
	f(4*time.Second, time.Second)
	// However long it rests, it holds no more than its burst.
	f(time.Hour, 0)
	f(time.Hour, 0)
	f(time.Hour, 0)
	f(time.Hour, time.Second)
}
