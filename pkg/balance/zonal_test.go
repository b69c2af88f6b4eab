package balance

import (
	"fmt"
	"testing"

	"sluice/pkg/backend"
)

// TestZones measures what stays in the own zone, by every strategy, idle and
// under load.
func TestZones(t *testing.T) {
	t.Parallel()
	f := func(strategy string, near, far int, want float64) {
		t.Helper()
		pool := backend.NewPool("web")
		pool.SetPolicy(backend.Policy{Zone: "a"})
		var targets []backend.Target
		for i := range near + far {
			tg := backend.Target{ID: fmt.Sprint(i), Address: "h:1", Weight: 1, Zone: "a"}
			if i >= near {
				tg.Zone = "b"
			}
			targets = append(targets, tg)
		}
		pool.Set(targets)
		b, err := New(pool, strategy)
		if err != nil {
			t.Fatal(err)
		}
		got := 0.0
		for _, x := range pool.Snapshot().All[:near] {
			got += shareOf(b, x, 20000)
		}
		if got < want-0.03 || got > want+0.03 {
			t.Errorf("unexpected share of the own zone by %s with %d near and %d far; got %v; want %v", strategy, near, far, got, want)
		}
		// A retry leaves the zone, and ends nowhere but when all are tried.
		var tried Tried
		for range min(MaxTries, near+far) {
			x := b.Pick(Request{Tried: tried})
			if x == nil || tried.Has(x) || tried.Len() == 1 && far > 1 && x.Target().Zone != "b" {
				t.Fatalf("unexpected retry by %s after %+v: %v", strategy, tried, x)
			}
			tried.Add(x)
		}
		if near+far <= MaxTries && b.Pick(Request{Tried: tried}) != nil {
			t.Fatalf("unexpected pick by %s after all", strategy)
		}
	}
	for _, strategy := range []string{"round_robin", "least_conn", "p2c", "p2c_ewma", "adaptive", "random"} {
		f(strategy, 1, 1, 1)
		f(strategy, 4, 4, 1)
		f(strategy, 4, 2, 1)
		f(strategy, 1, 3, 0.5)
		f(strategy, 2, 6, 0.5)
	}
}

// TestHashesIgnoreZones checks that all processes agree on a key's backend,
// wherever they run.
func TestHashesIgnoreZones(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"ip_hash", "maglev"} {
		owners := func(zone string) (ids string) {
			pool := backend.NewPool("web")
			pool.SetPolicy(backend.Policy{Zone: zone})
			pool.Set([]backend.Target{{ID: "1", Address: "h:1", Weight: 1, Zone: "a"}, {ID: "2", Address: "h:2", Weight: 1, Zone: "b"}})
			b, err := New(pool, strategy)
			if err != nil {
				t.Fatal(err)
			}
			for k := range uint64(100) {
				x := b.Pick(Request{Key: mix(k), HasKey: true})
				ids += x.ID()
				x.Release()
			}
			return ids
		}
		if a, b := owners("a"), owners("b"); a != b {
			t.Fatalf("unexpected disagreement by %s:\n%s\n%s", strategy, a, b)
		}
	}
}
