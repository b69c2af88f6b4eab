package balance

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"sluice/pkg/backend"
)

// answer is a request under way.
type answer struct {
	at, took time.Duration
	from     *backend.Backend
}

type answers []answer

func (a answers) Len() int           { return len(a) }
func (a answers) Less(i, j int) bool { return a[i].at < a[j].at }
func (a answers) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *answers) Push(x any)        { *a = append(*a, x.(answer)) }
func (a *answers) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// shares keeps so many requests in flight, the next one beginning when one ends,
// until n have ended, and returns what part of them each backend got. It sleeps
// in time that is none.
func shares(b *Balancer, inFlight, n int, took func(i int) time.Duration) []float64 {
	all := b.Pool().Snapshot().All
	index := make(map[*backend.Backend]int)
	for i, x := range all {
		index[x] = i
	}
	got := make([]float64, len(all))
	now := time.Duration(0)
	var under answers
	begin := func() {
		x := b.Pick(Request{})
		d := took(index[x])
		heap.Push(&under, answer{now + d, d, x})
		got[index[x]] += 1 / float64(n)
	}
	for range inFlight {
		begin()
	}
	for range n - inFlight {
		next := heap.Pop(&under).(answer)
		if d := next.at.Truncate(time.Millisecond) - now.Truncate(time.Millisecond); d > 0 {
			time.Sleep(d)
		}
		now = next.at
		next.from.Observe(next.took, true)
		next.from.Release()
		begin()
	}
	for _, x := range under {
		x.from.Release()
	}
	return got
}

// noises are latencies as they are measured, all alike in the middle.
func noises() map[string]func() time.Duration {
	of := func(ms float64) time.Duration { return time.Duration(ms * 1e6) }
	return map[string]func() time.Duration{
		"none":      func() time.Duration { return of(4) },
		"lognormal": func() time.Duration { return of(4 * math.Exp(rand.NormFloat64())) },
		// Without a variance, but for the time-out that ends it: else, once in a
		// while, a single request takes longer than all others together.
		"Pareto": func() time.Duration { return of(min(1000, 2/math.Pow(1-rand.Float64(), 1/1.5))) },
		"now and then": func() time.Duration {
			if rand.IntN(50) == 0 {
				return of(40)
			}
			return of(1 + rand.Float64())
		},
	}
}

// offShare says which share of n is further from its weight than chance makes it,
// or "".
func offShare(weights []int, got []float64, n int) string {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	for i, w := range weights {
		want := float64(w) / float64(sum)
		if math.Abs(got[i]/want-1) > 0.15+4*math.Sqrt(1/(want*float64(n))) {
			return fmt.Sprintf("unexpected share of weight %d in %v; got %.2f %%; want %.2f %%", w, weights, 100*got[i], 100*want)
		}
	}
	return ""
}

// TestSharesInNoise has equally fast backends whose latencies have heavy tails:
// each gets its part by weight, within 15 %, however few requests are in flight.
func TestSharesInNoise(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, strategy := range []string{"p2c_ewma", "adaptive"} {
			for name, noise := range noises() {
				for _, inFlight := range []int{1, 2, 4, 16, 64} {
					for _, weights := range [][]int{{10, 1}, {3, 2, 1}} {
						wrong := ""
						for range 3 { // chance may err once; what is wrong errs each time
							n := sized(40000)
							got := shares(newBalancer(t, strategy, weights...), inFlight, n, func(int) time.Duration { return noise() })
							if wrong = offShare(weights, got, n); wrong == "" {
								break
							}
						}
						if wrong != "" {
							t.Errorf("%s with %d in flight and noise %q: %s", strategy, inFlight, name, wrong)
						}
					}
				}
			}
		}
	})
}

// TestSlowerInNoise has one of the backends be twice as slow, or more: it gets
// clearly less than its part, the less the slower it is, but never nothing.
func TestSlowerInNoise(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, strategy := range []string{"p2c_ewma", "adaptive"} {
			for name, noise := range noises() {
				for _, inFlight := range []int{1, 4, 64} {
					for factor, most := range map[int]float64{2: 0.36, 4: 0.16, 10: 0.06} {
						n := max(sized(8000), 2000)
						got := shares(newBalancer(t, strategy, 1, 1), inFlight, n, func(i int) time.Duration {
							if i == 0 {
								return time.Duration(factor) * noise()
							}
							return noise()
						})
						if got[0] > most || got[0] < 0.001 {
							t.Errorf("unexpected share by %s of a backend that is %d times as slow with %d in flight and noise %q; got %.2f %%; want less than %.0f %%",
								strategy, factor, inFlight, name, 100*got[0], 100*most)
						}
					}
				}
			}
		}
	})
}
