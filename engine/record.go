package engine

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"sluice/pkg/advice"
	"sluice/pkg/backend"
	"sluice/pkg/control"
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
	told     uint64          // number of the journal's latest event that was looked at

	requests atomic.Uint64 // HTTP requests that have ended

	// mu protects the fields below.
	mu      sync.Mutex
	begun   time.Time
	minutes int // that have passed
	clients [window]history.Clients
	members map[*backend.Backend]*remembered
}

// window is how many minutes counters are remembered for, as a ring.
const window = int(advice.Window/time.Minute) + 1

// remembered is what is remembered of a backend.
type remembered struct {
	picks [window]uint64 // at the beginning of each minute
	since int            // the first of them
	came  time.Time      // when it came, or came back; zero: before this process
	cold  time.Duration  // its latency then
}

// coldAfter is when a backend that came is looked at: after its first requests.
const coldAfter = 10 * time.Second

// seenChanges is how far the changes of a backend have been marked.
type seenChanges struct {
	sum uint64    // of its counters of changes
	at  time.Time // of the latest
}

func newRecorder(ss *services, sets *metricset.Sets) *recorder {
	now := time.Now()
	return &recorder{
		store: history.New(now), sets: sets, services: ss, begun: now,
		changes: make(map[*backend.Backend]seenChanges), troubled: make(map[string]bool), members: make(map[*backend.Backend]*remembered),
	}
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
	reading := history.Read(r.text.Bytes())
	r.store.Add(now, reading)
	r.requests.Store(uint64(reading.Total.Requests()))
	r.mark(now)
	r.markOrders()
	r.remember(now, reading.Clients)
}

// rateOver is over how many seconds a rate is told.
const rateOver = 10

// rate returns how many HTTP requests ended a second of late.
func (r *recorder) rate() float64 {
	steps := r.store.Range("", 0)
	steps = steps[max(0, len(steps)-rateOver):]
	sum := 0.0
	for _, s := range steps {
		sum += known(s[history.Requests])
	}
	if len(steps) == 0 {
		return 0
	}
	return math.Round(10*sum/float64(len(steps))) / 10
}

// remember remembers counters by the minute, and how backends begin.
func (r *recorder) remember(now time.Time, clients history.Clients) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := int(now.Sub(r.begun) / time.Minute)
	turned := m != r.minutes || m == 0 && len(r.members) == 0
	for i := max(r.minutes+1, m-window+1); i <= m; i++ {
		r.clients[i%window] = clients
	}
	there := make(map[*backend.Backend]*remembered, len(r.members))
	for _, s := range r.services.list() {
		for _, b := range s.pool.Snapshot().All {
			x := r.members[b]
			if x == nil {
				x = &remembered{since: m}
				x.picks[m%window] = b.Picked()
				if now.Sub(r.begun) > time.Minute {
					x.came = now
				}
			}
			if turned {
				for i := max(r.minutes+1, m-window+1); i <= m; i++ {
					x.picks[i%window] = b.Picked()
				}
			}
			if c := b.Condition(); c.State == backend.Up && c.Since.After(r.begun.Add(time.Minute)) && c.Since.After(x.came) {
				x.came, x.cold = c.Since, 0
			}
			if x.cold == 0 && !x.came.IsZero() && now.Sub(x.came) >= coldAfter && now.Sub(x.came) < time.Minute {
				x.cold = b.Latency(b.Now())
			}
			there[b] = x
		}
	}
	r.members, r.minutes = there, m
}

// recall returns how often a backend was picked in the last minutes, and the
// latency that it had when it came within the last hour; 0 for unknown.
func (r *recorder) recall(b *backend.Backend, now time.Time) (picks float64, cold time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.members[b]
	if x == nil {
		return 0, 0
	}
	first := max(x.since, r.minutes-window+1)
	picks = float64(b.Picked() - x.picks[first%window])
	if now.Sub(x.came) < time.Hour {
		cold = x.cold
	}
	return picks, cold
}

// limited returns what limits for each client did in the last minutes.
func (r *recorder) limited(now history.Clients) []advice.Limited {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.clients[max(0, r.minutes-window+1)%window]
	accepted := now.Accepted - was.Accepted
	return []advice.Limited{
		{Limit: "max-conns-per-client", Refused: now.TooMany - was.TooMany, Passed: accepted},
		{Limit: "max-rate-per-client", Refused: now.TooOften - was.TooOften, Passed: accepted},
		{Limit: "rate", Refused: now.RateLimited - was.RateLimited},
	}
}

// markOrders marks what operators changed of services, routes and listeners; what
// they changed of backends is in those' own changes.
func (r *recorder) markOrders() {
	if r.services.journal == nil {
		return
	}
	events, _, _ := r.services.journal.After(r.told, 256)
	for _, e := range events {
		r.told = e.Seq
		if e.Kind == control.Changed && e.Backend == "" {
			r.store.Mark(history.Mark{At: e.At, Kind: history.Operator, Service: e.Service, Text: e.Message})
		}
	}
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
