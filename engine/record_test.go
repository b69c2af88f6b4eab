package engine

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/control"
	"sluice/pkg/history"
	"sluice/pkg/metricset"
)

// TestRecall has a backend that is picked at a steady rate for an hour: what it
// was given in the last 15 minutes is told, and not what came before.
func TestRecall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pool := backend.NewPool("web")
		pool.Set([]backend.Target{{ID: "a", Address: "127.0.0.1:1", Weight: 1}})
		b := pool.Snapshot().All[0]
		ss := &services{logger: slog.New(slog.DiscardHandler)}
		ss.all = []*service{{name: "web", pool: pool}}
		ss.journal = control.NewJournal()
		ss.journal.Add(control.Event{Kind: control.Changed, Service: "web", Message: "strategy=maglev", By: "ann"})
		ss.journal.Add(control.Event{Kind: control.Changed, Service: "web", Backend: "127.0.0.1:1", Message: "drain"})
		r := newRecorder(ss, metricset.New())
		for n := range 3600 {
			time.Sleep(time.Second)
			b.Acquire()
			b.Release()
			r.record(time.Now())
			picks, _ := r.recall(b, time.Now())
			if want := float64(min(n+1, 15*60)); picks < want-1 || picks > want+60 {
				t.Fatalf("unexpected number of picks after %d s: %g; want some %g", n+1, picks, want)
			}
		}
		for n, m := range r.store.Ask(history.Question{}).Marks {
			t.Fatalf("mark %d is still there after an hour: %+v", n, m)
		}
		ss.journal.Add(control.Event{Kind: control.Changed, Service: "web", Message: "strategy=p2c", By: "ann"})
		time.Sleep(time.Second)
		r.record(time.Now())
		if marks := r.store.Ask(history.Question{Service: "web"}).Marks; len(marks) != 1 || marks[0].Kind != history.Operator || marks[0].Text != "strategy=p2c" {
			t.Fatalf("unexpected marks of an operator's change: %+v", marks)
		}
		limited := r.limited(history.Clients{Accepted: 100, TooMany: 3})
		if limited[0].Refused != 3 || limited[0].Passed != 100 {
			t.Fatalf("unexpected limits: %+v", limited)
		}

		// One that comes is remembered by how it began.
		pool.Set([]backend.Target{{ID: "a", Address: "127.0.0.1:1", Weight: 1}, {ID: "b", Address: "127.0.0.1:2", Weight: 1}})
		late := pool.Snapshot().All[1]
		for n := range 120 {
			took := 20 * time.Millisecond
			if n < 12 {
				took = 200 * time.Millisecond
			}
			late.Observe(took, true)
			time.Sleep(time.Second)
			r.record(time.Now())
		}
		if _, cold := r.recall(late, time.Now()); cold < 150*time.Millisecond {
			t.Fatalf("unexpected latency of the beginning: %v", cold)
		}
		if _, cold := r.recall(b, time.Now()); cold != 0 {
			t.Fatalf("unexpected latency of the beginning of one that was there from the start: %v", cold)
		}
		pool.Set(nil)
		r.record(time.Now())
		if len(r.members) != 0 || len(r.changes) != 0 {
			t.Fatal("backends that left are remembered")
		}
	})
}
