package relay

import (
	"sync"
	"time"
)

// ticksPerIdle is how often the idle watch looks within one idle time.
const ticksPerIdle = 4

// idleWatch ends a pair that moved no byte for the idle time. It looks at the
// counters now and then, so that the data path sets no deadlines.
type idleWatch struct {
	p *pair

	// mu protects the fields below.
	mu      sync.Mutex
	idle    time.Duration // 0 for ever
	fin     time.Duration // takes idle's place once a side has ended; 0 never
	timer   *time.Timer
	stopped bool
	moved   int64     // bytes moved when last looked
	since   time.Time // when moved was last seen to change
}

func newIdleWatch(p *pair, idle, fin time.Duration) *idleWatch {
	w := &idleWatch{p: p, idle: max(idle, 0), fin: max(fin, 0)}
	w.timer = time.AfterFunc(time.Hour, w.tick)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin()
	return w
}

// begin starts the idle time anew; w.mu is held.
func (w *idleWatch) begin() {
	w.since = time.Now()
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

func (w *idleWatch) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || w.idle == 0 {
		return
	}
	if moved := w.p.up.moved.Load() + w.p.down.moved.Load(); moved != w.moved {
		w.moved, w.since = moved, time.Now()
	} else if time.Since(w.since) >= w.idle {
		w.p.abort(IdleTimeout)
		return
	}
	w.timer.Reset(w.idle / ticksPerIdle)
}

func (w *idleWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}
