package balance

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"sluice/pkg/backend"
)

// shareOf returns the part of n picks that b gets while the pool is under some
// load, so that strategies which compare have something to compare.
func shareOf(b *Balancer, x *backend.Backend, n int) float64 {
	var held []*backend.Backend
	got := 0
	for range n {
		c := b.Pick(Request{Key: rand.Uint64(), HasKey: true})
		if c == x {
			got++
		}
		if held = append(held, c); len(held) > 40 {
			i := rand.IntN(len(held))
			held[i].Release()
			held[i] = held[len(held)-1]
			held = held[:len(held)-1]
		}
	}
	for _, c := range held {
		c.Release()
	}
	return float64(got) / float64(n)
}

// TestSlowStart measures the share of one of ten backends through its slow
// start, by every strategy.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	for _, strategy := range Names() {
		synctest.Test(t, func(t *testing.T) {
			b := newBalancer(t, strategy, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
			x := b.Pool().Snapshot().All[3]
			picker := b.picker.Load()
			const window = 10 * time.Second
			check := func(warmth float64) {
				t.Helper()
				if got := x.Warmth(x.Now()); got < warmth-0.001 || got > warmth+0.001 {
					t.Fatalf("unexpected warmth; got %v; want %v", got, warmth)
				}
				// Those that compare favour whoever has less to do, up to twice.
				least, most := 0.6*warmth/10, 2.2*warmth/10+0.01
				got := shareOf(b, x, 20000)
				if got < least || got > most {
					t.Errorf("unexpected share by %s at warmth %v; got %v; want %v to %v", strategy, warmth, got, least, most)
				}
			}
			check(1)
			x.Warm(window)
			check(0.1)
			time.Sleep(window / 4)
			check(0.25)
			time.Sleep(window / 4)
			check(0.5)
			time.Sleep(window / 2)
			check(1)
			if x.Warming() {
				t.Fatal("unexpected slow start after its end")
			}
			if b.picker.Load() != picker {
				t.Fatal("unexpected new plan")
			}

			// If all are warming up, all are used, and a retry takes whoever is
			// left.
			for _, y := range b.Pool().Snapshot().All {
				y.Warm(window)
			}
			if got := shareOf(b, x, 20000); got < 0.05 || got > 0.2 {
				t.Errorf("unexpected share by %s when all are warming up; got %v; want a tenth", strategy, got)
			}
			two := newBalancer(t, strategy, 1, 1)
			all := two.Pool().Snapshot().All
			all[1].Warm(window)
			var tried Tried
			tried.Add(all[0])
			for range 100 {
				if c := two.Pick(Request{Key: rand.Uint64(), HasKey: true, Tried: tried}); c != all[1] {
					t.Fatalf("unexpected retry by %s; got %v", strategy, c)
				}
			}
		})
	}
}

// TestSlowStartKeepsKeys checks that a hash gives a backend that warms up key
// after key, and takes none back.
func TestSlowStartKeepsKeys(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"ip_hash", "maglev"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBalancer(t, strategy, 1, 1, 1, 1)
			x := b.Pool().Snapshot().All[2]
			owners := func() map[uint64]*backend.Backend {
				m := make(map[uint64]*backend.Backend)
				for k := range uint64(2000) {
					c := b.Pick(Request{Key: mix(k), HasKey: true})
					m[k] = c
					c.Release()
				}
				return m
			}
			settled := owners()
			x.Warm(100 * time.Second)
			before := owners()
			for range 20 {
				time.Sleep(5 * time.Second)
				now := owners()
				for k, c := range now {
					if settled[k] != x && c != settled[k] {
						t.Fatalf("%s moved a key that was never of the backend that warms up", strategy)
					}
					if before[k] == x && c != x {
						t.Fatalf("%s took a key back", strategy)
					}
				}
				before = now
			}
			for k, c := range before {
				if c != settled[k] {
					t.Fatalf("%s did not end where it was", strategy)
				}
			}
		})
	}
}
