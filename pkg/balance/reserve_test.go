package balance

import (
	"testing"
	"time"

	"sluice/pkg/backend"
)

// TestReserve picks for who has tried in vain: in later tiers only if the tier
// whose turn it is has nobody else, or for the last attempt there can be.
func TestReserve(t *testing.T) {
	pool := backend.NewPool("web")
	pool.SetPolicy(backend.Policy{Panic: 50})
	pool.Set([]backend.Target{
		{ID: "a1", Address: "10.0.0.1:80", Weight: 1},
		{ID: "a2", Address: "10.0.0.2:80", Weight: 1},
		{ID: "a3", Address: "10.0.0.3:80", Weight: 1},
		{ID: "b1", Address: "10.0.0.4:80", Weight: 1, Priority: 1},
		{ID: "c1", Address: "10.0.0.5:80", Weight: 1, Priority: 2},
		{ID: "c2", Address: "10.0.0.6:80", Weight: 5, Priority: 2},
	})
	of := make(map[string]*backend.Backend)
	for _, b := range pool.Snapshot().All {
		of[b.ID()] = b
		b.SetCondition(backend.Condition{State: backend.Up, Since: time.Now()})
	}
	f := func(failed bool, want string, tried ...string) {
		t.Helper()
		req := Request{Failed: failed}
		for _, id := range tried {
			req.Tried.Add(of[id])
		}
		for _, strategy := range Names() {
			b, err := New(pool, strategy)
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				x, got := b.Pick(req), ""
				if x != nil {
					got = x.ID()
					x.Release()
				}
				if want == "a" && (got == "" || got[0] != 'a') || want != "a" && got != want {
					t.Fatalf("%s: unexpected pick after %v, failed %v; got %q; want %q", strategy, tried, failed, got, want)
				}
				if allocs := testing.AllocsPerRun(1, func() { b.Pick(req).Release() }); allocs > 0 {
					t.Fatalf("%s: unexpected allocations of a pick: %v", strategy, allocs)
				}
			}
		}
	}
	down := func(ids ...string) {
		for _, id := range ids {
			of[id].SetCondition(backend.Condition{State: backend.Down, Since: time.Now()})
		}
	}
	f(false, "a")
	f(true, "a") // nothing was tried
	f(true, "a", "a1")
	f(false, "a", "a1", "a2")  // who is slow has a rival of its own tier
	f(true, "b1", "a1", "a2")  // the last attempt
	f(true, "c2", "a1", "b1")  // by weight
	down("a2", "a3")           // below the panic threshold: both are offered
	f(true, "b1", "a1", "a2")  // the last attempt
	f(true, "a", "a2")         // one that is known to be good is there
	of["b1"].Observe(0, false) // known not to be good
	f(true, "c2", "a1", "a2")
	down("a1") // the turn of the next tier
	f(false, "b1")
	f(true, "c2", "b1")
	down("b1", "c1", "c2") // nobody: as without tiers
	f(true, "a", "a1")
}

// TestReserveFull has no room in the tier that would be next: the one behind it
// is used, and if that has none either, nobody.
func TestReserveFull(t *testing.T) {
	t.Parallel()
	pool := backend.NewPool("web")
	pool.Limit(1, 0)
	pool.Set([]backend.Target{
		{ID: "a", Address: "10.0.0.1:80", Weight: 1},
		{ID: "b", Address: "10.0.0.2:80", Weight: 1, Priority: 1},
		{ID: "c", Address: "10.0.0.3:80", Weight: 1, Priority: 2},
	})
	b, err := New(pool, "p2c")
	if err != nil {
		t.Fatal(err)
	}
	req := Request{Failed: true}
	req.Tried.Add(pool.Snapshot().All[0])
	for _, want := range []string{"b", "c"} {
		if x := b.Pick(req); x == nil || x.ID() != want {
			t.Fatalf("unexpected pick %v; want %s", x, want)
		}
	}
	if x := b.Pick(req); x != nil {
		t.Fatalf("unexpected pick %s; want nobody, for all are full", x.ID())
	}
}
