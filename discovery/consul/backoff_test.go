package consul

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	f := func(failures int, random float64, want time.Duration) {
		t.Helper()
		if got := backoff(failures, random); got != want {
			t.Fatalf("unexpected wait after %d failures with random %v; got %s; want %s", failures, random, got, want)
		}
	}

	f(1, 0, 250*time.Millisecond)
	f(1, 0.5, 375*time.Millisecond)
	f(2, 0, 250*time.Millisecond)
	f(2, 0.5, 625*time.Millisecond)
	f(5, 0.5, 4125*time.Millisecond)
	f(6, 0.5, 7625*time.Millisecond)
	f(1000, 0, 250*time.Millisecond)
	f(1000, 0.5, 7625*time.Millisecond)
	for failures := 1; failures < 100; failures++ {
		if got := backoff(failures, 0.999999); got > maxBackoff || got < minBackoff {
			t.Fatalf("unexpected wait after %d failures; got %s; want at most %s", failures, got, maxBackoff)
		}
	}
}
