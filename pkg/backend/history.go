package backend

import (
	"slices"
	"sync"
	"time"
)

// HistorySize is how many changes a backend remembers.
const HistorySize = 16

// Change is one change of what sluice holds of a backend.
type Change struct {
	At time.Time
	// To is what the backend became, a closed set: the states; ejected and
	// readmitted by live traffic; draining, reweighted and ready by its own
	// word; and by the registry each Status, and reweighted.
	To string
	// Streak, Signal and Detail say why, as in Condition.
	Streak int
	Signal string
	Detail string
}

// OnHistory has f told of every change of a member, as History lists them, from
// whichever goroutine makes it. f must be quick and must not use the pool. There
// is one such function at most.
func (p *Pool) OnHistory(f func(b *Backend, c Change)) { p.onHistory.Store(&f) }

// remember notes a change, and tells of it.
func (b *Backend) remember(c Change) {
	b.history.add(c)
	if f := b.pool.onHistory.Load(); f != nil {
		(*f)(b, c)
	}
}

// history is the latest changes of a backend, the oldest first. Its zero
// value is empty; it is safe for concurrent use.
type history struct {
	mu      sync.Mutex
	changes []Change
}

func (h *history) add(c Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.changes) == HistorySize {
		h.changes = append(h.changes[:0], h.changes[1:]...)
	}
	h.changes = append(h.changes, c)
}

// History returns the latest changes of the backend, HistorySize at most, the
// oldest first.
func (b *Backend) History() []Change {
	b.history.mu.Lock()
	defer b.history.mu.Unlock()
	return slices.Clone(b.history.changes)
}
