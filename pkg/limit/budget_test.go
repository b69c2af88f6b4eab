package limit

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// retries returns how many retries b allows at now, at most limit.
func retries(b *Budget, now time.Time, limit int) (n int) {
	for n < limit && b.Retry(now) {
		n++
	}
	return n
}

func TestBudget(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	b := NewBudget(0.2, 10, now)
	f := func(attempts int, wait time.Duration, want int) {
		t.Helper()
		for range attempts {
			b.Attempt()
		}
		now = now.Add(wait)
		if got := retries(b, now, 10_000); got != want {
			t.Fatalf("unexpected retries after %d attempts in %v; got %d; want %d", attempts, wait, got, want)
		}
	}
	f(0, 0, initialRetries)
	f(0, 0, 0)
	f(100, 0, 20) // a fifth
	f(4, 0, 0)
	f(1, 0, 1)
	f(0, time.Second, 10) // the floor
	f(0, 50*time.Millisecond, 0)
	f(0, 50*time.Millisecond, 1)
	f(1_000_000, 0, maxRetries) // what can be saved is bounded
	f(0, time.Hour, maxRetries)
}

func TestBudgetWithoutBound(t *testing.T) {
	t.Parallel()
	b := NewBudget(-1, 0, time.Now())
	if got := retries(b, time.Now(), 5000); got != 5000 {
		t.Fatalf("unexpected retries; got %d; want all 5000", got)
	}
}

func TestBudgetConcurrently(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	b := NewBudget(0.5, 0, now)
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				b.Attempt()
				if b.Retry(now) {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	allowed.Add(int64(retries(b, now, 10_000)))
	if got := allowed.Load(); got != initialRetries+2000 {
		t.Fatalf("unexpected retries in all; got %d; want %d", got, initialRetries+2000)
	}
}
