package backend

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestMemberComesBack has members leave and come back, under the same ID or
// another: what is known of them by their address holds, for some minutes.
func TestMemberComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPool("web")
		p.SetPolicy(Policy{MaxEjection: 50})
		of := func(ids ...string) (targets []Target) {
			for i, id := range ids {
				if id != "" {
					targets = append(targets, Target{ID: id, Address: fmt.Sprintf("10.0.0.%d:80", i+1), Weight: 1})
				}
			}
			return targets
		}
		offered := func(want int) {
			t.Helper()
			if got := len(p.Snapshot().Eligible); got != want {
				t.Fatalf("unexpected members on offer; got %d; want %d", got, want)
			}
		}
		p.Set(of("a", "b", "c", "d"))
		all := p.Snapshot().All
		for _, b := range all {
			b.SetCondition(Condition{State: Up, Since: time.Now()})
		}
		all[0].SetCondition(Condition{State: Down, Since: time.Now(), Detail: "refused"})
		e := Ejection{Since: time.Now(), Until: time.Now().Add(time.Hour), Number: 3, Cause: "faults"}
		if !all[1].Eject(e) {
			t.Fatal("cannot eject")
		}
		all[2].Say(Word{Drain: true}, time.Now())
		offered(1)

		p.Set(of("", "", "", "d"))
		time.Sleep(pastTime - time.Second)
		if added, _ := p.Set(of("a", "other", "c", "d")); len(added) != 3 {
			t.Fatalf("unexpected members added: %d", len(added))
		}
		offered(1)
		all = p.Snapshot().All
		if c := all[0].Condition(); c.State != Down || c.Detail != "refused" || len(all[0].History()) != 2 {
			t.Fatalf("unexpected condition of who was down: %+v, %v", c, all[0].History())
		}
		if c := all[3].Condition(); c.Ejection != e {
			t.Fatalf("unexpected ejection: %+v", c.Ejection)
		}
		p.Set(of("a2", "b2", "c2", "d2")) // all at once
		offered(1)

		p.Set(of("", "", "", "d2"))
		time.Sleep(pastTime)
		p.Set(of("a", "b", "c", "d"))
		offered(4)
	})
}

// TestPastIsBounded has more members leave than are remembered.
func TestPastIsBounded(t *testing.T) {
	t.Parallel()
	var p Past[int]
	now := time.Now()
	for i := range 3 * pastMost {
		p.Keep(fmt.Sprint(i), i, now.Add(time.Duration(i)))
	}
	if len(p.of) != pastMost {
		t.Fatalf("unexpected number remembered; got %d; want %d", len(p.of), pastMost)
	}
	if _, ok := p.Take("0", now); ok {
		t.Error("the first one is remembered")
	}
	if v, ok := p.Take(fmt.Sprint(3*pastMost-1), now); !ok || v != 3*pastMost-1 {
		t.Error("the last one is not remembered")
	}
	p.Keep("x", 1, now.Add(pastTime+time.Hour))
	if len(p.of) != 1 {
		t.Errorf("unexpected number remembered after a while; got %d; want 1", len(p.of))
	}
}
