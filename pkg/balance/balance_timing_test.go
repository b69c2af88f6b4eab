//go:build !race

package balance

import (
	"fmt"
	"testing"
)

// TestPickDoesNotAllocate holds the promise of Balancer.Pick, with and
// without backends already tried.
func TestPickDoesNotAllocate(t *testing.T) {
	for _, strategy := range Names() {
		b := newBalancer(t, strategy, 3, 2, 1, 1)
		if n := testing.AllocsPerRun(1000, func() {
			x := b.Pick(Tried{})
			var tried Tried
			tried.Add(x)
			b.Pick(tried).Release()
			x.Release()
		}); n != 0 {
			t.Fatalf("unexpected allocations of %s; got %v; want 0", strategy, n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, strategy := range []string{"round_robin", "least_conn", "p2c", "random"} {
		for _, n := range []int{1, 10, 1000} {
			b.Run(fmt.Sprintf("%s/backends=%d", strategy, n), func(b *testing.B) {
				weights := make([]int, n)
				for i := range weights {
					weights[i] = 1 + i%3
				}
				balancer := newBalancer(b, strategy, weights...)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						balancer.Pick(Tried{}).Release()
					}
				})
			})
		}
	}
}
