package copy

import (
	"sync"
	"syscall"
	"time"

	"sluice/l4"
)

// ticksPerIdle is how often the idle watch looks within one idle time.
const ticksPerIdle = 4

// idleWatch ends a relay that moved no byte for the idle time. It looks at the
// counters now and then, so that the data path sets no deadlines.
type idleWatch struct {
	p *relay

	// mu protects the fields below.
	mu      sync.Mutex
	idle    time.Duration // 0 for ever
	fin     time.Duration // takes idle's place once a side has ended; 0 never
	timer   *time.Timer
	stopped bool
	moved   int64     // bytes moved when last looked
	since   time.Time // when moved was last seen to change
	looked  time.Time // when that was
}

// late is by how much a look must be late to show that the process did not run
// for a while.
const late = 100 * time.Millisecond

func newIdleWatch(p *relay, idle, fin time.Duration) *idleWatch {
	w := &idleWatch{p: p, idle: max(idle, 0), fin: max(fin, 0)}
	w.timer = time.AfterFunc(time.Hour, func() { p.act(w.tick) })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin()
	return w
}

// begin starts the idle time anew; w.mu is held.
func (w *idleWatch) begin() {
	w.since = time.Now()
	w.looked = w.since
	if w.idle > 0 {
		w.timer.Reset(w.idle / ticksPerIdle)
	} else {
		w.timer.Stop()
	}
}

// halfClosed is told that a side has ended its direction.
func (w *idleWatch) halfClosed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped && w.fin > 0 && (w.idle == 0 || w.fin < w.idle) {
		w.idle = w.fin
		w.begin()
	}
}

// tick looks. What it finds is acted upon without w.mu: whoever holds a pair's
// lock and asks for this one would wait for ever.
func (w *idleWatch) tick() {
	if w.over(time.Now()) {
		w.p.abort(l4.IdleTimeout)
		return
	}
	for _, d := range []*direction{&w.p.up, &w.p.down} {
		// Of a side that has ended nobody reads whether it broke after that.
		if d.finSent.Load() && d.wasReset() {
			d.fail(syscall.ECONNRESET)
		}
	}
}

// over reports whether the idle time is over at now, and sets the timer if not.
// A time in which the process did not run does not count.
func (w *idleWatch) over(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || w.idle == 0 {
		return false
	}
	every := w.idle / ticksPerIdle
	if pause := now.Sub(w.looked) - every; pause > late {
		w.since = w.since.Add(pause)
	}
	w.looked = now
	if moved := w.p.up.moved.Load() + w.p.down.moved.Load(); moved != w.moved {
		w.moved, w.since = moved, now
	} else if now.Sub(w.since) >= w.idle {
		return true
	}
	w.timer.Reset(every)
	return false
}

func (w *idleWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}
