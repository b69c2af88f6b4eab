package backend

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// zoned returns a pool in zone a with members given as zone:weight, in order.
func zoned(t *testing.T, members string) (*Pool, []*Backend) {
	t.Helper()
	p := NewPool("web")
	p.SetPolicy(Policy{Zone: "a", Panic: 30})
	var targets []Target
	for i, m := range strings.Fields(members) {
		tg := target(fmt.Sprintf("b%d", i+1), 1)
		zone, weight, _ := strings.Cut(m, ":")
		tg.Zone = zone
		if _, err := fmt.Sscan(weight, &tg.Weight); err != nil {
			t.Fatal(err)
		}
		targets = append(targets, tg)
	}
	added, _ := p.Set(targets)
	return p, added
}

// TestZonal gives shares to zones and checks that the load of all is even if
// each gets as many clients: what the own zone keeps and what others get.
func TestZonal(t *testing.T) {
	t.Parallel()
	f := func(members string, down []int, wantShare float64, wantNear, wantFar string) {
		t.Helper()
		p, bs := zoned(t, members)
		for _, i := range down {
			bs[i-1].SetCondition(Condition{State: Down})
		}
		z := p.Snapshot().Zonal
		if wantShare == 0 {
			if z != nil {
				t.Fatalf("unexpected division of %q: %+v", members, z)
			}
			return
		}
		if z == nil || math.Abs(z.Share-wantShare) > 1e-9 || z.Zone != "a" {
			t.Fatalf("unexpected division of %q; got %+v; want a share of %v", members, z, wantShare)
		}
		near := fmt.Sprintf("%s %v", ids(z.Near), z.NearWeights)
		far := fmt.Sprintf("%s %v", ids(z.Far), z.FarWeights)
		if near != wantNear || far != wantFar {
			t.Fatalf("unexpected division of %q; got %s and %s; want %s and %s", members, near, far, wantNear, wantFar)
		}
	}
	f("", nil, 0, "", "")
	f("a:1 a:1", nil, 0, "", "") // one zone
	f("b:1 c:1", nil, 0, "", "") // nothing near
	f(":1 :1", nil, 0, "", "")
	f("a:1 b:1", nil, 1, "b1 [1]", "b2 [128]")
	f("a:1 b:1 c:1", nil, 1, "b1 [1]", "b2 b3 [128 128]")
	f("a:3 b:1 c:1", nil, 1, "b1 [3]", "b2 b3 [128 128]") // more than its part
	// A half of what the zone would need: the rest goes where there is more
	// than needed, by how much more.
	f("a:1 b:3", nil, 0.5, "b1 [1]", "b2 [128]")
	f("a:1 b:2 c:3", nil, 0.5, "b1 [1]", "b3 [128]")
	f("a:2 b:5 c:5", nil, 0.5, "b1 [2]", "b2 b3 [128 128]")
	f("a:2 b:6 c:4", nil, 0.5, "b1 [2]", "b2 [256]")
	f("a:1 b:3 c:5", nil, 1.0/3, "b1 [1]", "b3 [256]")
	// Members that go down take their capacity, not their zone's clients.
	f("a:1 a:1 b:1 b:1", []int{1}, 2.0/3, "b2 [1]", "b3 b4 [32 32]")
	f("a:1 a:1 b:1 b:1", []int{1, 2}, 0, "", "")
	f("a:1 a:1 a:1 b:1 b:1 b:1", []int{4, 5, 6}, 0, "", "")
	f("a:1 a:1 b:1 b:1 c:1", []int{5}, 1, "b1 b2 [1 1]", "b3 b4 [128 128]")
	// Nobody's own: all of it can be used by others.
	f("a:1 b:2 :3", nil, 1.0/3, "b1 [1]", "b3 [384]")
	// Panic: zones make no difference.
	f("a:1 b:1 b:1 b:1", []int{2, 3, 4}, 0, "", "")

	p, _ := zoned(t, "a:1 b:1")
	p.SetZone("b")
	if z := p.Snapshot().Zonal; z == nil || ids(z.Near) != "b2" {
		t.Fatalf("unexpected division after a move: %+v", z)
	}
	p.SetZone("")
	if z := p.Snapshot().Zonal; z != nil {
		t.Fatalf("unexpected division without a zone: %+v", z)
	}
}

// TestZonalIsEven sums up what three zones, each with as many clients and a
// sluice of its own, send everywhere: each unit of weight must get the same.
func TestZonalIsEven(t *testing.T) {
	t.Parallel()
	for _, members := range []string{
		"a:1 b:2 c:3", "a:2 b:5 c:5", "a:1 b:1 c:10", "a:3 a:4 b:2 c:9 c:1", "a:1 b:1 c:1", "a:100 b:300 c:37",
	} {
		p, bs := zoned(t, members)
		got := make(map[*Backend]float64)
		sum := 0.0
		for _, b := range bs {
			sum += float64(b.Weight())
		}
		for _, own := range []string{"a", "b", "c"} {
			p.SetZone(own)
			z := p.Snapshot().Zonal
			spread := func(part float64, bs []*Backend, weights []int) {
				of := 0.0
				for _, w := range weights {
					of += float64(w)
				}
				for i, b := range bs {
					got[b] += part * float64(weights[i]) / of
				}
			}
			spread(z.Share/3, z.Near, z.NearWeights)
			spread((1-z.Share)/3, z.Far, z.FarWeights)
		}
		for _, b := range bs {
			if want := float64(b.Weight()) / sum; math.Abs(got[b]-want) > 0.01 {
				t.Errorf("unexpected share of %s in %q; got %v; want %v", b.ID(), members, got[b], want)
			}
		}
	}
}

func TestZoneTraffic(t *testing.T) {
	t.Parallel()
	p, bs := zoned(t, "a:1 b:1 :1")
	f := func(own, other, unknown Traffic) {
		t.Helper()
		for i, want := range []Traffic{own, other, unknown} {
			if c := Crossings()[i]; p.ZoneTraffic(c) != want {
				t.Fatalf("unexpected traffic of %v; got %+v; want %+v", c, p.ZoneTraffic(c), want)
			}
		}
	}
	f(Traffic{}, Traffic{}, Traffic{})
	for i, b := range bs {
		b.Counters.BytesIn.Add(uint64(i + 1))
		b.Counters.BytesOut.Add(uint64(10 * (i + 1)))
	}
	f(Traffic{1, 10}, Traffic{2, 20}, Traffic{3, 30})

	// What goes on after a backend has left counts as well, and what moved
	// before a change of zones stays where it was.
	bs[1].Acquire()
	p.Set([]Target{bs[0].Target(), bs[2].Target()})
	bs[1].Counters.BytesIn.Add(100)
	f(Traffic{1, 10}, Traffic{102, 20}, Traffic{3, 30})
	bs[1].Counters.BytesIn.Add(100)
	bs[1].Release()
	f(Traffic{1, 10}, Traffic{202, 20}, Traffic{3, 30})
	if n := len(p.traffic.counted); n != 2 {
		t.Fatalf("unexpected number of backends remembered; got %d; want 2", n)
	}
	p.SetZone("b")
	bs[0].Counters.BytesIn.Add(1000)
	f(Traffic{1, 10}, Traffic{1202, 20}, Traffic{3, 30})
	bs[0].Counters.BytesIn.Add(1000)
	moved := bs[0].Target()
	moved.Zone = "b"
	p.Set([]Target{moved})
	f(Traffic{1, 10}, Traffic{2202, 20}, Traffic{3, 30})
}
