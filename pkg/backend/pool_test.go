package backend

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func ids(bs []*Backend) string {
	var s []string
	for _, b := range bs {
		s = append(s, b.ID())
	}
	return strings.Join(s, " ")
}

func target(id string, weight int) Target {
	return Target{ID: id, Address: "10.0.0.1:" + id[1:], Weight: weight}
}

func TestPoolSet(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	f := func(targets []Target, wantAdded, wantRemoved, wantAll, wantEligible string) {
		t.Helper()
		added, removed := p.Set(targets)
		s := p.Snapshot()
		got := []string{ids(added), ids(removed), ids(s.All), ids(s.Eligible)}
		want := []string{wantAdded, wantRemoved, wantAll, wantEligible}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("unexpected added, removed, all, eligible; got %q; want %q", got, want)
		}
	}
	f([]Target{target("b2", 1), target("b1", 1)}, "b1 b2", "", "b1 b2", "b1 b2")
	f([]Target{target("b3", 1), target("b1", 1)}, "b3", "b2", "b1 b3", "b1 b3")
	f([]Target{target("b3", 0), target("b1", 1)}, "", "", "b1 b3", "b1")
	f([]Target{target("b3", 1), target("b3", 2)}, "", "b1", "b3", "b3")
	if w := p.Snapshot().Weights[0]; w != 2 {
		t.Fatalf("unexpected weight of a target that came twice; got %d; want 2, the last one's", w)
	}
	f([]Target{{ID: "b3", Address: "10.0.0.2:1", Weight: 1}}, "b3", "b3", "b3", "b3")
	f(nil, "", "b3", "", "")
	if v := p.Snapshot().Version; v != 6 {
		t.Fatalf("unexpected version; got %d; want 6", v)
	}
}

func TestPoolKeepsBackends(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	added, _ := p.Set([]Target{target("b1", 1)})
	b := added[0]
	b.Acquire()
	b.Counters.Connections.Add(7)
	b.SetCondition(Condition{State: Up})
	p.Set([]Target{{ID: "b1", Address: b.Addr(), Weight: 70000, Zone: "z"}})
	s := p.Snapshot()
	if s.All[0] != b || b.Active() != 1 || b.Counters.Connections.Load() != 7 || b.State() != Up {
		t.Fatal("unexpected new backend for an ID and address already known")
	}
	if b.Weight() != MaxWeight || b.Target().Zone != "z" {
		t.Fatalf("unexpected weight %d or zone %q", b.Weight(), b.Target().Zone)
	}
}

func TestEligible(t *testing.T) {
	t.Parallel()
	f := func(status Status, state State, weight int, want bool, wantWhy string) {
		t.Helper()
		p := NewPool("web")
		added, _ := p.Set([]Target{{ID: "b1", Address: "h:1", Weight: weight, Status: status}})
		b := added[0]
		b.SetCondition(Condition{State: state, Signal: "tcp check", Streak: 3, Detail: "refused"})
		got, why := b.Eligible()
		if got != want || !strings.Contains(why, wantWhy) {
			t.Fatalf("unexpected eligibility of %v, %v, %d; got %v, %q; want %v, %q", status, state, weight, got, why, want, wantWhy)
		}
		if inSnapshot := len(p.Snapshot().Eligible) == 1; inSnapshot != want {
			t.Fatalf("unexpected snapshot of %v, %v, %d; got %v; want %v", status, state, weight, inSnapshot, want)
		}
	}
	// The table of the package doc, row by row.
	refused := "tcp check: 3 failures in a row, last: refused"
	nobody := "the registry no longer lists it"
	f(Passing, Up, 1, true, "")
	f(Passing, Unknown, 1, true, "")
	f(Passing, Unchecked, 1, true, "")
	f(Passing, Down, 1, false, refused)
	f(Warning, Up, 1, true, "")
	f(Warning, Unknown, 1, true, "")
	f(Warning, Unchecked, 1, true, "")
	f(Warning, Down, 1, false, refused)
	for _, state := range States() {
		f(Critical, state, 1, false, "the registry says critical")
		f(Maintenance, state, 1, false, "the registry says maintenance")
	}
	f(Absent, Up, 1, true, "")
	f(Absent, Unknown, 1, false, nobody)
	f(Absent, Unchecked, 1, false, nobody)
	f(Absent, Down, 1, false, refused)
	// And whatever is routed to needs a weight.
	for _, status := range []Status{Passing, Warning, Absent} {
		f(status, Up, 0, false, "weight is 0")
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	f := func(word Status, up, unknown, unchecked, down Verdict) {
		t.Helper()
		for own, want := range map[State]Verdict{Up: up, Unknown: unknown, Unchecked: unchecked, Down: down} {
			if got := Decide(word, own); got != want {
				t.Fatalf("unexpected verdict on %v, %v; got %v; want %v", word, own, got, want)
			}
		}
	}
	f(Passing, Route, Route, Route, Avoid)
	f(Warning, RouteWarned, RouteWarned, RouteWarned, Avoid)
	f(Critical, Drain, Drain, Drain, Drain)
	f(Maintenance, Drain, Drain, Drain, Drain)
	f(Absent, Keep, Remove, Remove, Remove)
}

// TestLastWordStands is the row of a source that cannot be reached: it reports
// nothing, what it said last holds, and our own check goes on to be heard.
func TestLastWordStands(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	f := func(want string) {
		t.Helper()
		if got := ids(p.Snapshot().Eligible); got != want {
			t.Fatalf("unexpected eligible backends; got %q; want %q", got, want)
		}
	}
	critical := target("b3", 1)
	critical.Status = Critical
	added, _ := p.Set([]Target{target("b1", 1), target("b2", 1), critical})
	f("b1 b2")
	added[0].SetCondition(Condition{State: Down})
	added[2].SetCondition(Condition{State: Up})
	f("b2")
	added[0].SetCondition(Condition{State: Up})
	f("b1 b2")
}

func TestSetConditionCountsTransitions(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	var snapshots int
	p.OnChange(func(*Snapshot) { snapshots++ })
	added, _ := p.Set([]Target{target("b1", 1)})
	b := added[0]
	for _, s := range []State{Up, Up, Down, Down, Up} {
		b.SetCondition(Condition{State: s})
	}
	if up, down := b.Counters.WentUp.Load(), b.Counters.WentDown.Load(); up != 2 || down != 1 {
		t.Fatalf("unexpected transitions; got %d up, %d down; want 2, 1", up, down)
	}
	if snapshots != 1+1+2 {
		t.Fatalf("unexpected number of snapshots; got %d; want 4: at once, for Set, and for each transition that changes what is offered", snapshots)
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	added, _ := NewPool("web").Set([]Target{target("b1", 1)})
	b := added[0]
	if h := b.History(); len(h) != 0 {
		t.Fatalf("unexpected history of a new backend: %v", h)
	}
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	for i := range HistorySize + 3 {
		c := Condition{State: States()[1+i%2], Since: at.Add(time.Duration(i) * time.Second), Streak: i, Signal: "tcp check", Detail: "refused"}
		b.SetCondition(c)
		c.Streak = 100 // not a change of the state
		b.SetCondition(c)
	}
	h := b.History()
	if len(h) != HistorySize {
		t.Fatalf("unexpected length of the history; got %d; want %d", len(h), HistorySize)
	}
	for i, got := range h {
		n := i + 3
		want := Change{At: at.Add(time.Duration(n) * time.Second), To: []string{"up", "down"}[n%2], Streak: n, Signal: "tcp check", Detail: "refused"}
		if got != want {
			t.Fatalf("unexpected change %d; got %+v; want %+v", i, got, want)
		}
	}
}

func TestReportConnectFailureNeverBlocks(t *testing.T) {
	t.Parallel()
	added, _ := NewPool("web").Set([]Target{target("b1", 1)})
	b := added[0]
	for range 3 {
		b.ReportConnectFailure()
	}
	if n := b.Counters.ConnectFailures.Load(); n != 3 {
		t.Fatalf("unexpected failures; got %d; want 3", n)
	}
	<-b.Suspected()
	select {
	case <-b.Suspected():
		t.Fatal("unexpected second token")
	default:
	}
}

func TestReleaseTwicePanics(t *testing.T) {
	t.Parallel()
	added, _ := NewPool("web").Set([]Target{target("b1", 1)})
	defer func() {
		if recover() == nil {
			t.Fatal("unexpected silence about a slot released twice")
		}
	}()
	added[0].Release()
}

// TestNoSnapshotForNothing checks that a backend's first passed check, which
// changes nothing for the pool, makes no snapshot, and that a failed one does.
func TestNoSnapshotForNothing(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	p.Set([]Target{target("a", 1), target("b", 1)})
	snapshots := 0
	p.OnChange(func(*Snapshot) { snapshots++ })
	b := p.Snapshot().All[0]
	for _, c := range []struct {
		state State
		want  int
	}{{Up, 1}, {Down, 2}, {Up, 3}, {Up, 3}} {
		if b.SetCondition(Condition{State: c.state}); snapshots != c.want {
			t.Fatalf("unexpected snapshots after %v; got %d; want %d", c.state, snapshots, c.want)
		}
	}
}

// TestChangesAtOnce checks that members which change together make no snapshot
// each, and that none is forgotten.
func TestChangesAtOnce(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	var targets []Target
	for i := range 100 {
		targets = append(targets, target(fmt.Sprintf("b%03d", i), 1))
	}
	p.Set(targets)
	snapshots, release := 0, make(chan struct{})
	p.OnChange(func(*Snapshot) {
		if snapshots++; snapshots == 2 { // the first change; the others come meanwhile
			<-release
		}
	})
	var wg sync.WaitGroup
	for _, b := range p.Snapshot().All {
		wg.Go(func() {
			b.SetCondition(Condition{State: Down})
			if p.Snapshot().Offers(b) {
				t.Errorf("%s is offered after it went down", b.ID())
			}
		})
	}
	for p.changes.Load() < 100 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	wg.Wait()
	if snapshots != 3 {
		t.Fatalf("unexpected snapshots of 100 changes at once; got %d; want 3: at once, of the first, of all others", snapshots)
	}
	if n := len(p.Snapshot().Eligible); n != 0 {
		t.Fatalf("unexpected members on offer: %d", n)
	}
}

// TestPoolConcurrently runs every writer and reader at once; the race
// detector and the final state judge.
func TestPoolConcurrently(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	all := []Target{target("b1", 1), target("b2", 1), target("b3", 1)}
	p.Set(all)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 500 {
				switch i {
				case 0:
					p.Set(all[:1+j%3])
				case 1, 2:
					for _, b := range p.Snapshot().All {
						b.SetCondition(Condition{State: States()[1+(i+j)%2]})
					}
				case 3:
					s := p.Snapshot()
					if len(s.Eligible) != len(s.Weights) || len(s.Eligible) > len(s.All) {
						t.Errorf("unexpected snapshot: %d eligible, %d weights, %d in all", len(s.Eligible), len(s.Weights), len(s.All))
					}
				}
			}
		})
	}
	wg.Wait()
	p.Set(all)
	for _, b := range p.Snapshot().All {
		b.SetCondition(Condition{State: Up})
	}
	if got := ids(p.Snapshot().Eligible); got != "b1 b2 b3" {
		t.Fatalf("unexpected eligible backends; got %q; want all", got)
	}
}

func TestOnChangeEnds(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	var first, second int
	cancel := p.OnChange(func(*Snapshot) { first++ })
	p.OnChange(func(*Snapshot) { second++ })
	p.Set(nil)
	cancel()
	cancel() // does nothing
	p.Set(nil)
	if first != 2 || second != 3 {
		t.Fatalf("unexpected calls; got %d and %d; want 2 and 3", first, second)
	}
}
