//go:build !race

package balance

import (
	"fmt"
	"testing"
	"time"

	"sluice/pkg/backend"
)

// TestPickDoesNotAllocate holds the promise of Balancer.Pick, with and
// without backends already tried, keys, outcomes and full backends.
func TestPickDoesNotAllocate(t *testing.T) {
	for _, strategy := range Names() {
		b := newBalancer(t, strategy, 3, 2, 1, 1)
		key := uint64(0)
		if n := testing.AllocsPerRun(1000, func() {
			key += golden
			for _, req := range []Request{{}, {Key: key, HasKey: true}, {Key: 1, HasKey: true}} {
				x := b.Pick(req)
				req.Tried.Add(x)
				y := b.Pick(req)
				x.Observe(time.Millisecond, true)
				y.Observe(time.Millisecond, false)
				y.Release()
				if key%3 != 0 {
					x.Release()
				}
			}
		}); n != 0 {
			t.Fatalf("unexpected allocations of %s; got %v; want 0", strategy, n)
		}
	}
}

// TestPickInTroubleDoesNotAllocate holds it while backends are in several
// zones, one starts slowly, and outcomes are reported.
func TestPickInTroubleDoesNotAllocate(t *testing.T) {
	for _, strategy := range Names() {
		b := newBalancer(t, strategy, 3, 2, 1, 1)
		var targets []backend.Target
		for i, x := range b.Pool().Snapshot().All {
			target := x.Target()
			target.Zone = []string{"a", "b"}[i%2]
			targets = append(targets, target)
		}
		b.Pool().Set(targets)
		b.Pool().SetZone("b")
		if b.Pool().Snapshot().Zonal == nil {
			t.Fatal("unexpected: zones make no difference")
		}
		b.Pool().Snapshot().All[1].Warm(time.Hour)
		key := uint64(0)
		if n := testing.AllocsPerRun(1000, func() {
			key += golden
			x := b.Pick(Request{Key: key, HasKey: true})
			if key%4 == 0 {
				x.ReportFault(backend.Witness{})
			} else {
				x.ReportServed(backend.Witness{})
			}
			x.Release()
		}); n != 0 {
			t.Fatalf("unexpected allocations of %s; got %v; want 0", strategy, n)
		}
	}
}

// benchmarked leaves out the names that mean the same.
func benchmarked() []string {
	return []string{"round_robin", "least_conn", "p2c", "p2c_ewma", "adaptive", "consistent_hash", "maglev", "random"}
}

// BenchmarkPick picks with keys that differ each time, from backends whose
// latency is known.
func BenchmarkPick(b *testing.B) {
	for _, strategy := range benchmarked() {
		for _, n := range []int{1, 10, 1000} {
			b.Run(fmt.Sprintf("%s/backends=%d", strategy, n), func(b *testing.B) {
				balancer := newBalancer(b, strategy, weightsOf123(n)...)
				for i, x := range balancer.Pool().Snapshot().All {
					x.Observe(time.Millisecond+time.Duration(i)*time.Microsecond, true)
				}
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					req := Request{HasKey: true}
					for pb.Next() {
						req.Key += golden
						balancer.Pick(req).Release()
					}
				})
			})
		}
	}
}

// BenchmarkPickAfterFailures picks while one backend in ten is distrusted.
func BenchmarkPickAfterFailures(b *testing.B) {
	for _, strategy := range []string{"least_conn", "p2c", "p2c_ewma", "adaptive"} {
		b.Run(strategy, func(b *testing.B) {
			balancer := newBalancer(b, strategy, weightsOf123(10)...)
			for range 20 {
				balancer.Pool().Snapshot().All[0].Observe(0, false)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					balancer.Pick(Request{}).Release()
				}
			})
		})
	}
}

// BenchmarkPickOfFull picks for keys whose load is at the bound: for one that
// fills the pool alone, which is the worst there is, and for very many.
func BenchmarkPickOfFull(b *testing.B) {
	for _, strategy := range []string{"consistent_hash", "maglev"} {
		for _, n := range []int{10, 1000} {
			for _, keys := range []uint64{1, 1 << 20} {
				b.Run(fmt.Sprintf("%s/backends=%d/keys=%d", strategy, n, keys), func(b *testing.B) {
					balancer := newBalancer(b, strategy, weightsOf123(n)...)
					for i := range uint64(10 * n) {
						balancer.Pick(Request{Key: mix(i % keys), HasKey: true})
					}
					b.ReportAllocs()
					i := uint64(0)
					for b.Loop() {
						i++
						balancer.Pick(Request{Key: mix(i % keys), HasKey: true}).Release()
					}
				})
			}
		}
	}
}

// BenchmarkPlan is what a change of the eligible backends costs.
func BenchmarkPlan(b *testing.B) {
	for _, strategy := range benchmarked() {
		for _, n := range []int{10, 1000} {
			b.Run(fmt.Sprintf("%s/backends=%d", strategy, n), func(b *testing.B) {
				s := newBalancer(b, "random", weightsOf123(n)...).Pool().Snapshot()
				st, err := newStrategy(strategy)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					st.Plan(s)
				}
			})
		}
	}
}

func BenchmarkHash(b *testing.B) {
	addr := addrs(1)[0]
	b.Run("addr", func(b *testing.B) {
		for b.Loop() {
			HashAddr(addr)
		}
	})
	b.Run("string", func(b *testing.B) {
		for b.Loop() {
			HashString("3fa85f64-5717-4562-b3fc-2c963f66afa6")
		}
	})
}
