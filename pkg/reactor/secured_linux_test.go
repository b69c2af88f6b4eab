//go:build !portable

package reactor

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net"
	"testing"
	"time"

	"sluice/pkg/tcp"
)

// TestSecuredIsCarriedByTheLoop holds that TLS gets no goroutines.
func TestSecuredIsCarriedByTheLoop(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	near, _ := securedPair(t)
	got := make(chan Stream, 1)
	l := g.Loops()[0]
	l.Post(func() { got <- l.AdoptConn(near) })
	if s, ok := (<-got).(*Secured); !ok || s.NetConn() != near {
		t.Fatalf("unexpected stream: %T", s)
	}
}

// TestSecuredInPieces has records come a byte at a time, and in random pieces, so
// that every read but few ends in the middle of one.
func TestSecuredInPieces(t *testing.T) {
	t.Parallel()
	sent := make([]byte, 40<<10)
	_, _ = mathrand.NewChaCha8([32]byte{2}).Read(sent)
	for name, piece := range map[string]func() int{
		"a byte": func() int { return 1 },
		"random": func() int { return 1 + mathrand.IntN(3000) },
	} {
		g := newGroup(t, 1)
		near, far := securedPair(t)
		adopt(t, g, near, &echo{share: 10 << 10})
		// What the client sends goes to the proxy's socket in pieces.
		relay(t, far, piece)
		size := len(sent)
		if name == "a byte" {
			size = 3000
		}
		go func() {
			for rest := sent[:size]; len(rest) > 0; {
				n := min(len(rest), 1+mathrand.IntN(2000))
				if _, err := far.Write(rest[:n]); err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
			if err := far.CloseWrite(); err != nil {
				t.Error(err)
			}
		}()
		got, err := io.ReadAll(far)
		if err != nil || !bytes.Equal(got, sent[:size]) {
			t.Fatalf("%s: unexpected echo of %d bytes, error %v", name, len(got), err)
		}
		wantStreams(t, g, 0)
	}
}

// relay makes far, TLS upon a Line, write in pieces, each a packet of its own.
func relay(t *testing.T, far *tls.Conn, piece func() int) {
	t.Helper()
	line := far.NetConn().(*tcp.Line)
	line.Divert(&pieces{line.Conn, piece})
}

type pieces struct {
	net.Conn
	size func() int
}

func (p *pieces) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n := min(p.size(), len(b)-done)
		if _, err := p.Conn.Write(b[done : done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return len(b), nil
}

// TestSecuredBounds fills a Secured whose peer does not read: what it holds is
// bounded, and when it is closed all that it took is delivered.
func TestSecuredBounds(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	near, far := securedPair(t)
	sent := make([]byte, 16<<20)
	_, _ = mathrand.NewChaCha8([32]byte{3}).Read(sent)
	full := make(chan int, 1)
	taken := 0
	adopt(t, g, near, handlerFunc(func(s Stream) {
		for s.Writable() {
			n, err := s.Write(sent[taken:min(len(sent), taken+100_000)])
			taken += n
			if err != nil && !errors.Is(err, ErrAgain) {
				t.Error(err)
				return
			}
			if n == 0 && err == nil {
				break
			}
		}
		if held := len(s.(*Secured).out); held > 2*securedBehind {
			t.Errorf("unexpected bytes held: %d", held)
		}
		if taken < len(sent) {
			s.Close() // with something left to send
			full <- taken
		}
	}))
	n := <-full
	got, err := io.ReadAll(far)
	if err != nil || !bytes.Equal(got, sent[:n]) {
		t.Fatalf("unexpected delivery: %d bytes, error %v; want %d", len(got), err, n)
	}
	wantStreams(t, g, 0)
}

// TestSecuredHalves ends our direction while the peer goes on, behind bytes that
// it does not take for a while.
func TestSecuredHalves(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	near, far := securedPair(t)
	const size = 8 << 20
	rest, came := size, 0
	over := make(chan int, 1)
	adopt(t, g, near, handlerFunc(func(s Stream) {
		for rest > 0 && s.Writable() {
			n, err := s.Write(make([]byte, min(rest, 50_000)))
			rest -= n
			if err != nil && !errors.Is(err, ErrAgain) {
				t.Error(err)
			}
			if rest == 0 {
				if err := s.CloseWrite(); err != nil {
					t.Error(err)
				}
				if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
					t.Errorf("unexpected write after the end: %v", err)
				}
			}
		}
		for s.Readable() {
			n, err := s.Read(s.Loop().Scratch())
			came += n
			if err == io.EOF {
				s.Close()
				over <- came
				return
			}
			if err != nil && !errors.Is(err, ErrAgain) {
				t.Error(err)
				return
			}
		}
	}))
	n, err := io.Copy(io.Discard, far)
	if n != size || err != nil {
		t.Fatalf("unexpected delivery: %d bytes, error %v", n, err)
	}
	if _, err := far.Write(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	far.Close()
	if n := <-over; n != 100_000 {
		t.Fatalf("unexpected bytes after our end: %d", n)
	}
	wantStreams(t, g, 0)
}

// TestSecuredAfterTheLoop closes a loop with a Secured that has something left to
// send, which nobody takes.
func TestSecuredAfterTheLoop(t *testing.T) {
	t.Parallel()
	g, err := NewGroup(1, newLogger())
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	l := g.Loops()[0]
	open, _ := securedPair(t)
	lingering, _ := securedPair(t)
	stuffed := make(chan struct{})
	l.Post(func() {
		for _, nc := range []net.Conn{open, lingering} {
			s := l.AdoptConn(nc)
			for s.Writable() {
				_, _ = s.Write(make([]byte, 100_000))
			}
			if nc == lingering {
				s.Close()
			}
		}
		close(stuffed)
	})
	wait(t, stuffed, "the connections are there")
	over := make(chan struct{})
	go func() { g.Close(); close(over) }()
	select {
	case <-over:
	case <-time.After(patience):
		t.Fatal("the group does not end")
	}
}

// TestRoomIsTold writes all that is left whenever the handler is called, and once:
// a write that took less than all is followed by a call when there is room.
func TestRoomIsTold(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	for name, pair := range map[string]func() (near, far net.Conn){
		"conn":    func() (net.Conn, net.Conn) { return tcpPair(t) },
		"secured": func() (net.Conn, net.Conn) { return securedPair(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t, 1)
			near, far := pair()
			left := make([]byte, size)
			adopt(t, g, near, handlerFunc(func(s Stream) {
				if len(left) == 0 {
					return
				}
				n, err := s.Write(left)
				if left = left[n:]; len(left) == 0 {
					s.Close()
				} else if err != nil && !errors.Is(err, ErrAgain) {
					t.Error(err)
				}
			}))
			_ = far.SetDeadline(time.Now().Add(patience))
			if n, err := io.Copy(io.Discard, far); n != size || err != nil {
				t.Fatalf("unexpected delivery: %d bytes, error %v", n, err)
			}
		})
	}
}
