//go:build !race

package attempt

import (
	"syscall"
	"testing"
	"time"
)

// TestAllocations: a plan that succeeds, or fails a few times, allocates nothing.
func TestAllocations(t *testing.T) {
	s := newScript(t, 5, rich)
	var plan Plan
	if n := testing.AllocsPerRun(1000, func() {
		plan = New(s.terms, s, 1)
		a := plan.Begin(0)
		a = plan.Failed(0, a.Backend, syscall.ETIMEDOUT, time.Second, false)
		b := plan.Slow()
		plan.Connected()
		a.Backend.Release()
		plan.Lost(b.Backend, time.Second)
	}); n > 0 {
		t.Fatalf("unexpected allocations: %v", n)
	}
}
