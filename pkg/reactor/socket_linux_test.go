//go:build linux && !portable

package reactor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// onFD calls f with the descriptor of c.
func onFD(t *testing.T, c net.Conn, f func(fd int) error) {
	t.Helper()
	rc, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := rc.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
}

// TestConnectsToItself connects to a port on which nobody listens until the
// kernel, which goes through its range, has chosen that port for the socket
// itself: that is a refused connect like the others.
func TestConnectsToItself(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	l := g.Loops()[0]
	first := firstLocalPort()
	if first == 0 {
		t.Fatal("the kernel does not say which ports it chooses")
	}
	// Of its range the kernel tries all that are even with the first before the others.
	dead := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), first+100)
	for ; ; dead = netip.AddrPortFrom(dead.Addr(), dead.Port()+2) {
		ln, err := net.Listen("tcp", dead.String())
		if err == nil {
			ln.Close()
			break
		}
		if dead.Port() > 65000 {
			t.Fatalf("cannot find a port without a listener: %v", err)
		}
	}
	for range 30 { // of turns; the default range has 14,116 such ports
		done := make(chan error, 1)
		l.Post(func() {
			for range 1000 {
				s, err := l.Connect(dead)
				if err != nil {
					continue // refused at once
				}
				if s.LocalAddr() == dead {
					done <- errors.New("a socket is connected to itself")
					s.Close()
					return
				}
				s.Close()
			}
			done <- nil
		})
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the loop does not come to an end")
		}
	}
	wantStreams(t, g, 0)
}

// TestUrgent sends urgent data among other data, all before the loop looks: by
// reads and by splice, all that is not urgent arrives.
func TestUrgent(t *testing.T) {
	t.Parallel()
	for _, splice := range []bool{false, true} {
		g := newGroup(t, 1)
		l := g.Loops()[0]
		accepted, got := make(chan struct{}), make(chan []byte, 1)
		in, out := make(chan struct{}), make(chan struct{})
		addr := listen(t, g, func(l *Loop, s *Socket, _ netip.AddrPort) {
			var all []byte
			s.Handle(handlerFunc(func(Stream) {
				for s.Readable() {
					var n int
					var err error
					if splice {
						n, err = fillAndRead(l, s)
					}
					if !splice || errors.Is(err, syscall.EINVAL) {
						n, err = s.Read(l.Scratch())
					}
					switch {
					case errors.Is(err, ErrAgain):
					case err != nil:
						t.Errorf("unexpected end: %v", err)
						s.Close()
						return
					}
					all = append(all, l.Scratch()[:n]...)
				}
				if bytes.HasSuffix(all, []byte("!")) {
					got <- all
					s.Close()
				}
			}))
			close(accepted)
		})
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		wait(t, accepted, "the connection is accepted")
		l.Post(func() { close(in); <-out })
		<-in
		for _, s := range []string{"abc", "efg", "hij!"} {
			onFD(t, c, func(fd int) error {
				if err := unix.Sendto(fd, []byte(s), 0, nil); err != nil || s == "hij!" {
					return err
				}
				return unix.Sendto(fd, []byte("U"), unix.MSG_OOB, nil)
			})
		}
		close(out)
		var all []byte
		select {
		case all = <-got:
		case <-time.After(patience):
			t.Fatalf("no end of the data (splice %v)", splice)
		}
		if all := string(all); all != "abcUefghij!" && all != "abcefghij!" { // only the last urgent byte is one (RFC 6093)
			t.Fatalf("unexpected data (splice %v); got %q", splice, all)
		}
	}
}

// fillAndRead reads by way of a pipe into the loop's scratch.
func fillAndRead(l *Loop, s *Socket) (int, error) {
	p, err := l.BorrowPipe()
	if err != nil {
		return 0, err
	}
	defer l.ReturnPipe(p)
	n, err := s.Fill(p, len(l.Scratch()))
	if n > 0 {
		n, err = unix.Read(p.r, l.Scratch()[:n])
		p.held -= n
	}
	return n, err
}

// TestBroken resets connections of which nobody reads, and ends others in
// order: only the former are broken, and what came before can still be read.
func TestBroken(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	for _, reset := range []bool{true, false} {
		news := make(chan *Socket, 1)
		told := make(chan struct{}, 100)
		addr := listen(t, g, func(_ *Loop, s *Socket, _ netip.AddrPort) {
			s.Handle(handlerFunc(func(Stream) { told <- struct{}{} }))
			news <- s
		})
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("last words"))
		s := <-news
		look := func() (broken, ending bool) {
			done := make(chan struct{})
			s.Loop().Post(func() { broken, ending = s.Broken(), s.ending; close(done) })
			wait(t, done, "a look")
			return broken, ending
		}
		if broken, _ := look(); broken {
			t.Fatal("unexpected break")
		}
		if reset {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
		for {
			wait(t, told, "an event")
			if broken, ending := look(); broken != (reset && ending) {
				t.Fatalf("unexpected state; broken %v; reset %v", broken, reset)
			} else if ending {
				break
			}
		}
		end := make(chan error, 1)
		s.Loop().Post(func() {
			n, err := s.Read(s.Loop().Scratch())
			if string(s.Loop().Scratch()[:n]) != "last words" || err != nil {
				t.Errorf("unexpected last words: %q, %v", s.Loop().Scratch()[:n], err)
			}
			_, err = s.Read(s.Loop().Scratch())
			s.Close()
			end <- err
		})
		want := io.EOF
		if reset {
			want = syscall.ECONNRESET
		}
		if err := <-end; !errors.Is(err, want) {
			t.Fatalf("unexpected end; got %v; want %v", err, want)
		}
	}
}
