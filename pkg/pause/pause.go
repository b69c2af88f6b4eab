// Package pause notices that the whole process did not run for a while: it was
// stopped by SIGSTOP or a debugger, used up its share of CPU, or lives in a
// machine that was stood still or moved. What a time-out says that ended
// meanwhile is nobody's fault. The event loops see to that by themselves, see
// pkg/reactor; this is for goroutines, whose timers the runtime lets expire.
package pause

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// every is how often a Watch looks.
	every = 100 * time.Millisecond
	// margin is by how much a look must be late to be a pause, as in
	// pkg/reactor.
	margin = 100 * time.Millisecond
	// remembered is how many pauses are known one by one.
	remembered = 16
)

// Watch knows when the process did not run. A nil Watch knows of no pause. All
// methods are safe for concurrent use.
type Watch struct {
	done  chan struct{}
	count atomic.Uint64
	total atomic.Int64 // ns

	// mu protects the fields below.
	mu   sync.Mutex
	last time.Time        // when it last looked
	ring [remembered]span // the latest pauses
	next int              // where in ring the next one goes
}

// span is a time in which the process did not run.
type span struct{ from, to time.Time }

// NewWatch returns a Watch that has begun to look. Close ends it.
func NewWatch() *Watch {
	w := &Watch{done: make(chan struct{}), last: time.Now()}
	go w.run()
	return w
}

// Close ends the looking. It must be called once at most.
func (w *Watch) Close() { close(w.done) }

func (w *Watch) run() {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-w.done:
			return
		case <-ticker.C:
			w.look(time.Now())
		}
	}
}

// look notes that the process runs at now.
func (w *Watch) look(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := gap(w.last, now); ok {
		w.ring[w.next] = s
		w.next = (w.next + 1) % remembered
		w.count.Add(1)
		w.total.Add(int64(s.to.Sub(s.from)))
	}
	w.last = now
}

// gap returns the pause between two looks, if there was one.
func gap(last, now time.Time) (s span, ok bool) {
	return span{last.Add(every), now}, now.Sub(last) > every+margin
}

// Since returns for how long the process did not run since t. A pause that has
// just ended is known, whoever runs first after it.
func (w *Watch) Since(t time.Time) (d time.Duration) {
	if w == nil {
		return 0
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.ring {
		d += s.after(t)
	}
	if s, ok := gap(w.last, now); ok {
		d += s.after(t)
	}
	return d
}

// after returns how much of s came after t.
func (s span) after(t time.Time) time.Duration {
	if s.from.Before(t) {
		s.from = t
	}
	return max(0, s.to.Sub(s.from))
}

// Total returns how many pauses there were and how long they were altogether.
func (w *Watch) Total() (n uint64, d time.Duration) {
	return w.count.Load(), time.Duration(w.total.Load())
}
