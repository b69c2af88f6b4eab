package reactor

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// busyFor is how long after an event a loop counts as busy.
	busyFor = 5 * time.Millisecond
	// busyWait is how long a busy loop waits with its P held.
	busyWait = time.Millisecond
	// idleWait bounds the wait of an idle loop.
	idleWait = time.Minute
)

// Loop runs the handlers of its streams in one goroutine. Its methods are to
// be called there, in handlers, timers and posted functions, unless they say
// otherwise.
type Loop struct {
	group   *Group
	index   int
	poller  poller // of the system's sockets; it also is what wakes the loop
	start   time.Time
	now     int64 // ns since start, read once a turn
	wheel   *wheel
	scratch []byte
	free    [][]byte
	pipes   []*Pipe // empty ones

	conns   map[*Conn]struct{}
	again   []member // whose handlers to call once more, in the next turn
	spare   []member // the memory of again's previous turn
	current Stream   // whose handler runs
	telling Handler  // that handler

	turns   atomic.Uint64
	streams atomic.Int64

	// mu protects the fields below.
	mu     sync.Mutex
	posted []func()
	ended  bool
}

func newLoop(g *Group, index int) (*Loop, error) {
	l := &Loop{
		group: g, index: index, start: time.Now(), scratch: make([]byte, ScratchSize),
		conns: make(map[*Conn]struct{}),
	}
	l.wheel = newWheel(0)
	return l, l.poller.open()
}

// Index returns the loop's place in Group.Loops.
func (l *Loop) Index() int { return l.index }

// Post makes f run in the loop, soon. It may be called from any goroutine, and
// reports false if the loop has ended and f will not run.
func (l *Loop) Post(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.posted = append(l.posted, f)
	if len(l.posted) == 1 {
		l.poller.wake()
	}
	return true
}

// Now returns the time of this turn, in ns since the loop began. It is for
// durations.
func (l *Loop) Now() int64 { return l.now }

// Time returns the time of this turn, for whoever compares it among loops or
// with a clock.
func (l *Loop) Time() time.Time { return l.start.Add(time.Duration(l.now)) }

// After makes t tell a when d has passed since this turn began; if t is set
// already it is moved.
func (l *Loop) After(t *Timer, d time.Duration, a Alarm) {
	l.wheel.set(t, l.now+int64(d), a)
}

// Stop unsets t.
func (l *Loop) Stop(t *Timer) { l.wheel.stop(t) }

// Streams returns how many streams the loop has. It may be called from any
// goroutine.
func (l *Loop) Streams() int { return int(l.streams.Load()) }

// Turns returns how many turns the loop has made. It may be called from any
// goroutine.
func (l *Loop) Turns() uint64 { return l.turns.Load() }

// run turns the loop until Group.Close.
func (l *Loop) run() {
	var lastEvent int64
	for !l.isEnded() {
		wait := l.wheel.next(l.now, idleWait)
		busy := l.now-lastEvent < int64(busyFor)
		if busy {
			wait = min(wait, busyWait)
		}
		if len(l.again) > 0 {
			wait = 0
		}
		n := l.poller.wait(wait, busy)
		l.now = int64(time.Since(l.start))
		if n > 0 {
			lastEvent = l.now
		}
		l.turns.Add(1)
		l.protect(func() { l.wheel.advance(l.now) })
		l.dispatch(n)
		l.runPosted()
		l.runAgain()
		l.closeClosed()
	}
	l.closeAll()
}

func (l *Loop) isEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// protect runs f; should it panic, the stream that f was busy with ends.
func (l *Loop) protect(f func()) {
	defer func() {
		if p := recover(); p != nil {
			l.panicked(p)
		}
	}()
	f()
}

func (l *Loop) panicked(p any) {
	l.group.logger.Error("panic in a stream's handler", "panic", p, "stack", string(debug.Stack()))
	s := l.current
	if s == nil {
		return
	}
	l.current = nil
	h := l.telling
	s.Reset()
	s.Close()
	if m, ok := h.(Mourner); ok {
		l.protect(m.Panicked)
	}
}

// tell calls the handler of s. Callers guard against its panic.
func (l *Loop) tell(s Stream, h Handler) {
	if h == nil {
		return
	}
	l.current, l.telling = s, h
	h.Ready(s)
	l.current, l.telling = nil, nil
}

// closeAll closes everything when the loop has ended.
func (l *Loop) closeAll() {
	for c := range l.conns {
		c.abandon()
	}
	l.closeSockets()
	for _, p := range l.pipes {
		p.close()
	}
	l.poller.close()
}

// Again makes the handler of s, a stream of this loop, be called in the next
// turn, for work that it has left so that others get their share. Asking twice
// counts once.
func (l *Loop) Again(s Stream) {
	m := s.(member)
	if b := m.core(); !b.again {
		b.again = true
		l.again = append(l.again, m)
	}
}

// runAgain calls the handlers that asked for it in the last turn or in this.
func (l *Loop) runAgain() {
	again := l.again
	l.again = l.spare[:0]
	l.spare = again
	for next := 0; next < len(again); {
		l.runAgainFrom(again, &next)
	}
	clear(again)
}

func (l *Loop) runAgainFrom(again []member, next *int) {
	defer func() {
		if p := recover(); p != nil {
			l.panicked(p)
		}
	}()
	for *next < len(again) {
		m := again[*next]
		*next++
		b := m.core()
		b.again = false
		if !b.closed {
			l.tell(m, b.handler)
		}
	}
}

func (l *Loop) runPosted() {
	l.mu.Lock()
	posted := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range posted {
		l.protect(f)
	}
}
