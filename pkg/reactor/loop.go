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
	// timersPerTurn is how many timers are told or moved in a turn at most.
	timersPerTurn = 512
	// maxFull is after how many turns that brought as many events as they can
	// timers have their turn all the same.
	maxFull = 8
)

// Loop runs the handlers of its streams in one goroutine. Its methods are to
// be called there, in handlers, timers and posted functions, unless they say
// otherwise.
type Loop struct {
	group    *Group
	index    int
	poller   poller // of the system's sockets; it also is what wakes the loop
	start    time.Time
	clock    clock     // read once a turn
	wall     time.Time // the time of day of wallTurn
	wallTurn uint64
	wheel    *wheel
	scratch  []byte
	free     [][]byte
	pipes    []*Pipe // empty ones

	conns   map[carried]struct{}
	again   []member // whose handlers to call once more, in the next turn
	spare   []member // the memory of again's previous turn
	current member   // whom what runs is about, or nil
	youth   youth

	records []byte // of TLS, on their way; empty between two calls

	scale  scale
	weight weight
	shares []int // memory for the weights of all loops
	shed   shedding

	turns   atomic.Uint64
	phase   atomic.Uint64 // counts the beginnings and ends of waits: odd while the loop waits
	streams atomic.Int64
	stalls  atomic.Uint64
	stalled atomic.Int64 // ns

	// mu protects the fields below.
	mu     sync.Mutex
	posted []func()
	ended  bool
}

// carried is a stream upon a net.Conn.
type carried interface {
	// abandon closes the connection at once, for a loop that ends.
	abandon()
}

func newLoop(g *Group, index int) (*Loop, error) {
	l := &Loop{
		group: g, index: index, start: g.born, scratch: make([]byte, ScratchSize),
		conns: make(map[carried]struct{}),
	}
	l.clock = newClock()
	l.wheel = newWheel(0)
	return l, l.poller.open()
}

// Index returns the loop's place in Group.Loops.
func (l *Loop) Index() int { return l.index }

// Post makes f run in the loop, soon. It may be called from any goroutine, and
// reports false if the loop has ended and f will not run. Otherwise f does run,
// be it as the last thing before the loop's streams are closed.
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

// Now returns the time of this turn, in ns since the loop began, without the
// times in which the loop was stalled. It is what time-outs are reckoned in, and
// whatever is held against a peer.
func (l *Loop) Now() int64 { return l.clock.now }

// Real returns the time of this turn, in ns since the loop began, all times
// included. It is for durations that people read.
func (l *Loop) Real() int64 { return l.clock.real }

// Time returns the time of this turn, for whoever compares it among loops. Its
// time of day is reckoned from that of the loop's beginning.
func (l *Loop) Time() time.Time { return l.start.Add(time.Duration(l.clock.real)) }

// Wall returns the time of day of this turn, for people. The system's clock is
// read once a turn at most, and only if somebody asks.
func (l *Loop) Wall() time.Time {
	if turn := l.turns.Load(); l.wallTurn != turn || l.wall.IsZero() {
		l.wall, l.wallTurn = time.Now(), turn
	}
	return l.wall
}

// StalledSince reports whether the loop was stalled after the moment at, of Now:
// who took long or gave up since then need not be at fault.
func (l *Loop) StalledSince(at int64) bool { return l.clock.stalledSince(at) }

// Stalled returns until when, of Now, the loop was last stalled, or -1 if it never
// was.
func (l *Loop) Stalled() int64 { return l.clock.stalled }

// After makes t tell a when d has passed since this turn began; if t is set
// already it is moved.
func (l *Loop) After(t *Timer, d time.Duration, a Alarm) {
	l.wheel.set(t, l.clock.now+int64(d), a)
}

// Stop unsets t.
func (l *Loop) Stop(t *Timer) { l.wheel.stop(t) }

// Streams returns how many streams the loop has. It may be called from any
// goroutine.
func (l *Loop) Streams() int { return int(l.streams.Load()) }

// Share returns how much of a processor the loop has used lately, from 0 to 1. It
// may be called from any goroutine.
func (l *Loop) Share() float64 {
	return float64(l.weight.shareAt(int64(time.Since(l.start)))) / 1000
}

// run turns the loop until Group.Close.
func (l *Loop) run() {
	var lastEvent int64
	full := 0 // turns in a row that brought as many events as they can
	for !l.isEnded() {
		wait := l.wheel.next(l.clock.now, idleWait)
		busy := l.clock.real-lastEvent < int64(busyFor)
		if busy {
			wait = min(wait, busyWait)
		}
		if len(l.again) > 0 {
			wait = 0
		}
		measured, began := l.turns.Load()%measureOneIn == 0, int64(0)
		if measured {
			began = int64(time.Since(l.start))
			l.scale.turns += began - l.clock.real
		}
		l.phase.Add(1)
		n := l.poller.wait(wait, busy)
		l.phase.Add(1)
		if stall := l.clock.advance(int64(time.Since(l.start)), wait); stall > 0 {
			l.noteStall(stall)
		}
		if measured {
			l.scale.waits += l.clock.real - began
		}
		if n > 0 {
			lastEvent = l.clock.real
		}
		l.turns.Add(1)
		l.weigh()
		l.dispatch(n)
		l.runPosted()
		// What has come is dealt with before anybody is told that nothing came
		// in time; more events may wait after as many as one turn can bring.
		if full++; n < maxEvents || full >= maxFull {
			full = 0
			l.protect(func() { l.wheel.advance(l.clock.now, timersPerTurn) })
		}
		l.runAgain()
		l.closeClosed()
	}
	l.finish()
}

// finish ends a loop that does not run any more, or never did.
func (l *Loop) finish() {
	l.runPosted()
	l.closeClosed()
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

// Guard runs f, which is about s. Should f panic, s ends and its handler is
// told, as if that had panicked.
func (l *Loop) Guard(s Stream, f func()) {
	before := l.current
	defer func() {
		if p := recover(); p != nil {
			l.panicked(p)
		}
		l.current = before
	}()
	l.current = s.(member)
	f()
}

// panicked ends what panicked: the stream that what ran was about, or the alarm
// of the timer that expired.
func (l *Loop) panicked(p any) {
	l.group.logger.Error("panic in an event loop", "panic", p, "stack", string(debug.Stack()))
	s, alarm := l.current, l.wheel.firing
	l.current, l.wheel.firing = nil, nil
	var bereaved any = alarm
	if s != nil {
		bereaved = s.core().handler // before Close forgets it
		s.Reset()
		s.Close()
	}
	if m, ok := bereaved.(Mourner); ok {
		l.protect(m.Panicked)
	}
}

// tell calls the handler of s. Callers guard against its panic.
func (l *Loop) tell(s member, h Handler) {
	if h == nil {
		return
	}
	l.current = s
	h.Ready(s)
	l.current = nil
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
