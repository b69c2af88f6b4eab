package balance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"sluice/pkg/backend"
)

// placedAt returns the address of the backend of each of many clients.
func placedAt(b *Balancer, keys int) []string {
	out := make([]string, keys)
	for i := range out {
		x := b.Pick(Request{Key: mix(uint64(i)), HasKey: true})
		out[i] = x.Addr()
		x.Release()
	}
	return out
}

// TestPlacementByAddress gives backends new IDs, as a deployment does, and all
// weights another unit: nobody moves. A weight that changes moves about as many
// as it has to.
func TestPlacementByAddress(t *testing.T) {
	t.Parallel()
	const keys = 20000
	for _, strategy := range []string{"ip_hash", "consistent_hash", "maglev"} {
		for _, weights := range [][]int{{1, 1, 1, 1}, {1, 2, 3, 4, 5}, {3, 3, 1}, {7}, {100, 100, 100, 50, 10}, {10, 20, 10, 20, 10, 20}} {
			targets := func(ids string, times int) (list []backend.Target) {
				for i, w := range weights {
					list = append(list, backend.Target{ID: ids + fmt.Sprint(rand.Uint64()), Address: fmt.Sprintf("10.0.0.%d:80", i+1), Weight: w * times})
				}
				return list
			}
			pool := backend.NewPool("web")
			pool.Set(targets("a", 1))
			b, err := New(pool, strategy)
			if err != nil {
				t.Fatal(err)
			}
			before := placedAt(b, keys)
			moved := func() (n int) {
				for i, addr := range placedAt(b, keys) {
					if addr != before[i] {
						n++
					}
				}
				return n
			}
			pool.Set(targets("b", 1))
			if n := moved(); n != 0 {
				t.Errorf("%s, weights %v: new IDs moved %d of %d", strategy, weights, n, keys)
			}
			for _, times := range []int{2, 3, 10, 1000} {
				if slices.Max(weights)*times > backend.MaxWeight {
					continue
				}
				pool.Set(targets("c", times))
				if n := moved(); n != 0 {
					t.Errorf("%s, weights %v: %d times all weights moved %d of %d", strategy, weights, times, n, keys)
				}
			}
			// A tenth less of the first: of its share s, at most about s/10 has
			// to go, and in tables some more.
			first, sum := weights[0]*1000, 0
			for _, w := range weights {
				sum += w * 1000
			}
			list := targets("d", 1000)
			list[0].Weight = first * 9 / 10
			pool.Set(list)
			share := float64(first) / float64(sum)
			if got := float64(moved()) / keys; got > 0.3*share+0.02 && len(weights) > 1 {
				t.Errorf("%s, weights %v: a tenth less of one with %.2f of all moved %.3f", strategy, weights, share, got)
			}
		}
	}
}
