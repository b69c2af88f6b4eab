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
	p    *pair
	idle time.Duration

	// mu protects the fields below.
	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	moved   int64     // bytes moved when last looked
	since   time.Time // when moved was last seen to change
}

func newIdleWatch(p *pair, idle time.Duration) *idleWatch {
	w := &idleWatch{p: p, idle: idle, since: time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(idle/ticksPerIdle, w.tick)
	return w
}

func (w *idleWatch) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
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
