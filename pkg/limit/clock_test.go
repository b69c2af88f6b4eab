package limit

import (
	"net/netip"
	"testing"
	"time"
)

// TestClockPutBack sets the clock that limits are told the time by back by an
// hour: they go on as before, within moments.
func TestClockPutBack(t *testing.T) {
	t.Parallel()
	wall := func(at time.Duration) time.Time { return time.Now().Round(0).Add(at) } // no monotonic clock
	later, back := wall(0), func(at time.Duration) time.Time { return wall(at - time.Hour) }

	budget := NewBudget(0.2, 10, later.Add(-time.Minute))
	for budget.Retry(later) {
	}
	budget.Retry(back(0))
	if !budget.Retry(back(time.Second)) {
		t.Error("the budget's floor is not paid any more")
	}

	c := NewAdaptive(1, 100, later)
	limit := c.Limit()
	for i := range 100 { // fast answers: the limit grows with each round
		at := back(time.Duration(i) * 20 * time.Millisecond)
		for range limit {
			c.Enter()
		}
		for range limit {
			c.Leave(at, time.Millisecond, at)
		}
	}
	if c.Limit() <= limit {
		t.Errorf("the limit does not move any more; got %d", c.Limit())
	}

	b := NewBreaker(BreakerConfig{MinRequests: 1, OpenTime: 10 * time.Second})
	b.Done(b.Allow(later), Failure, later)
	if b.State() != Open || b.Allow(later.Add(time.Second)) != 0 {
		t.Fatal("unexpected breaker")
	}
	if b.Allow(back(0)) == 0 {
		t.Error("the breaker is open for an hour more")
	}

	clients, a := NewClients(0, 1), netip.MustParseAddr("192.0.2.1")
	clients.Enter(a, later)
	if v := clients.Enter(a, back(2*time.Second)); v == ClientTooFast {
		if v = clients.Enter(a, back(4*time.Second)); v != ClientAdmitted {
			t.Errorf("a client is kept out: %v", v)
		}
	}
}
