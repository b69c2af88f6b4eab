package balance

import (
	"testing"
	"testing/synctest"
	"time"

	"sluice/pkg/backend"
)

// comparing are the strategies that compare backends.
func comparing() []string { return []string{"least_conn", "p2c", "p2c_ewma", "adaptive"} }

// firstPicks simulates n requests, one every gap, each of which holds its slot
// for hold. The first backend fails at once with the given probability (of
// 100); the others answer after latency. What fails is tried elsewhere. It
// returns how many requests picked each backend first.
func firstPicks(b *Balancer, n int, gap, hold, latency time.Duration, fails int) []int {
	all := b.Pool().Snapshot().All
	counts := make([]int, len(all))
	var busy []*backend.Backend
	for i := range n {
		var tried Tried
		for {
			x := b.Pick(Request{Tried: tried})
			if tried.Len() == 0 {
				for k := range all {
					if all[k] == x {
						counts[k]++
					}
				}
			}
			if x == all[0] && i*37%100 < fails {
				x.Observe(100*time.Microsecond, false)
				x.Release()
				tried.Add(x)
				continue
			}
			x.Observe(latency, true)
			busy = append(busy, x)
			break
		}
		if len(busy) > int(hold/gap) {
			busy[0].Release()
			busy = busy[1:]
		}
		time.Sleep(gap)
	}
	for _, x := range busy {
		x.Release()
	}
	return counts
}

// TestFailureDoesNotLookFast has one of three backends refuse everything at
// once, without health checks: it is always the least loaded one, and the
// quickest. Its fair share would be a third.
func TestFailureDoesNotLookFast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := func(strategy string, n int, gap, hold time.Duration, most float64) {
			t.Helper()
			counts := firstPicks(newBalancer(t, strategy, 1, 1, 1), n, gap, hold, 5*time.Millisecond, 100)
			share := float64(counts[0]) / float64(n)
			t.Logf("%s, a request each %v, held for %v: the failing backend is picked first for %.2f %%", strategy, gap, hold, 100*share)
			if share > most {
				t.Fatalf("unexpected share of a backend that fails with %s; got %.3f; want %.3f at most", strategy, share, most)
			}
		}
		for _, strategy := range comparing() {
			f(strategy, 20000, time.Millisecond, 5*time.Millisecond, 0.03)
			f(strategy, 2000, 100*time.Millisecond, 0, 0.05)
			f(strategy, 20000, time.Millisecond, 10*time.Second, 0.03) // the others are very busy
		}
	})
}

// TestFailingNowAndThen checks that a few failures cost few picks, and that
// many cost most.
func TestFailingNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := func(strategy string, fails int, least, most float64) {
			t.Helper()
			const n = 20000
			counts := firstPicks(newBalancer(t, strategy, 1, 1, 1), n, time.Millisecond, 20*time.Millisecond, 5*time.Millisecond, fails)
			share := float64(counts[0]) / n
			t.Logf("%s, %d %% failures: the backend is picked first for %.1f %%", strategy, fails, 100*share)
			if share < least || share > most {
				t.Fatalf("unexpected share of a backend with %d %% failures by %s; got %.3f; want %.3f to %.3f", fails, strategy, share, least, most)
			}
		}
		for _, strategy := range []string{"p2c", "p2c_ewma", "least_conn"} {
			f(strategy, 1, 0.28, 0.36)
			f(strategy, 10, 0.20, 0.36)
			f(strategy, 60, 0.001, 0.1)
		}
		f("adaptive", 1, 0.20, 0.36)
		f("adaptive", 10, 0.03, 0.28)
		f("adaptive", 60, 0.001, 0.1)
	})
}

// TestRecovery lets a backend fail for a while and then work again: it must
// soon have its share.
func TestRecovery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, strategy := range comparing() {
			b := newBalancer(t, strategy, 1, 1, 1)
			firstPicks(b, 10000, time.Millisecond, 10*time.Millisecond, 5*time.Millisecond, 100)
			firstPicks(b, 10000, time.Millisecond, 10*time.Millisecond, 5*time.Millisecond, 0)
			counts := firstPicks(b, 3000, time.Millisecond, 10*time.Millisecond, 5*time.Millisecond, 0)
			if counts[0] < 800 {
				t.Fatalf("unexpected picks by %s of a backend that works again for 10 s; got %d of 3000; want about 1000", strategy, counts[0])
			}
		}
	})
}

// known has a backend take so long for as many requests as it takes to know it.
func known(x *backend.Backend, latency time.Duration) {
	for range 100 {
		x.Observe(latency, true)
	}
}

// TestEWMAPrefersTheFaster checks who gets more, how that follows load and
// weight, and that time and new outcomes change it.
func TestEWMAPrefersTheFaster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, strategy := range []string{"p2c_ewma", "adaptive"} {
			f := func(what string, b *Balancer, least, most int) {
				t.Helper()
				if n := draw(b, 1000)[0]; n < least || n > most {
					t.Fatalf("unexpected picks of the first by %s, %s; got %d of 1000; want %d to %d", strategy, what, n, least, most)
				}
			}
			b := newBalancer(t, strategy, 1, 1)
			x, y := b.Pool().Snapshot().All[0], b.Pool().Snapshot().All[1]
			f("nothing known", b, 400, 600)
			known(x, 10*time.Millisecond)
			f("only the first known", b, 400, 600) // the other is tried, and not flooded
			for range 3 {
				y.Acquire()
			}
			f("and the other busy", b, 1000, 1000)
			for range 3 {
				y.Release()
			}
			y.Observe(20*time.Millisecond, true)
			f("the other was measured once", b, 400, 600)
			known(y, 20*time.Millisecond)
			f("the first is faster", b, 740, 860)
			for range 16 {
				x.Acquire()
			}
			f("the first is faster but busy", b, 0, 250)
			for range 16 {
				x.Release()
			}
			time.Sleep(14 * time.Second)
			known(x, 10*time.Millisecond)
			f("the other's time has decayed", b, 200, 400)
			y.Observe(20*time.Millisecond, true)
			f("and was measured again", b, 740, 860)
			known(y, 300*time.Millisecond)
			f("the other is very slow", b, 970, 1000)
		}
	})
}

// TestAdaptiveMindsErrors has a faster backend that fails now and then lose to
// a slower one, which is what adaptive is for. Its last outcomes are good, so
// that the error rate alone decides.
func TestAdaptiveMindsErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for strategy, faster := range map[string]bool{"p2c_ewma": true, "adaptive": false} {
			b := newBalancer(t, strategy, 1, 1)
			x, y := b.Pool().Snapshot().All[0], b.Pool().Snapshot().All[1]
			for i := range 200 {
				x.Observe(10*time.Millisecond, i%5 > 0)
			}
			for range 15 {
				x.Observe(10*time.Millisecond, true)
			}
			known(y, 15*time.Millisecond)
			if n := draw(b, 1000)[0]; n < 570 == faster {
				t.Fatalf("unexpected picks by %s of a backend that is faster but fails; got %d of 1000; its error rate is %.3f", strategy, n, x.ErrorRate(x.Now()))
			}
		}
	})
}
