package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"sluice/discovery/consul/consultest"
	"sluice/pkg/control"
)

const limit = 60 * time.Second

const childAddress = "SLUICE_FLEET_TEST_CONSUL"

// longer returns how often something is done: more often if SLUICE_TEST_LONG is
// set.
func longer(usually, long int) int {
	if os.Getenv("SLUICE_TEST_LONG") != "" {
		return long
	}
	return usually
}

func TestMain(m *testing.M) {
	if address := os.Getenv(childAddress); address != "" {
		writeUntilKilled(address)
	}
	os.Exit(m.Run())
}

func newFleet(t testing.TB, agent *consultest.Agent) *Fleet {
	t.Helper()
	f, err := New(Config{Name: "test", Address: agent.Addr(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// newBook returns the book of a sluice that follows the fleet.
func newBook(t testing.TB, f *Fleet) *control.Book {
	t.Helper()
	b := control.NewBook(t.Context(), control.Config{Store: f, Journal: control.NewJournal(), Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { b.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return b
}

func weight(n int, v string) control.Change {
	return control.Change{Target: control.Backend("web", fmt.Sprintf("10.0.%d.%d:80", n/250, n%250)), What: control.Weight, Value: v, By: "maria"}
}

func do(t testing.TB, b *control.Book, o control.Order) control.Outcome {
	t.Helper()
	out, err := b.Do(t.Context(), o)
	if err != nil {
		t.Fatalf("cannot do %v: %v", o, err)
	}
	return out
}

func await(t testing.TB, b *control.Book, what string, cond func(control.Overlay) bool) {
	t.Helper()
	end := time.After(limit)
	for {
		o, more := b.Wait()
		if cond(o) {
			return
		}
		select {
		case <-more:
		case <-end:
			t.Fatalf("no %s in time; version %d has\n%v", what, o.Version, o)
		}
	}
}

// awaitTrouble waits until the store is in trouble, or is not.
func awaitTrouble(t testing.TB, b *control.Book, want bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		if _, err := b.Trouble(); (err != nil) == want {
			return
		} else if time.Now().After(end) {
			t.Fatalf("trouble is not %v in time: %v", want, err)
		}
	}
}

// TestRace has two operators at two sluices: no change is lost, and each answer
// is true.
func TestRace(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	books := []*control.Book{newBook(t, newFleet(t, agent)), newBook(t, newFleet(t, agent))}
	const each = 100
	var wg sync.WaitGroup
	done := make([]map[string]bool, len(books))
	stale := make([]int, len(books))
	for op, b := range books {
		done[op] = make(map[string]bool)
		wg.Go(func() {
			for n := range each {
				o := control.Order{Set: []control.Change{weight(op*each+n, "2")}}
				if n%2 == 0 {
					o.IfMatch = b.Overlay().Tag()
				}
				switch _, err := b.Do(t.Context(), o); {
				case err == nil:
					done[op][o.Set[0].Target.Name] = true
				case errors.Is(err, control.ErrStale) && o.IfMatch != "":
					stale[op]++
				default:
					t.Errorf("unexpected error: %v", err)
				}
			}
		})
	}
	wg.Wait()
	total := len(done[0]) + len(done[1])
	if total+stale[0]+stale[1] != 2*each {
		t.Fatalf("%d done, %v stale", total, stale)
	}
	for op, b := range books {
		await(t, b, "last change", func(o control.Overlay) bool { return o.Version == uint64(total) && o.Len() == total })
		events, _, _ := b.Journal().After(0, 1<<20)
		told := make(map[string]bool)
		for _, e := range events {
			if e.Kind == control.Changed {
				told[e.Backend] = true
			}
		}
		for _, all := range done {
			for name := range all {
				if !told[name] {
					t.Errorf("the journal of sluice %d lacks %s", op, name)
				}
			}
		}
		if len(told) != total {
			t.Errorf("the journal of sluice %d has %d changes, %d were done", op, len(told), total)
		}
	}
}

// TestBurst makes as many changes as there may be, many of them one by one; each
// is a write of all that are in force.
func TestBurst(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	writer, reader := newBook(t, newFleet(t, agent)), newBook(t, newFleet(t, agent))
	const n = 1000
	single := longer(150, n)
	for i := range single {
		do(t, writer, control.Order{Set: []control.Change{weight(i, "2")}})
	}
	await(t, reader, "last of the burst", func(o control.Overlay) bool { return o.Len() == single && o.Version == uint64(single) })
	var rest []control.Change
	for i := single; i < n; i++ {
		rest = append(rest, weight(i, "2"))
	}
	if len(rest) > 0 {
		do(t, writer, control.Order{Set: rest})
		await(t, reader, "all there may be", func(o control.Overlay) bool { return o.Len() == n })
	}
	if _, err := writer.Do(t.Context(), control.Order{Set: []control.Change{weight(n, "2")}}); !errors.Is(err, control.ErrFull) {
		t.Fatalf("unexpected error of one too many: %v", err)
	}
	do(t, reader, control.Order{All: true})
	await(t, writer, "end of all", func(o control.Overlay) bool { return o.Len() == 0 })
}

// TestLostStore wipes the KV, rolls it back and begins it anew.
func TestLostStore(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	f := newFleet(t, agent)
	books := []*control.Book{newBook(t, f), newBook(t, newFleet(t, agent))}
	all := func(what string, cond func(control.Overlay) bool) {
		t.Helper()
		for _, b := range books {
			await(t, b, what, cond)
		}
	}
	do(t, books[0], control.Order{Set: []control.Change{weight(1, "2")}})
	all("first change", func(o control.Overlay) bool { return o.Len() == 1 })
	old, _, err := agent.API().KV().Get(f.key("changes"), nil)
	if err != nil || old == nil {
		t.Fatal(old, err)
	}
	do(t, books[1], control.Order{Set: []control.Change{weight(2, "2")}})
	all("second change", func(o control.Overlay) bool { return o.Len() == 2 })

	kept := func(o control.Overlay) bool { return o.Len() == 2 && o.Version >= 3 }
	if _, err := agent.API().KV().DeleteTree("sluice/test/", nil); err != nil {
		t.Fatal(err)
	}
	all("state after a wipe", kept)
	version := books[0].Overlay().Version
	if _, err := agent.API().KV().Put(&api.KVPair{Key: old.Key, Value: old.Value}, nil); err != nil {
		t.Fatal(err)
	}
	all("state after a roll-back", func(o control.Overlay) bool { return kept(o) && o.Version > version })
	if o, err := newFleet(t, agent).Load(t.Context()); err != nil || o.Len() != 2 {
		t.Fatalf("it was not written again: %v, %v", o, err)
	}

	// Whoever begins anew means it.
	anew := control.Overlay{Lineage: "other"}.With(control.Edit{Set: []control.Change{weight(7, "7")}})
	b, err := control.Encode(anew)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.API().KV().Put(&api.KVPair{Key: old.Key, Value: b}, nil); err != nil {
		t.Fatal(err)
	}
	all("new beginning", func(o control.Overlay) bool { return o.Len() == 1 && o.Version == 1 })
	do(t, books[0], control.Order{Set: []control.Change{weight(8, "8")}})
	all("change after it", func(o control.Overlay) bool { return o.Len() == 2 && o.Version == 2 })
}

// TestNewer has a newer sluice write what this one does not understand.
func TestNewer(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	f := newFleet(t, agent)
	b := newBook(t, f)
	do(t, b, control.Order{Set: []control.Change{weight(1, "2")}})
	good, _, err := agent.API().KV().Get(f.key("changes"), nil)
	if err != nil {
		t.Fatal(err)
	}
	newer := []byte(`{"format":99}`)
	if _, err := agent.API().KV().Put(&api.KVPair{Key: good.Key, Value: newer}, nil); err != nil {
		t.Fatal(err)
	}
	awaitTrouble(t, b, true)
	if _, err := b.Do(t.Context(), control.Order{Set: []control.Change{weight(2, "2")}}); !errors.Is(err, control.ErrNewer) {
		t.Fatalf("unexpected error: %v", err)
	}
	if b.Overlay().Len() != 1 {
		t.Fatalf("the last state did not stay: %v", b.Overlay())
	}
	if pair, _, err := agent.API().KV().Get(good.Key, nil); err != nil || string(pair.Value) != string(newer) {
		t.Fatalf("what a newer sluice wrote was changed: %s, %v", pair.Value, err)
	}
	if _, err := agent.API().KV().Put(&api.KVPair{Key: good.Key, Value: good.Value}, nil); err != nil {
		t.Fatal(err)
	}
	awaitTrouble(t, b, false)
	do(t, b, control.Order{Set: []control.Change{weight(2, "2")}})
}

// TestAway stops Consul: what is in force stays, changes are refused or made
// here alone, and these are merged or dropped once it is back, wiped.
func TestAway(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	b, other := newBook(t, newFleet(t, agent)), newBook(t, newFleet(t, agent))
	do(t, b, control.Order{Set: []control.Change{weight(1, "2"), weight(2, "2")}})
	await(t, other, "change", func(o control.Overlay) bool { return o.Len() == 2 })
	agent.Stop()
	awaitTrouble(t, b, true)
	if _, err := b.Do(t.Context(), control.Order{Set: []control.Change{weight(3, "2")}}); !errors.Is(err, control.ErrNoContact) {
		t.Fatalf("unexpected error without Consul: %v", err)
	}
	dry, err := b.Do(t.Context(), control.Order{Set: []control.Change{weight(3, "2")}, DryRun: true})
	if err != nil || len(dry.Effects) != 1 || len(dry.Warnings) != 1 || b.Overlay().Len() != 2 {
		t.Fatalf("unexpected outcome of a dry run without Consul: %+v, %v", dry, err)
	}
	before := b.Overlay().Tag()
	out := do(t, b, control.Order{Set: []control.Change{weight(4, "4")}, Local: control.Merge})
	if !out.Local || out.Tag == before {
		t.Fatalf("unexpected outcome: %+v", out)
	}
	do(t, b, control.Order{Set: []control.Change{weight(5, "5")}, Local: control.Drop})
	do(t, b, control.Order{Undo: []control.Key{weight(2, "").Key()}, Local: control.Merge})
	if o := b.Overlay(); o.Len() != 3 || o.Word("web", weight(2, "").Target.Name).Weighted || o.Changes()[1].Local != control.Merge {
		t.Fatalf("unexpected changes in force: %v", o)
	}
	agent.Restart()
	want := func(o control.Overlay) bool {
		return o.Len() == 2 && o.Alone == 0 && o.Word("web", weight(1, "").Target.Name).Weighted && o.Word("web", weight(4, "").Target.Name).Weighted
	}
	await(t, b, "merged state", want)
	await(t, other, "merged state elsewhere", want)
}

// TestHang has Consul hang, which every call must survive.
func TestHang(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	b := newBook(t, newFleet(t, agent))
	do(t, b, control.Order{Set: []control.Change{weight(1, "2")}})
	agent.Freeze()
	defer agent.Thaw()
	// It may take a moment until it does.
	for end := time.Now().Add(limit); ; {
		_, err := b.Do(t.Context(), control.Order{Set: []control.Change{weight(2, strconv.Itoa(rand.IntN(60000)))}})
		if errors.Is(err, control.ErrNoContact) {
			break
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("unexpected error of a Consul that hangs: %v", err)
		}
	}
	agent.Thaw()
	await(t, b, "state once it goes on", func(control.Overlay) bool {
		_, err := b.Do(t.Context(), control.Order{Set: []control.Change{weight(3, "2")}})
		return err == nil
	})
}

// childJoins has the child be listed, too.
const childJoins = "SLUICE_FLEET_TEST_JOINS"

// writeUntilKilled writes version after version and says which are done.
func writeUntilKilled(address string) {
	f, err := New(Config{Name: "test", Address: address, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	b := control.NewBook(context.Background(), control.Config{Store: f, Journal: control.NewJournal(), Logger: slog.New(slog.DiscardHandler)})
	if os.Getenv(childJoins) != "" {
		go f.Join(context.Background(), func() control.Task { return control.Task{ID: "child", Ready: true} }, nil, func(int) {})
	}
	for {
		v := strconv.FormatUint(b.Overlay().Version%60000+1, 10)
		out, err := b.Do(context.Background(), control.Order{Set: []control.Change{weight(1, v), weight(2, v)}})
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		fmt.Println(out.Version)
	}
}

// TestKilled kills a sluice while it writes: what is kept is what it said was
// done, or one version more, and its own key goes with its session.
func TestKilled(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	f := newFleet(t, agent)
	var last uint64
	for n := range longer(8, 20) {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childAddress+"="+agent.Addr())
		if n == 0 { // its session ends while the others are killed
			cmd.Env = append(cmd.Env, childJoins+"=1")
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			v, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				break
			}
			if last = v; n == 5 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait() // it was killed
		o, err := f.Load(t.Context())
		if err != nil || o.Version != last && o.Version != last+1 || o.Len() != 2 || o.Changes()[0].Value != o.Changes()[1].Value {
			t.Fatalf("kill %d: version %d was done; kept is %d with %v, %v", n, last, o.Version, o, err)
		}
		last = o.Version
	}
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		tasks, err := f.Tasks(t.Context())
		if err == nil && len(tasks) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a task that is dead is listed on: %v, %v", tasks, err)
		}
	}
}

// TestTasks lists sluices as they come and go.
func TestTasks(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	type member struct {
		leave context.CancelFunc
		done  chan struct{}
	}
	ready := make(chan int, 100)
	join := func(id string) (m member) {
		f := newFleet(t, agent)
		ctx, cancel := context.WithCancel(context.Background())
		m = member{cancel, make(chan struct{})}
		go func() {
			f.Join(ctx, func() control.Task { return control.Task{ID: id, Ready: true, Applied: 7} }, nil, func(n int) {
				if id == "a" {
					ready <- n
				}
			})
			close(m.done)
		}()
		t.Cleanup(func() { cancel(); <-m.done })
		return m
	}
	awaitReady := func(want int) {
		t.Helper()
		for end := time.After(limit); ; {
			select {
			case n := <-ready:
				if n == want {
					return
				}
			case <-end:
				t.Fatalf("there were never %d tasks ready", want)
			}
		}
	}
	ids := func() (ids []string) {
		tasks, err := newFleet(t, agent).Tasks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			ids = append(ids, task.ID)
		}
		return ids
	}
	join("a")
	awaitReady(1)
	b := join("b")
	awaitReady(2)
	if got := ids(); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("unexpected tasks: %v", got)
	}
	b.leave()
	<-b.done
	if got := ids(); !slices.Equal(got, []string{"a"}) {
		t.Fatalf("unexpected tasks after one has left: %v", got)
	}
	awaitReady(1)

	// Sessions that are gone, and keys with them, come back.
	sessions, _, err := agent.API().Session().List(nil)
	if err != nil || len(sessions) != 1 {
		t.Fatalf("unexpected sessions: %v, %v", sessions, err)
	}
	if _, err := agent.API().Session().Destroy(sessions[0].ID, nil); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(limit); len(ids()) != 1 || sessionsOf(t, agent) != 1; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a task whose session ended never came back")
		}
	}
}

func sessionsOf(t *testing.T, agent *consultest.Agent) int {
	t.Helper()
	sessions, _, err := agent.API().Session().List(nil)
	if err != nil {
		t.Fatal(err)
	}
	return len(sessions)
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", ".", "..", "a/b", "a b", "ä", "a\n"} {
		if _, err := New(Config{Name: bad}); err == nil {
			t.Errorf("no error for the name %q", bad)
		}
	}
}
