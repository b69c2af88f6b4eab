package reactor

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"sluice/pkg/tcp"
)

const patience = 20 * time.Second

// wait waits for c to be closed.
func wait(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatal("no sign of: " + what)
	}
}

// TestPostRuns posts while the loop is told to end: what Post has said yes to
// runs.
func TestPostRuns(t *testing.T) {
	t.Parallel()
	for range 50 {
		g := newGroup(t, 1)
		l := g.Loops()[0]
		in, out := make(chan struct{}), make(chan struct{})
		l.Post(func() { close(in); <-out })
		<-in
		var ran atomic.Int32
		posted := int32(0)
		for range 10 {
			if l.Post(func() { ran.Add(1) }) {
				posted++
			}
		}
		closed := make(chan struct{})
		go func() { g.Close(); close(closed) }()
		for deadline := time.Now().Add(patience); l.Post(func() { ran.Add(1) }); posted++ { // until Close has marked the loop
			if time.Now().After(deadline) {
				t.Fatal("Post never says no")
			}
		}
		close(out)
		wait(t, closed, "Close returns")
		if n := ran.Load(); n != posted {
			t.Fatalf("unexpected runs of what was posted; got %d; want %d", n, posted)
		}
	}
}

// TestCloseBeforeStart checks that a group which never ran gives back what it
// has, and what was posted.
func TestCloseBeforeStart(t *testing.T) {
	t.Parallel()
	g, err := NewGroup(2, newLogger())
	if err != nil {
		t.Fatal(err)
	}
	ran := false
	g.Loops()[1].Post(func() { ran = true })
	g.Close()
	g.Start() // does nothing any more
	if !ran || g.Loops()[0].Post(func() {}) {
		t.Fatal("unexpected life of a group that was closed")
	}
}

// TestCloseEndsConns checks that readers and writers of connections have ended
// when Close returns, whatever their peers do.
func TestCloseEndsConns(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string]func() (near, far net.Conn){
		"tcp": func() (net.Conn, net.Conn) { return tcpPair(t) },
		"tls": func() (net.Conn, net.Conn) {
			near, far := tlsPair(t)
			go far.Handshake()
			if err := near.Handshake(); err != nil {
				t.Fatal(err)
			}
			return near, far
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t, 1)
			l := g.Loops()[0]
			quiet, _ := pair()
			stuck, _ := pair()
			var running atomic.Int32
			stuffed := make(chan struct{})
			l.Post(func() {
				l.AdoptConn(counted{quiet, &running})
				c := l.AdoptConn(counted{stuck, &running})
				fill := make([]byte, connBehind)
				c.Handle(handlerFunc(func(Stream) {
					_, _ = c.Write(fill) // which nobody reads
				}))
				_, _ = c.Write(fill)
				c.Close() // with something left to send
				close(stuffed)
			})
			wait(t, stuffed, "the connections are there")
			g.Close()
			if n := running.Load(); n != 0 {
				t.Fatalf("unexpected goroutines in a read or a write after Close: %d", n)
			}
		})
	}
}

// counted counts who is in a read or a write.
type counted struct {
	net.Conn
	n *atomic.Int32
}

func (c counted) Read(p []byte) (int, error) {
	c.n.Add(1)
	defer c.n.Add(-1)
	return c.Conn.Read(p)
}

func (c counted) Write(p []byte) (int, error) {
	c.n.Add(1)
	defer c.n.Add(-1)
	return c.Conn.Write(p)
}

func (c counted) NetConn() net.Conn { return tcp.Innermost(c.Conn) }

// mourner counts its panics.
type mourner struct {
	mourned chan struct{}
	on      func(Stream)
}

func (m *mourner) Ready(s Stream) {
	if m.on != nil {
		m.on(s)
	}
}
func (m *mourner) Expired(*Timer) { panic("test") }
func (m *mourner) Panicked()      { m.mourned <- struct{}{} }

// TestPanicIsMourned panics wherever a loop runs other people's code.
func TestPanicIsMourned(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	l := g.Loops()[0]
	f := func(name string, begin func(m *mourner, s Stream)) {
		t.Helper()
		m := &mourner{mourned: make(chan struct{}, 9)}
		near, far := tcpPair(t)
		l.Post(func() {
			c := l.AdoptConn(near)
			c.Handle(m)
			begin(m, c)
		})
		select {
		case <-m.mourned:
		case <-time.After(patience):
			t.Fatalf("nobody mourned: %s", name)
		}
		if name == "alarm" {
			return // its stream is its own affair
		}
		_ = far.SetReadDeadline(time.Now().Add(patience))
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Fatalf("unexpected life of a stream: %s", name)
		}
	}
	f("alarm", func(m *mourner, s Stream) { l.After(new(Timer), time.Millisecond, m) })
	f("guarded", func(_ *mourner, s Stream) { l.Post(func() { l.Guard(s, func() { panic("test") }) }) })
	f("nested", func(_ *mourner, s Stream) {
		l.Guard(s, func() { l.Guard(s, func() {}); panic("test") })
	})
	f("handler", func(m *mourner, s Stream) { m.on = func(Stream) { panic("test") }; l.Again(s) })
	f("taken over", func(m *mourner, s Stream) {
		s.Handle(handlerFunc(func(s Stream) {
			s.Handle(m)
			panic("test")
		}))
		l.Again(s)
	})
	// Timers that were due with the one that panicked still fire.
	fired := make(chan struct{}, 10)
	m := &mourner{mourned: make(chan struct{}, 10)}
	l.Post(func() {
		for i := range 10 {
			if i%2 == 0 {
				l.After(new(Timer), time.Millisecond, m)
			} else {
				l.After(new(Timer), time.Millisecond, AlarmFunc(func() { fired <- struct{}{} }))
			}
		}
	})
	for range 5 {
		wait(t, m.mourned, "an alarm that panics")
		wait(t, fired, "an alarm beside one that panics")
	}
}

// TestEventsBeforeTimers stops a loop while bytes come and a timer becomes due:
// the bytes are seen first, and what is left of the timer's time is still left.
func TestEventsBeforeTimers(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	l := g.Loops()[0]
	near, far := tcpPair(t)
	got := make(chan string, 2)
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	const left = 50 * time.Millisecond
	l.Post(func() {
		begun := l.Now()
		l.After(new(Timer), left, AlarmFunc(func() {
			got <- "timer"
			if passed := time.Duration(l.Now() - begun); passed < left || !l.StalledSince(begun) {
				t.Errorf("unexpected time of the timer: after %v, stalled %v", passed, l.StalledSince(begun))
			}
			close(done)
		}))
		c := l.AdoptConn(near)
		c.Handle(handlerFunc(func(Stream) { got <- "bytes"; c.Close() }))
	})
	l.Post(func() { close(in); <-out })
	<-in
	began := time.Now()
	_, _ = far.Write([]byte("x"))
	time.Sleep(left + 3*stallMargin) // the pause itself
	if time.Since(began) < left+stallMargin {
		t.Fatal("a sleep that is too short")
	}
	close(out)
	wait(t, done, "the timer")
	if first := <-got; first != "bytes" {
		t.Fatalf("unexpected first event: %s", first)
	}
	if n, total := g.Stalls(); n == 0 || total < stallMargin {
		t.Fatalf("unexpected count of stalls: %d, %v", n, total)
	}
}

// TestTimersAreBounded has very many timers due at once: others get their turn.
func TestTimersAreBounded(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	l := g.Loops()[0]
	const n = 20 * timersPerTurn
	timers := make([]Timer, n)
	var fired, most, last int
	var turn uint64
	done := make(chan struct{})
	l.Post(func() {
		for i := range timers {
			l.After(&timers[i], time.Millisecond, AlarmFunc(func() {
				if l.turns.Load() != turn {
					turn, last = l.turns.Load(), 0
				}
				last++
				most = max(most, last)
				if fired++; fired == n {
					close(done)
				}
			}))
		}
	})
	wait(t, done, "all timers")
	if most > timersPerTurn {
		t.Fatalf("unexpected timers in one turn: %d", most)
	}
}

// TestWall checks that the time of day is the system's.
func TestWall(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	l := g.Loops()[0]
	before := time.Now()
	got := make(chan time.Time, 1)
	l.Post(func() { got <- l.Wall() })
	if at := <-got; at.Before(before) || at.After(time.Now()) {
		t.Fatalf("unexpected time of day: %v", at)
	}
}
