package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"sluice/pkg/backend"
)

// TestSharesInFlight keeps so many requests in flight at equally fast backends,
// the next one beginning when one ends, and counts who gets them. Each backend
// is to get its part by weight, within 15 %, however few there are. What ends
// is the oldest one, as if all took the same time, or any.
func TestSharesInFlight(t *testing.T) {
	t.Parallel()
	f := func(strategy string, inFlight int, oldest bool, weights ...int) {
		t.Helper()
		n := sized(30000)
		b := newBalancer(t, strategy, weights...)
		sum := 0
		counts := make(map[string]int)
		for _, w := range weights {
			sum += w
		}
		busy := make([]*backend.Backend, inFlight)
		for k := range n {
			i := k % inFlight
			if !oldest {
				i = rand.IntN(inFlight)
			}
			if busy[i] != nil {
				busy[i].Release()
			}
			busy[i] = b.Pick(Request{})
			counts[busy[i].ID()]++
		}
		for i, w := range weights {
			p := float64(w) / float64(sum)
			got, want := float64(counts[fmt.Sprintf("%04d", i)]), p*float64(n)
			if math.Abs(got-want) > 0.15*want+4*math.Sqrt(want) {
				t.Errorf("unexpected share by %s of weight %d in %v with %d in flight (oldest first: %v); got %.2f %%; want %.2f %%",
					strategy, w, weights, inFlight, oldest, 100*got/float64(n), 100*p)
			}
		}
	}
	for _, strategy := range []string{"p2c", "least_conn", "p2c_ewma", "adaptive", "ip_hash"} {
		for _, inFlight := range []int{1, 2, 4, 16, 64} {
			for _, oldest := range []bool{true, false} {
				for _, weights := range [][]int{{10, 1}, {1, 10}, {1, 1}, {3, 2}, {100, 1}, {10, 1, 1}, {10, 10, 1}, {5, 3, 1}, {100, 100, 1}, {10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 2, 3, 4, 5, 6, 7}} {
					f(strategy, inFlight, oldest, weights...)
				}
			}
		}
	}
}
