//go:build !race

package limit

import (
	"net/netip"
	"testing"
	"time"
)

// TestAllocs holds what is asked for each request to what it promises.
func TestAllocs(t *testing.T) {
	f := func(what string, do func()) {
		t.Helper()
		if n := testing.AllocsPerRun(1000, do); n != 0 {
			t.Errorf("unexpected allocations of %s: %v", what, n)
		}
	}
	now := time.Now()
	rate, addr, header := NewRate(1e6, 1e6), netip.MustParseAddr("192.0.2.1"), []byte("user-1")
	f("Rate", func() {
		rate.Take(rate.Addr(addr), now)
		rate.Take(rate.Bytes(header), now)
	})
	c := NewAdaptive(1, 100, now)
	f("Concurrency", func() {
		now = now.Add(time.Millisecond)
		if c.Enter() {
			c.Leave(now, time.Millisecond, now)
		}
	})
	b := NewBreaker(BreakerConfig{OpenTime: time.Millisecond})
	outcome := Failure
	f("Breaker", func() {
		now = now.Add(time.Millisecond)
		b.Done(b.Allow(now), outcome, now)
		outcome = Success + Failure - outcome
	})
}
