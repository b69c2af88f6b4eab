//go:build !portable

package reactor

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestWatch watches a descriptor that is somebody else's, who goes on to use it.
func TestWatch(t *testing.T) {
	t.Parallel()
	for name, word := range map[string]string{"bytes": "hello", "end": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t, 1)
			l := g.Loops()[0]
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			peer, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			own, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer own.Close()
			_ = own.SetDeadline(time.Now().Add(30 * time.Second))
			rc, err := own.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			released := make(chan bool, 2)
			in(l, func() {
				_ = rc.Control(func(fd uintptr) {
					s, err := l.Watch(int(fd))
					if err != nil {
						t.Error(err)
						return
					}
					s.Handle(handlerFunc(func(s Stream) {
						readable := s.Readable()
						s.(*Socket).Release()
						s.(*Socket).Release() // counts once
						released <- readable
					}))
				})
			})
			select {
			case <-released:
				t.Fatal("the handler was told of a socket without news")
			case <-time.After(20 * time.Millisecond):
			}
			if word == "" {
				_ = peer.(*net.TCPConn).CloseWrite()
			} else if _, err := io.WriteString(peer, word); err != nil {
				t.Fatal(err)
			}
			select {
			case readable := <-released:
				if !readable {
					t.Fatal("unexpected news: nothing to read")
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the handler was not told")
			}
			wantStreams(t, g, 0)
			buf := make([]byte, 16)
			if n, err := own.Read(buf); string(buf[:n]) != word || (err == io.EOF) != (word == "") {
				t.Fatalf("unexpected bytes for the owner; got %q, %v; want %q", buf[:n], err, word)
			}
			if _, err := io.WriteString(own, "bye"); err != nil {
				t.Fatal(err)
			}
			_ = own.(*net.TCPConn).CloseWrite()
			_ = peer.SetDeadline(time.Now().Add(30 * time.Second))
			if got, err := io.ReadAll(peer); string(got) != "bye" || err != nil {
				t.Fatalf("unexpected bytes for the peer; got %q, %v", got, err)
			}
		})
	}
}

// TestWatchEndsWithItsLoop checks that a loop that ends leaves the descriptor to
// its owner.
func TestWatchEndsWithItsLoop(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	l := g.Loops()[0]
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	own, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	rc, err := own.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	in(l, func() {
		_ = rc.Control(func(fd uintptr) {
			if _, err := l.Watch(int(fd)); err != nil {
				t.Error(err)
			}
		})
	})
	g.Close()
	_ = own.SetDeadline(time.Now().Add(30 * time.Second))
	_ = peer.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(own, "still here"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	if n, err := peer.Read(buf); string(buf[:n]) != "still here" || err != nil {
		t.Fatalf("unexpected bytes; got %q, %v", buf[:n], err)
	}
}
