package backend

import (
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func one(t *testing.T) *Backend {
	t.Helper()
	added, _ := NewPool("web").Set([]Target{target("b1", 1)})
	return added[0]
}

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-4*math.Abs(want)+1e-9 }

func TestLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := one(t)
		f := func(want time.Duration) {
			t.Helper()
			if got := b.Latency(b.Now()); !near(float64(got), float64(want)) {
				t.Fatalf("unexpected latency; got %v; want %v", got, want)
			}
		}
		f(0)
		b.Observe(0, true) // not known
		f(0)
		b.Observe(10*time.Millisecond, true)
		f(10 * time.Millisecond)
		b.Observe(40*time.Millisecond, true) // by the logarithm
		f(20 * time.Millisecond)
		b.Observe(20*time.Millisecond, true)
		f(20 * time.Millisecond)
		time.Sleep(latencyHeld * time.Millisecond)
		f(20 * time.Millisecond)
		time.Sleep(10 * time.Second)
		f(time.Duration(20e6 * math.Exp(-1))) // down by itself
		b.Observe(20*time.Millisecond, true)
		f(20 * time.Millisecond) // and forgotten that it was
		for range 500 {
			b.Observe(10*time.Millisecond, true)
		}
		if got := b.Latency(b.Now()); got < 10*time.Millisecond || got > 10100*time.Microsecond || b.Measured() != 1 {
			t.Fatalf("unexpected latency after 500 of 10 ms; got %v, known to %v", got, b.Measured())
		}
		b.Observe(10*time.Second, true) // what happens once says little
		if got := b.Latency(b.Now()); got > 10500*time.Microsecond {
			t.Fatalf("unexpected latency after one of 10 s; got %v", got)
		}
		time.Sleep(time.Minute)
		f(0) // forgotten
		b.Observe(20*time.Millisecond, true)
		f(20 * time.Millisecond)
	})
}

// TestFailureNeverLowersLatency is the point of telling failures apart.
func TestFailureNeverLowersLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := one(t)
		b.Observe(10*time.Millisecond, true)
		time.Sleep(time.Second)
		was := b.Latency(b.Now())
		b.Observe(time.Microsecond, false)
		if got := b.Latency(b.Now()); got != was {
			t.Fatalf("unexpected latency after a quick failure; got %v; want %v", got, was)
		}
		b.Observe(2*time.Second, false)
		if got := b.Latency(b.Now()); !near(float64(got), 2e9) {
			t.Fatalf("unexpected latency after a slow failure; got %v; want 2s", got)
		}
	})
}

func TestDistrust(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := one(t)
		f := func(outcomes string, want float64) {
			t.Helper()
			for _, o := range outcomes {
				b.Observe(0, o == '+')
			}
			if got := b.Distrust(b.Now()); !near(got, want) || b.Distrusted() != (want > 0) {
				t.Fatalf("unexpected distrust after %q; got %v, %v; want %v", outcomes, got, b.Distrusted(), want)
			}
		}
		f("", 0)
		f("+", 0)
		f("-", 1)
		f("-", 3)
		f("-", 7)
		f("+", 5.25)
		f("+++++++++++++++", 0)
		f("----------", maxDistrust)
		time.Sleep(10 * time.Second)
		f("", maxDistrust*math.Exp(-1))
		b.SetCondition(Condition{State: Down})
		f("", maxDistrust*math.Exp(-1))
		b.SetCondition(Condition{State: Up})
		f("", 0)
		b.ReportConnectFailure()
		f("", 1)
		time.Sleep(time.Minute)
		if got := b.Distrust(b.Now()); got != 0 {
			t.Fatalf("unexpected distrust after a minute; got %v; want 0", got)
		}
	})
}

func TestErrorRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := one(t)
		f := func(want, slack float64) {
			t.Helper()
			if got := b.ErrorRate(b.Now()); math.Abs(got-want) > slack {
				t.Fatalf("unexpected error rate; got %v; want %v", got, want)
			}
		}
		f(0, 0)
		for range 300 {
			b.Observe(0, false)
		}
		f(1, 0.001)
		for i := range 300 {
			b.Observe(0, i%4 > 0)
		}
		f(0.25, 0.03)
		time.Sleep(10 * time.Second)
		f(0.25/math.E, 0.02)
		for range 400 {
			b.Observe(0, true)
		}
		f(0, 0)
	})
}

// TestDecayAtTheEndOfTime checks moments that wrap, and clocks read in
// another order than outcomes are noted.
func TestDecayAtTheEndOfTime(t *testing.T) {
	t.Parallel()
	f := func(set, now Moment, want float64) {
		t.Helper()
		if got, _ := unpack(pack(8, set), now); !near(got, want) {
			t.Fatalf("unexpected value at %d of 8 at %d; got %v; want %v", now, set, got, want)
		}
	}
	f(5, 5, 8)
	f(5, 4, 8)
	f(0, math.MaxUint32, 8)
	f(math.MaxUint32, 9_999, 8/math.E)
	f(0, forgetTime, 8*math.Exp(-5))
	f(0, forgetTime+1, 0)
	f(0, 1<<31, 0)
	f(0, math.MaxUint32-clockSlack, 0)
}

// TestObserveConcurrently is for the race detector; no outcome may be lost.
func TestObserveConcurrently(t *testing.T) {
	t.Parallel()
	b := one(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 2000 {
				b.Observe(time.Duration(1+i*j)*time.Microsecond, i > 0)
				if now := b.Now(); b.ErrorRate(now) > 1 || b.Distrust(now) > maxDistrust || b.Latency(now) < 0 {
					t.Error("unexpected outcome out of range")
				}
			}
		})
	}
	wg.Wait()
	if got, want := b.Latency(b.Now()), 3*1999*time.Microsecond; got > want+time.Microsecond || got <= 0 {
		t.Fatalf("unexpected latency; got %v; want %v, decayed by as much as the others took longer", got, want)
	}
}

func TestPulse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := one(t)
		f := func(want bool, do func()) {
			t.Helper()
			before := b.Pulse()
			time.Sleep(time.Millisecond)
			do()
			if got := before.Silent(b.Pulse()); got != want {
				t.Fatalf("unexpected silence: %v", got)
			}
		}
		f(true, func() {})
		f(true, b.Acquire)
		f(true, func() { b.Observe(time.Millisecond, true) }) // connected
		f(false, func() { b.Counters.BytesOut.Add(1) })
		f(false, func() { b.Observe(0, false) })
		f(true, func() {})
		if p := b.Pulse(); p.Active != 1 {
			t.Fatalf("unexpected pulse: %+v", p)
		}
	})
}
