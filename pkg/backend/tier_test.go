package backend

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTiers goes to the next priority when no member of the former is
// available, and back when one is.
func TestTiers(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	p.SetPolicy(Policy{Panic: 50, MaxEjection: 50})
	targets := func() []Target {
		return []Target{
			{ID: "a1", Address: "10.0.0.1:80", Weight: 1},
			{ID: "a2", Address: "10.0.0.2:80", Weight: 1},
			{ID: "a3", Address: "10.0.0.3:80", Weight: 1},
			{ID: "b1", Address: "10.0.0.4:80", Weight: 1, Priority: 7},
			{ID: "b2", Address: "10.0.0.5:80", Weight: 1, Priority: 7},
			{ID: "c1", Address: "10.0.0.6:80", Weight: 1, Priority: 65536},
		}
	}
	now := targets()
	p.Set(now)
	set := func(ids string, state State) {
		for _, b := range p.Snapshot().All {
			if slices.Contains(strings.Fields(ids), b.ID()) {
				b.SetCondition(Condition{State: state, Since: time.Now()})
			}
		}
	}
	f := func(tier int, want string, panicking bool) {
		t.Helper()
		s := p.Snapshot()
		var got []string
		for _, b := range s.Eligible {
			got = append(got, b.ID())
		}
		if strings.Join(got, " ") != want || s.Tier != tier || s.Tiers != 3 || s.Panic != panicking || len(s.Weights) != len(got) {
			t.Fatalf("unexpected members used %q of tier %d of %d, panic %v; want %q of %d, panic %v", got, s.Tier, s.Tiers, s.Panic, want, tier, panicking)
		}
		for _, b := range s.All {
			if s.Offers(b) != slices.Contains(got, b.ID()) {
				t.Fatalf("unexpected offer of %s", b.ID())
			}
		}
	}
	f(0, "a1 a2 a3", false)
	set("b1 b2 c1", Up)
	f(0, "a1 a2 a3", false)
	set("a1", Down)
	f(0, "a2 a3", false)
	set("a2", Down)
	f(0, "a1 a2 a3", true) // one is left, and the checks may be wrong
	set("a3", Down)
	f(1, "b1 b2", false)
	set("b1", Down)
	f(1, "b2", false)
	set("b2", Down)
	f(2, "c1", false)
	set("c1", Down)
	f(0, "a1 a2 a3", true) // nobody: as without tiers, in the first
	set("b2", Up)
	f(1, "b2", false)
	set("a1 a2 a3", Up)
	f(0, "a1 a2 a3", false)
	// A tier that is drained as a whole is no tier to fall back on.
	for i := range now[:3] {
		now[i].Status = Maintenance
	}
	p.Set(now)
	f(1, "b2", false)
	set("b1 b2 c1", Down)
	f(1, "b1 b2", true)
	p.Set(targets())
	f(0, "a1 a2 a3", false)
	// Ejected ones do not hold a tier if another one can serve.
	set("b1", Up)
	for _, b := range p.Snapshot().All[:3] {
		b.Eject(Ejection{Since: time.Now(), Until: time.Now().Add(time.Hour), Number: 1})
	}
	if s := p.Snapshot(); s.Tier == 1 && len(s.Eligible) != 1 || s.Tier > 1 {
		t.Fatalf("unexpected tier %d with %d members", s.Tier, len(s.Eligible))
	}
	only := targets()[:2]
	p.Set(only)
	if s := p.Snapshot(); s.Tiers != 1 || s.Tier != 0 || len(s.Eligible) == 0 {
		t.Fatalf("unexpected tiers of one: %d, %d, %d members", s.Tier, s.Tiers, len(s.Eligible))
	}
}
