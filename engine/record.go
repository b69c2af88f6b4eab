package engine

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/history"
	"sluice/pkg/metricset"
)

// recorder keeps the history of the run: once a second it reads the counters
// there are, and marks what changed since.
type recorder struct {
	store    *history.Store
	sets     *metricset.Sets
	services *services

	// Of follow's goroutine:
	text     bytes.Buffer
	changes  map[*backend.Backend]seenChanges
	troubled map[string]bool // sources of services
}

// seenChanges is how far the changes of a backend have been marked.
type seenChanges struct {
	sum uint64    // of its counters of changes
	at  time.Time // of the latest
}

func newRecorder(ss *services, sets *metricset.Sets) *recorder {
	return &recorder{store: history.New(time.Now()), sets: sets, services: ss, changes: make(map[*backend.Backend]seenChanges), troubled: make(map[string]bool)}
}

// follow records until ctx ends.
func (r *recorder) follow(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			r.record(now)
		}
	}
}

// record makes one step.
func (r *recorder) record(now time.Time) {
	r.text.Reset()
	r.sets.WriteSeries(&r.text)
	r.store.Add(now, history.Read(r.text.Bytes()))
	r.mark(now)
}

// markReload marks that the configuration was read again.
func (r *recorder) markReload(report Report, err error) {
	text := fmt.Sprintf("configuration reloaded, %d changes", len(report.Changed))
	if err != nil {
		text = "configuration not reloaded: " + err.Error()
	}
	r.store.Mark(history.Mark{At: time.Now(), Kind: history.Reload, Text: text})
}

// mark marks what changed of backends and of where they come from.
func (r *recorder) mark(now time.Time) {
	there := make(map[*backend.Backend]seenChanges, len(r.changes))
	for _, s := range r.services.list() {
		for _, b := range s.pool.Snapshot().All {
			seen, known := r.changes[b]
			at := r.changesOf(s.name, b, seen, known)
			there[b] = at
		}
		for _, rep := range s.reports() {
			key := s.name + "\x00" + rep.Source
			was := r.troubled[key]
			switch {
			case rep.Trouble != "" && !was:
				r.store.Mark(history.Mark{At: now, Kind: history.Contact, Service: s.name, Text: rep.Source + ": " + rep.Trouble})
				r.troubled[key] = true
			case rep.Trouble == "" && was:
				r.store.Mark(history.Mark{At: now, Kind: history.Contact, Service: s.name, Text: rep.Source + ": all is well again"})
				delete(r.troubled, key)
			}
		}
	}
	r.changes = there
}

// changesOf marks the changes of a backend since the last time. Those that it
// had when it was first seen are marked if they are of this run.
func (r *recorder) changesOf(service string, b *backend.Backend, seen seenChanges, known bool) seenChanges {
	c := &b.Counters
	sum := c.WentUp.Load() + c.WentDown.Load() + c.Ejected.Load() + c.Readmitted.Load() + b.Reweighted()
	for _, st := range backend.Statuses() {
		sum += b.Said(st)
	}
	// An operator's orders and a backend's own word have no counters: they change
	// how it stands.
	since := b.Standing().Since
	if known && sum == seen.sum && !since.After(seen.at) {
		return seen
	}
	next := seenChanges{sum, seen.at}
	for _, x := range b.History() {
		if !x.At.After(seen.at) {
			continue
		}
		next.at = x.At
		if !known && x.To == backend.Up.String() && x.Streak <= 1 { // it has just been found to be there
			continue
		}
		kind := history.Transition
		if x.Signal == backend.Operator {
			kind = history.Operator
		}
		text := x.To
		if x.Detail != "" {
			text += ": " + x.Detail
		}
		r.store.Mark(history.Mark{At: backend.TimeOfDay(x.At), Kind: kind, Service: service, Backend: b.Addr(), Text: text})
	}
	return next
}
