package backend

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// pool returns a pool of n members b001, b002... with a policy.
func pool(t *testing.T, n int, policy Policy) (*Pool, []*Backend) {
	t.Helper()
	p := NewPool("web")
	p.SetPolicy(policy)
	var targets []Target
	for i := range n {
		targets = append(targets, target(fmt.Sprintf("b%03d", i+1), 1))
	}
	added, _ := p.Set(targets)
	return p, added
}

func ejection(until int) Ejection {
	return Ejection{Since: time.Unix(1, 0), Until: time.Unix(int64(until), 0), Number: 1, Streak: 5, Cause: "connects failed"}
}

// TestEjectionCap counts how many of n members can be ejected.
func TestEjectionCap(t *testing.T) {
	t.Parallel()
	f := func(n, percent, want int) {
		t.Helper()
		p, bs := pool(t, n, Policy{MaxEjection: percent})
		got := 0
		for i, b := range bs {
			if b.Eject(ejection(100 + i)) {
				got++
			}
		}
		if got != want || len(p.Snapshot().Eligible) != n-want {
			t.Fatalf("unexpected ejections of %d members, at most %d %%; got %d, %d eligible; want %d", n, percent, got, len(p.Snapshot().Eligible), want)
		}
	}
	f(1, 50, 0) // never the last one
	f(1, 100, 0)
	f(2, 50, 1)
	f(2, 100, 1)
	f(3, 50, 1)
	f(4, 50, 2)
	f(10, 50, 5)
	f(10, 10, 1)
	f(9, 10, 1) // one always
	f(10, 0, 0)
	f(200, 10, 20)
}

func TestEjectionWalk(t *testing.T) {
	t.Parallel()
	p, bs := pool(t, 4, Policy{MaxEjection: 50})
	f := func(want string) {
		t.Helper()
		if got := ids(p.Snapshot().Eligible); got != want {
			t.Fatalf("unexpected eligible backends; got %q; want %q", got, want)
		}
	}
	b := bs[0]
	b.ReportFault(Witness{})
	if !b.Eject(ejection(100)) {
		t.Fatal("unexpected refusal")
	}
	f("b002 b003 b004")
	if ok, why := b.Eligible(); ok || why != "ejected until 1970-01-01T00:01:40Z, time 1: connects failed, 5 in a row" {
		t.Fatalf("unexpected eligibility: %v, %q", ok, why)
	}
	if b.Eject(ejection(200)) || b.Condition().Ejection.Until.Unix() != 100 {
		t.Fatal("unexpected second ejection during the first")
	}
	b.SetCondition(Condition{State: Up}) // a check that passes does not end it by itself
	f("b002 b003 b004")
	b.Readmit(time.Unix(50, 0), "tcp check", "2 passes in a row")
	f("b001 b002 b003 b004")
	if s := b.Streak(); s != (Streak{}) {
		t.Fatalf("unexpected streak after the end: %+v", s)
	}
	if e, r := b.Counters.Ejected.Load(), b.Counters.Readmitted.Load(); e != 1 || r != 1 {
		t.Fatalf("unexpected counters: %d, %d", e, r)
	}
	var h []string
	for _, c := range b.History() {
		h = append(h, c.To)
	}
	if got := strings.Join(h, " "); got != "ejected up readmitted" {
		t.Fatalf("unexpected history: %q", got)
	}

	// Whoever is out already is not ejected, and those drained do not count.
	bs[1].SetCondition(Condition{State: Down})
	if bs[1].Eject(ejection(100)) {
		t.Fatal("unexpected ejection of a backend that is down")
	}
	p.Set([]Target{
		{ID: "b001", Address: bs[0].Addr(), Weight: 1}, {ID: "b002", Address: bs[1].Addr(), Weight: 1, Status: Maintenance},
		{ID: "b003", Address: bs[2].Addr(), Weight: 0}, {ID: "b004", Address: bs[3].Addr(), Weight: 1},
	})
	f("b001 b004")
	if !bs[0].Eject(ejection(100)) || bs[3].Eject(ejection(100)) {
		t.Fatal("unexpected: of two members that can be used one can be ejected, and not both")
	}
}

// TestEjectionsOfAShrunkenPool checks that ejections never leave nobody, nor
// exceed the cap, when members leave or go down after them.
func TestEjectionsOfAShrunkenPool(t *testing.T) {
	t.Parallel()
	p, bs := pool(t, 6, Policy{MaxEjection: 50})
	for i, b := range bs[:3] {
		if !b.Eject(ejection(100 - i)) { // the last one is back first
			t.Fatal("unexpected refusal")
		}
	}
	f := func(want string) {
		t.Helper()
		if got := ids(p.Snapshot().Eligible); got != want {
			t.Fatalf("unexpected eligible backends; got %q; want %q", got, want)
		}
	}
	f("b004 b005 b006")
	p.Set([]Target{target("b001", 1), target("b002", 1), target("b003", 1), target("b004", 1)})
	f("b003 b004") // 2 of 4
	bs[3].SetCondition(Condition{State: Down})
	f("b001 b002 b003")
	bs[3].SetCondition(Condition{State: Up})
	f("b003 b004")
}

func TestPanic(t *testing.T) {
	t.Parallel()
	f := func(percent, members, down, drained int, wantPanic bool, wantEligible int) {
		t.Helper()
		p, bs := pool(t, members, Policy{Panic: percent})
		var targets []Target
		for i, b := range bs {
			tg := b.Target()
			if i < drained {
				tg.Status = []Status{Critical, Maintenance}[i%2]
			}
			targets = append(targets, tg)
		}
		p.Set(targets)
		for _, b := range bs[drained : drained+down] {
			b.SetCondition(Condition{State: Down})
		}
		s := p.Snapshot()
		if s.Panic != wantPanic || len(s.Eligible) != wantEligible || len(s.Weights) != wantEligible {
			t.Fatalf("unexpected offer at %d %% of %d members, %d down, %d drained; got panic %v, %d eligible; want %v, %d",
				percent, members, down, drained, s.Panic, len(s.Eligible), wantPanic, wantEligible)
		}
		for _, b := range s.All {
			if got, want := s.Offers(b), b.Target().Status == Passing && (wantPanic || b.State() != Down); got != want {
				t.Fatalf("unexpected offer of %s; got %v; want %v", b.ID(), got, want)
			}
		}
	}
	f(50, 4, 0, 0, false, 4)
	f(50, 4, 2, 0, false, 2) // half is enough
	f(50, 4, 3, 0, true, 4)
	f(50, 1, 1, 0, true, 1)
	f(0, 4, 4, 0, false, 0)
	f(100, 4, 1, 0, true, 4)
	f(50, 10, 0, 9, false, 1) // who is drained counts for nothing
	f(50, 10, 1, 8, false, 1)
	f(50, 10, 2, 8, true, 2) // and is not used
	f(50, 4, 0, 4, false, 0)
	f(50, 0, 0, 0, false, 0)
}

func TestPanicUsesEjected(t *testing.T) {
	t.Parallel()
	p, bs := pool(t, 4, Policy{Panic: 50, MaxEjection: 50})
	bs[0].Eject(ejection(100))
	bs[1].Eject(ejection(100))
	if s := p.Snapshot(); s.Panic || len(s.Eligible) != 2 {
		t.Fatalf("unexpected offer: %v, %s", s.Panic, ids(s.Eligible))
	}
	bs[2].SetCondition(Condition{State: Down})
	if s := p.Snapshot(); !s.Panic || len(s.Eligible) != 4 {
		t.Fatalf("unexpected offer: %v, %s", s.Panic, ids(s.Eligible))
	}
	bs[2].SetCondition(Condition{State: Up})
	if s := p.Snapshot(); s.Panic || len(s.Eligible) != 2 {
		t.Fatalf("unexpected offer: %v, %s", s.Panic, ids(s.Eligible))
	}
}

// TestPanicLeavesOutWhoRefuses has all but one of several members be down, in
// different ways.
func TestPanicLeavesOutWhoRefuses(t *testing.T) {
	t.Parallel()
	p, bs := pool(t, 4, Policy{Panic: 50, MaxEjection: 50})
	f := func(want string) {
		t.Helper()
		if s := p.Snapshot(); ids(s.Eligible) != want || !s.Panic {
			t.Fatalf("unexpected offer; got %q, panic %v; want %q", ids(s.Eligible), s.Panic, want)
		}
	}
	down := Condition{State: Down, Unreachable: true}
	bs[0].ReportConnectFailure()
	bs[0].SetCondition(down) // both agree
	bs[1].SetCondition(down)
	bs[2].SetCondition(Condition{State: Down}) // its answers are wrong, perhaps
	f("b002 b003 b004")
	bs[1].ReportConnectFailure()
	f("b003 b004")
	bs[2].ReportConnectFailure() // which the check does not confirm
	f("b003 b004")
	bs[3].ReportConnectFailure()
	bs[3].SetCondition(down)
	f("b003")
	bs[2].SetCondition(down)
	f("b003") // no news
	bs[2].SetCondition(Condition{State: Up})
	bs[2].ReportConnectFailure()
	bs[2].SetCondition(down)
	f("b001 b002 b003 b004") // there is nobody else
	bs[1].Observe(time.Millisecond, true)
	f("b002")
	bs[0].SetCondition(Condition{State: Up})
	f("b001 b002")
}

// TestStreak feeds outcomes of live traffic: c(onnect failed), o (connected),
// S(erved), and faults by clients 1 to 9.
func TestStreak(t *testing.T) {
	t.Parallel()
	f := func(outcomes string, want Streak, wantAlarm bool) {
		t.Helper()
		b := one(t)
		for _, o := range outcomes {
			switch o {
			case 'c':
				b.ReportConnectFailure()
			case 'o':
				b.Observe(time.Millisecond, true)
			case 'S':
				b.ReportServed(Witness{})
			default:
				b.ReportFault(Witness{Client: netip.AddrFrom4([4]byte{10, 0, 0, byte(o)})})
			}
		}
		if got := b.Streak(); got != want {
			t.Fatalf("unexpected streak after %q; got %+v; want %+v", outcomes, got, want)
		}
		alarm := false
		select {
		case <-b.Alarmed():
			alarm = true
		default:
		}
		if alarm != wantAlarm {
			t.Fatalf("unexpected alarm after %q; got %v; want %v", outcomes, alarm, wantAlarm)
		}
	}
	f("", Streak{}, false)
	f("cccc", Streak{Connects: 4}, false)
	f("ccccc", Streak{Connects: 5}, true)
	f("ccccocccc", Streak{Connects: 4}, false)
	f("ccccScccc", Streak{Connects: 4}, false)
	f("111111", Streak{Faults: 6}, true)
	f("11112", Streak{Faults: 5}, true)
	f("12S11", Streak{Faults: 2}, false)
	f("1o1o1o", Streak{Faults: 3}, false) // that connects work says nothing
	f("1c2c", Streak{Connects: 2, Faults: 2}, false)
	f("c1oc", Streak{Connects: 1, Faults: 1}, false)
	f(strings.Repeat("c", 1001), Streak{Connects: 246}, true)
	f(strings.Repeat("1", 1001), Streak{Faults: 246}, true)
}

// TestWord checks what a backend's own word does to the offer and the weights.
func TestWord(t *testing.T) {
	t.Parallel()
	p, bs := pool(t, 3, Policy{Panic: 90})
	f := func(w Word, want string) {
		t.Helper()
		bs[0].Say(w, time.Unix(1, 0))
		s := p.Snapshot()
		if got := fmt.Sprintf("%s %v", ids(s.Eligible), s.Weights); got != want || s.Panic {
			t.Fatalf("unexpected offer after %+v; got %s, panic %v; want %s", w, got, s.Panic, want)
		}
	}
	f(Word{}, "b001 b002 b003 [1 1 1]")
	f(Word{Weight: 50}, "b001 b002 b003 [64 128 128]")
	f(Word{Weight: 1}, "b001 b002 b003 [1 128 128]")
	f(Word{Weight: 100}, "b001 b002 b003 [1 1 1]")
	f(Word{Drain: true}, "b002 b003 [1 1]") // which is no reason to panic
	if ok, why := bs[0].Eligible(); ok || why != "it says itself that it is draining" {
		t.Fatalf("unexpected eligibility: %v, %q", ok, why)
	}
	bs[0].SetCondition(Condition{State: Up})
	f(Word{Drain: true}, "b002 b003 [1 1]")
	f(Word{}, "b001 b002 b003 [1 1 1]")
	f(Word{}, "b001 b002 b003 [1 1 1]") // no news
	var got string
	for _, c := range bs[0].History() {
		got += c.To + " " + c.Detail + ";"
	}
	if want := "reweighted 50%;reweighted 1%;reweighted 100%;draining drain;up ;ready ;"; got != want {
		t.Fatalf("unexpected history; got %q; want %q", got, want)
	}
}

// TestSlowStartAfterADrain checks that whoever was drained and is not any more
// starts slowly, and nobody else.
func TestSlowStartAfterADrain(t *testing.T) {
	t.Parallel()
	p, bs := pool(t, 2, Policy{SlowStart: time.Minute})
	b := bs[0]
	f := func(want bool) {
		t.Helper()
		if b.Warming() != want || bs[1].Warming() {
			t.Fatalf("unexpected slow starts; got %v, %v; want %v", b.Warming(), bs[1].Warming(), want)
		}
		b.warming.word.Store(0)
	}
	set := func(status Status, weight int) {
		first, second := b.Target(), bs[1].Target()
		first.Status, first.Weight = status, weight
		p.Set([]Target{first, second})
	}
	f(false)
	set(Warning, 1)
	f(false)
	set(Passing, 1)
	f(false)
	for _, status := range []Status{Maintenance, Critical} {
		set(status, 1)
		f(false)
		set(Passing, 1)
		f(true)
	}
	set(Passing, 0)
	set(Passing, 2)
	f(true)
	set(Maintenance, 1)
	b.SetCondition(Condition{State: Down})
	set(Passing, 1) // it is not used yet; who finds that it is up lets it start
	f(false)
	b.SetCondition(Condition{State: Up})
	b.Say(Word{Drain: true}, time.Unix(1, 0))
	f(false)
	b.Say(Word{}, time.Unix(2, 0))
	f(true)
	p.SetPolicy(Policy{})
	set(Maintenance, 1)
	set(Passing, 1)
	f(false)
}
