//go:build !portable

package reactor

import (
	"net"
	"net/netip"
	"testing"
)

// TestFrontAccepts has one loop accept all connections, then two of three, then
// one again.
func TestFrontAccepts(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	in(g.Loops()[0], func() { g.Loops()[0].Divert(g.Loops()[0]) }) // nothing but this test changes the front
	where := make(chan int, 1)
	addr := listen(t, g, func(l *Loop, s *Socket, _ netip.AddrPort) {
		s.Handle(&echo{share: 1 << 20})
		where <- l.Index()
	})
	dial := func() int {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return <-where
	}
	for range 50 {
		if i := dial(); i != 0 {
			t.Fatalf("unexpected loop of a connection; got %d; want the first one", i)
		}
	}
	front := func(n int) {
		in(g.Loops()[0], func() { g.setFront(n) })
		for _, l := range g.Loops() {
			in(l, func() {}) // it has heard of it
		}
	}
	front(2)
	// The first loop is busy: the second one has to take what comes.
	held, release := make(chan struct{}), make(chan struct{})
	g.Loops()[0].Post(func() { close(held); <-release })
	<-held
	if i := dial(); i != 1 {
		t.Errorf("unexpected loop of a connection while the first one is busy; got %d; want 1", i)
	}
	close(release)
	front(1)
	in(g.Loops()[0], func() {})
	for range 50 {
		if i := dial(); i != 0 {
			t.Fatalf("unexpected loop of a connection after the second one has left; got %d", i)
		}
	}
}

// TestShed checks that a loop gives away the part that it was told to, of what
// has stayed for a while, and chooses the same as long as nothing has changed.
func TestShed(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	l := g.Loops()[0]
	in(l, func() {
		socket := &Socket{base: base{loop: l}}
		if l.shed.to = nil; l.Shed(socket, 0) != nil {
			t.Error("a connection was given away without a need")
		}
		long := l.Real() - int64(settledAfter)
		for _, part := range []uint32{0, 1 << 30, 1 << 31, 1<<32 - 1} {
			l.shed = shedding{to: g.Loops()[1], part: part, salt: 7}
			n := 0
			for fd := range 1000 {
				socket.fd = int32(fd)
				to := l.Shed(socket, long)
				if to != l.Shed(socket, long) {
					t.Fatal("two choices for the same connection")
				}
				if to != nil {
					n++
				}
				if l.Shed(socket, l.Real()) != nil {
					t.Fatal("a connection that has just come was given away")
				}
			}
			if want := int(uint64(part) * 1000 >> 32); n < want-50 || n > want+50 {
				t.Errorf("unexpected part; got %d of 1,000; want %d", n, want)
			}
		}
		l.shed.to = nil
	})
}

// TestMovePair moves both ends of a relay to another loop, and on.
func TestMovePair(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	from, to := g.Loops()[0], g.Loops()[1]
	a, peer := connected(t, from)
	b, other := connected(t, from)
	type pair struct{ a, b *Socket }
	moved := make(chan pair, 1)
	in(from, func() {
		if !MovePair(a, b, to, func(a, b *Socket, err error) {
			if err != nil {
				t.Error(err)
				close(moved)
				return
			}
			a.Handle(&echo{share: 1 << 20})
			b.Handle(&echo{share: 1 << 20})
			moved <- pair{a, b}
		}) {
			t.Error("the pair was not moved")
			close(moved)
		}
		if MovePair(a, b, to, nil) {
			t.Error("the pair was moved twice")
		}
	})
	if p := <-moved; p.a == nil || p.a.Loop() != to || p.b.Loop() != to {
		t.Fatalf("unexpected pair after the move: %+v", p)
	}
	for _, c := range []net.Conn{peer, other} {
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 8)
		if n, err := c.Read(buf); string(buf[:n]) != "hello" || err != nil {
			t.Errorf("unexpected echo; got %q, %v", buf[:n], err)
		}
		c.Close()
	}
	wantStreams(t, g, 0)
}
