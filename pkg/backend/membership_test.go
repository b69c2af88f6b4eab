package backend

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMembershipChanges checks that each change that a source brings is told,
// remembered and counted once.
func TestMembershipChanges(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	var told []string
	p.OnMember(func(b *Backend, c Change) {
		told = append(told, strings.TrimSpace(fmt.Sprintf("%s %s %s: %s", b.ID(), c.To, c.Signal, c.Detail)))
	})
	expect := func(want ...string) {
		t.Helper()
		if !slices.Equal(told, want) {
			t.Fatalf("unexpected changes; got %q; want %q", told, want)
		}
		told = nil
	}
	target := func(id string, weight int, status Status) Target {
		return Target{ID: id, Address: "10.0.0.1:" + id, Weight: weight, Status: status}
	}
	p.Set([]Target{target("1", 1, Passing), target("2", 1, Critical)})
	expect("1 joined registry:", "2 joined registry:")
	one := p.Snapshot().All[0]
	if st := one.Standing(); st.Signal == Registry {
		t.Fatalf("unexpected standing of one that passes: %+v", st)
	}
	p.Set([]Target{target("1", 1, Passing), target("2", 1, Critical)})
	expect()
	before := time.Now()
	p.Set([]Target{target("1", 3, Warning), target("2", 7, Critical)})
	expect("1 warning registry: was passing; weight 3, was 1", "2 reweighted registry: weight 7, was 1")
	p.Set([]Target{target("1", 3, Maintenance)})
	expect("1 maintenance registry: was warning", "2 left registry:")
	// Our own check does not change who rules.
	one.SetCondition(Condition{State: Up, Since: time.Now(), Streak: 1, Signal: "tcp check"})
	if st := one.Standing(); st.Signal != Registry || st.Since.Before(before) {
		t.Fatalf("unexpected standing in maintenance: %+v", st)
	}
	p.Set([]Target{target("1", 3, Passing)})
	expect("1 passing registry: was maintenance")
	if st := one.Standing(); st.Signal != "tcp check" {
		t.Fatalf("unexpected standing of one that passes: %+v", st)
	}
	var history []string
	for _, c := range one.History() {
		history = append(history, c.To+" "+c.Signal)
	}
	if want := []string{"warning registry", "maintenance registry", "up tcp check", "passing registry"}; !slices.Equal(history, want) {
		t.Fatalf("unexpected history; got %q; want %q", history, want)
	}
	if one.Said(Warning) != 1 || one.Said(Maintenance) != 1 || one.Said(Passing) != 1 || one.Said(Critical) != 0 || one.Reweighted() != 0 {
		t.Fatal("unexpected counts of what the registry said")
	}
	if m := p.Membership(); m.Joined.Load() != 2 || m.Left.Load() != 1 {
		t.Fatalf("unexpected counts of members; got %d joined and %d left; want 2 and 1", m.Joined.Load(), m.Left.Load())
	}
}

// TestLastResort checks when members in warning whose weight of 0 nobody chose
// are used.
func TestLastResort(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	p.SetPolicy(Policy{Panic: 50})
	expect := func(last bool, want string) {
		t.Helper()
		s := p.Snapshot()
		got := ""
		for i, b := range s.Eligible {
			got += fmt.Sprintf("%s*%d ", b.ID(), s.Weights[i])
		}
		if strings.TrimSpace(got) != want || s.LastResort != last {
			t.Fatalf("unexpected offer; got %q, last resort %v; want %q, %v", got, s.LastResort, want, last)
		}
	}
	good := Target{ID: "a", Address: "1:1", Weight: 5}
	spare := Target{ID: "b", Address: "2:1", Spare: 10, Status: Warning}
	chosen := Target{ID: "c", Address: "3:1", Status: Warning}
	p.Set([]Target{good, spare, chosen})
	expect(false, "a*5")
	if _, why := p.Snapshot().All[1].Eligible(); !strings.Contains(why, "says warning") {
		t.Fatalf("unexpected reason: %s", why)
	}
	// Who is down is worth less than who is in warning.
	p.Snapshot().All[0].SetCondition(Condition{State: Down, Since: time.Now()})
	expect(true, "b*10")
	p.Snapshot().All[0].SetCondition(Condition{State: Up, Since: time.Now()})
	expect(false, "a*5")
	p.Set([]Target{spare, chosen})
	expect(true, "b*10")
	p.Snapshot().All[0].SetCondition(Condition{State: Down, Since: time.Now()})
	expect(false, "")
	p.Set([]Target{chosen})
	expect(false, "")
}
