//go:build !portable

package reactor

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// relayReady is a handler that says that it was called.
type relayReady chan Stream

func (r relayReady) Ready(s Stream) {
	select {
	case r <- s:
	default:
	}
}

// connected returns a socket in l and its peer.
func connected(t *testing.T, l *Loop) (*Socket, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ready, made := make(relayReady, 1), make(chan *Socket, 1)
	l.Post(func() {
		s, err := l.Connect(netip.MustParseAddrPort(ln.Addr().String()))
		if err != nil {
			t.Error(err)
			close(made)
			return
		}
		s.Handle(ready)
		made <- s
	})
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	_ = peer.SetDeadline(time.Now().Add(30 * time.Second))
	<-ready
	return <-made, peer.(*net.TCPConn)
}

// in runs f in l.
func in(l *Loop, f func()) {
	done := make(chan struct{})
	l.Post(func() { defer close(done); f() })
	<-done
}

// TestMove moves a connection from one loop to another, where it goes on.
func TestMove(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	from, to := g.Loops()[0], g.Loops()[1]
	s, peer := connected(t, from)
	moved := make(chan *Socket, 1)
	in(from, func() {
		if !s.Move(to, func(s *Socket, err error) {
			if err != nil {
				t.Error(err)
			}
			s.Handle(&echo{share: 1 << 20})
			moved <- s
		}) {
			t.Error("the socket was not moved")
			close(moved)
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("unexpected error of a write to what was moved; got %v", err)
		}
		s.Close()
		if s.Move(to, nil) {
			t.Error("the socket was moved twice")
		}
	})
	if s := <-moved; s == nil || s.Loop() != to {
		t.Fatalf("unexpected socket after the move: %+v", s)
	}
	wantStreams(t, g, 1)
	if from.Streams() != 0 {
		t.Errorf("unexpected number of streams left behind; got %d", from.Streams())
	}
	if _, err := peer.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	if n, err := peer.Read(buf); string(buf[:n]) != "hello" || err != nil {
		t.Errorf("unexpected echo; got %q, %v", buf[:n], err)
	}
	peer.Close()
	wantStreams(t, g, 0)
}

// TestUnacked writes to a peer that is there, and to one that had closed: what
// it never received stays unacknowledged.
func TestUnacked(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	l := g.Loops()[0]
	s, peer := connected(t, l)
	in(l, func() { _, _ = s.Write([]byte("hello")) })
	buf := make([]byte, 5)
	_, _ = peer.Read(buf)
	for end, n := time.Now().Add(30*time.Second), -1; n != 0; time.Sleep(time.Millisecond) {
		if in(l, func() { n = s.Unacked() }); time.Now().After(end) {
			t.Fatalf("unexpected number of bytes unacknowledged that were read; got %d", n)
		}
	}
	peer.Close()
	for end, over := time.Now().Add(30*time.Second), false; !over; time.Sleep(time.Millisecond) {
		if in(l, func() { over = s.ending }); time.Now().After(end) {
			t.Fatal("the peer's end never came")
		}
	}
	in(l, func() {
		if _, err := s.Write([]byte("too late")); err != nil {
			t.Errorf("unexpected error of a write: %v", err)
		}
	})
	in(l, func() {
		if n := s.Unacked(); n != len("too late") {
			t.Errorf("unexpected number of bytes unacknowledged that came too late; got %d", n)
		}
		_, err := s.Read(make([]byte, 1))
		if err == nil || errors.Is(err, ErrAgain) {
			t.Errorf("unexpected result of a read: %v", err)
		}
		s.Close()
	})
	in(l, func() {
		if n := s.Unacked(); n != -1 {
			t.Errorf("unexpected number for a socket that is closed; got %d", n)
		}
	})
}
