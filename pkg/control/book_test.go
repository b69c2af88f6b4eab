package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// world is what runs, in a test.
type world struct {
	members   map[string][]Member
	routes    []Item
	listeners []Item
	try       func(Overlay) error
}

func (w *world) Services() (names []string) {
	for name := range w.members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
func (w *world) Members(s string) ([]Member, bool) { m, ok := w.members[s]; return m, ok }
func (w *world) CanHave(string) bool               { return false }
func (w *world) Routes() []Item                    { return w.routes }
func (w *world) Listeners() []Item                 { return w.listeners }
func (w *world) Try(o Overlay) error {
	if w.try == nil {
		return nil
	}
	return w.try(o)
}

func twoMembers() *world {
	return &world{members: map[string][]Member{
		"web": {{ID: "a", Address: "10.0.0.1:80", Usable: true, Listed: true}, {ID: "b", Address: "10.0.0.2:80", Usable: true, Listed: true}},
		"api": {{ID: "c", Address: "10.0.0.3:80", Usable: true, Listed: true}},
	}}
}

func newBook(t *testing.T, s Store, w Running) *Book {
	t.Helper()
	b := NewBook(t.Context(), Config{Store: s, Journal: NewJournal(), Running: w, Logger: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { b.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return b
}

func backendChange(addr string, w What, v string) Change {
	return Change{Target: Backend("web", addr), What: w, Value: v, By: "maria", Reason: "deploy"}
}

// await waits until a condition holds of the overlay in force.
func await(t *testing.T, b *Book, what string, cond func(Overlay) bool) Overlay {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		o, more := b.Wait()
		if cond(o) {
			return o
		}
		select {
		case <-more:
		case <-limit:
			t.Fatalf("no %s in time; in force are\n%v", what, o)
		}
	}
}

func TestBookDo(t *testing.T) {
	t.Parallel()
	b := newBook(t, NewMemory(), twoMembers())
	do := func(o Order) (Outcome, error) { return b.Do(t.Context(), o) }

	dry, err := do(Order{Set: []Change{backendChange("10.0.0.1:80", Drain, "")}, DryRun: true})
	if err != nil || dry.Version != 0 || len(dry.Effects) != 1 || dry.Effects[0].Before != nil || dry.Effects[0].After == nil || b.Overlay().Len() != 0 {
		t.Fatalf("unexpected dry run: %+v, %v", dry, err)
	}
	out, err := do(Order{Set: []Change{backendChange("http://10.0.0.1:80/", Drain, "")}, IfMatch: "0"})
	if err != nil || out.Version != 1 || out.Tag != "1" || !b.Overlay().Word("web", "10.0.0.1:80").Drain {
		t.Fatalf("unexpected outcome: %+v, %v", out, err)
	}
	if _, err := do(Order{Set: []Change{backendChange("10.0.0.1:80", Weight, "3")}, IfMatch: "0"}); !errors.Is(err, ErrStale) {
		t.Fatalf("unexpected error of a stale version: %v", err)
	}
	// The other one is the last.
	var conflict Conflict
	for _, c := range []Change{
		backendChange("10.0.0.2:80", Drain, ""), backendChange("10.0.0.2:80", Weight, "0"), backendChange("10.0.0.2:80", Force, "down"),
		backendChange("10.0.0.2:80", Eject, ""), backendChange("10.0.0.2:80", Remove, ""),
	} {
		if _, err := do(Order{Set: []Change{c}}); !errors.As(err, &conflict) || !conflict.Forcible || !strings.Contains(conflict.Reason, `"web"`) {
			t.Errorf("unexpected error of %v: %v", c, err)
		}
		out, err := do(Order{Set: []Change{c}, Force: true, DryRun: true})
		if err != nil || len(out.Warnings) != 1 {
			t.Errorf("unexpected outcome of %v by force: %+v, %v", c, out, err)
		}
	}
	// All or nothing.
	if _, err := do(Order{Set: []Change{backendChange("10.0.0.1:80", Weight, "3"), backendChange("10.9.9.9:80", Weight, "3")}}); err == nil {
		t.Fatal("a backend that is not there was changed")
	} else if p := (Problems{}); !errors.As(err, &p) || p[0].Field != "backend" || !slices.Contains(p[0].Allowed, "10.0.0.2:80") {
		t.Fatalf("unexpected error: %v", err)
	}
	if b.Overlay().Word("web", "10.0.0.1:80").Weighted {
		t.Fatal("a part of an order was done")
	}
	// One order may swap them.
	if _, err := do(Order{Set: []Change{backendChange("10.0.0.2:80", Drain, "")}, Undo: []Key{{Backend("web", "10.0.0.1:80"), Drain}}, By: "tom"}); err != nil {
		t.Fatal(err)
	}
	if out, err = do(Order{All: true, By: "tom"}); err != nil || b.Overlay().Len() != 0 || len(out.Effects) != 1 {
		t.Fatalf("unexpected outcome: %+v, %v", out, err)
	}
	events, _, _ := b.Journal().After(0, 100)
	var ops []Op
	for _, e := range events {
		ops = append(ops, e.Op)
	}
	if want := []Op{WasSet, Undone, WasSet, Undone}; !slices.Equal(ops, want) || events[3].By != "tom" || events[0].Backend != "10.0.0.1:80" {
		t.Fatalf("unexpected journal; got %v, want %v", ops, want)
	}
}

// TestBookPlain removes and adds members, of whom some are listed.
func TestBookPlain(t *testing.T) {
	t.Parallel()
	w := twoMembers()
	b := newBook(t, NewMemory(), w)
	do := func(what What, addr string, want ...What) {
		t.Helper()
		if _, err := b.Do(t.Context(), Order{Set: []Change{backendChange(addr, what, "")}}); err != nil {
			t.Fatal(err)
		}
		var got []What
		for _, c := range b.Overlay().Changes() {
			got = append(got, c.What)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("unexpected changes in force after %s of %s; got %v, want %v", what, addr, got, want)
		}
	}
	do(Remove, "10.0.0.1:80", Remove)
	do(Add, "10.0.0.1:80")
	do(Add, "10.0.0.9:80", Add)
	w.members["web"] = append(w.members["web"], Member{ID: "x", Address: "10.0.0.9:80", Usable: true})
	do(Drain, "10.0.0.9:80", Add, Drain)
	do(Remove, "10.0.0.9:80")
}

func TestBookGuardOfLastUsable(t *testing.T) {
	t.Parallel()
	w := twoMembers()
	w.members["web"][1].Usable = false // it is down
	b := newBook(t, NewMemory(), w)
	var conflict Conflict
	if _, err := b.Do(t.Context(), Order{Set: []Change{backendChange("10.0.0.1:80", Drain, "")}}); !errors.As(err, &conflict) {
		t.Fatalf("unexpected error of draining the last that can serve: %v", err)
	}
	if _, err := b.Do(t.Context(), Order{Set: []Change{backendChange("10.0.0.2:80", Drain, "")}}); err != nil {
		t.Fatalf("one that is down cannot be drained: %v", err)
	}
}

func TestBookExpiry(t *testing.T) {
	t.Parallel()
	b := newBook(t, NewMemory(), twoMembers())
	c := backendChange("10.0.0.1:80", Drain, "")
	c.Expires = time.Now().Add(200 * time.Millisecond)
	if _, err := b.Do(t.Context(), Order{Set: []Change{c}}); err != nil {
		t.Fatal(err)
	}
	o := await(t, b, "end of the change", func(o Overlay) bool { return o.Version == 2 })
	if o.Len() != 0 || time.Now().Before(c.Expires) {
		t.Fatalf("unexpected changes in force: %v", o)
	}
	events, _, _ := b.Journal().After(0, 100)
	if len(events) != 2 || events[1].Op != Expired {
		t.Fatalf("unexpected journal: %v", events)
	}
}

// TestBookRace has many operators at once, some of whom insist on a version:
// each success is one entry of the journal, and nothing is lost.
func TestBookRace(t *testing.T) {
	t.Parallel()
	w := &world{members: map[string][]Member{"web": nil}}
	const operators, each = 8, 25
	for i := range operators * each {
		w.members["web"] = append(w.members["web"], Member{Address: fmt.Sprintf("10.0.0.%d:80", i), Usable: true, Listed: true})
	}
	b := newBook(t, NewMemory(), w)
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := make(map[string]bool)
	for op := range operators {
		wg.Go(func() {
			for n := range each {
				order := Order{Set: []Change{backendChange(fmt.Sprintf("10.0.0.%d:80", op*each+n), Weight, "2")}}
				if n%2 == 0 {
					order.IfMatch = b.Overlay().Tag()
				}
				_, err := b.Do(t.Context(), order)
				switch {
				case err == nil:
					mu.Lock()
					done[order.Set[0].Target.Name] = true
					mu.Unlock()
				case !errors.Is(err, ErrStale) || order.IfMatch == "":
					t.Errorf("unexpected error: %v", err)
				}
			}
		})
	}
	wg.Wait()
	o := b.Overlay()
	if o.Len() != len(done) || o.Version != uint64(len(done)) {
		t.Fatalf("unexpected overlay: version %d, %d changes; %d orders were done", o.Version, o.Len(), len(done))
	}
	events, lost, _ := b.Journal().After(0, maxEvents)
	for _, e := range events {
		if !done[e.Backend] {
			t.Errorf("the journal has a change of %s, which was refused", e.Backend)
		}
		delete(done, e.Backend)
	}
	if len(done) > 0 || lost > 0 {
		t.Errorf("the journal lacks %v", done)
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	j := NewJournal()
	_, _, more := j.After(0, 10)
	for i := range maxEvents + 10 {
		j.Add(Event{Kind: Told, Message: fmt.Sprint(i + 1)})
	}
	<-more
	events, lost, _ := j.After(0, 5)
	if lost != 10 || len(events) != 5 || events[0].Seq != 11 || events[0].Message != "11" {
		t.Fatalf("unexpected events: %d lost, %v", lost, events)
	}
	events, lost, _ = j.After(maxEvents+8, 5)
	if lost != 0 || len(events) != 2 || events[1].Seq != maxEvents+10 || j.Last() != maxEvents+10 {
		t.Fatalf("unexpected events: %d lost, %v", lost, events)
	}
	if events, _, _ = j.After(1<<40, 5); len(events) != 0 {
		t.Fatalf("unexpected events of the future: %v", events)
	}
}

func TestFindBackend(t *testing.T) {
	t.Parallel()
	w := twoMembers()
	w.members["api"] = append(w.members["api"], Member{ID: "d", Address: "10.0.0.1:80"})
	for _, c := range []struct {
		service, name string
		want          Target
		field         string
	}{
		{"", "http://10.0.0.2:80", Backend("web", "10.0.0.2:80"), ""},
		{"", "b", Backend("web", "10.0.0.2:80"), ""},
		{"", "10.0.0.1:80", Target{}, "service"},
		{"web", "10.0.0.1:80", Backend("web", "10.0.0.1:80"), ""},
		{"web", "10.9.9.9:80", Backend("web", "10.9.9.9:80"), ""}, // what is done with it says that there is none
		{"x", "10.0.0.1:80", Target{}, "service"},
		{"", "10.9.9.9:80", Target{}, "backend"},
		{"", "zzz", Target{}, "backend"},
	} {
		got, problems := FindBackend(w, c.service, c.name)
		if got != c.want || (c.field != "") != (len(problems) == 1) || c.field != "" && problems[0].Field != c.field {
			t.Errorf("unexpected backend of %q %q; got %v, %v", c.service, c.name, got, problems)
		}
	}
}

// TestCanaryLeavesEmpty refuses what leaves nobody in one of the parts that a
// canary makes of a service.
func TestCanaryLeavesEmpty(t *testing.T) {
	t.Parallel()
	w := twoMembers()
	w.members["web"][1].Tags = []string{"v2"}
	w.members["web"] = append(w.members["web"], Member{ID: "d", Address: "10.0.0.4:80", Listed: true, Tags: []string{"down"}})
	b := newBook(t, NewMemory(), w)
	do := func(want string, changes ...Change) {
		t.Helper()
		_, err := b.Do(t.Context(), Order{Set: changes})
		var conflict Conflict
		switch {
		case want == "" && err != nil:
			t.Fatalf("unexpected refusal of %v: %v", changes, err)
		case want != "" && (!errors.As(err, &conflict) || !conflict.Forcible || !strings.Contains(err.Error(), want)):
			t.Fatalf("unexpected error of %v; got %v; want %s", changes, err, want)
		}
	}
	canary := func(v string) Change { return Change{Target: Service("web"), What: Canary, Value: v} }
	do(`canary tag=v3:10 without any backend`, canary("tag=v3:10"))
	do(`canary tag=down:10 without any backend that can serve`, canary("tag=down:10"))
	do("", canary("tag=v2:10"))
	do(`"web"'s canary tag=v2:10 without any backend`, backendChange("10.0.0.2:80", Drain, ""))
	do(`"web", beside its canary tag=v2:10, without any backend that can serve`, backendChange("10.0.0.1:80", Drain, ""))
	if _, err := b.Do(t.Context(), Order{Undo: []Key{{Service("web"), Canary}}}); err != nil {
		t.Fatal(err)
	}
	do("", backendChange("10.0.0.1:80", Drain, ""))
	do(`beside its canary 10.0.0.2:80:10`, canary("10.0.0.2:80:10"))
	do("", canary("api:10"))
}
