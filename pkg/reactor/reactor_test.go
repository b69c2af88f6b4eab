//go:build linux && !portable

package reactor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// listen makes g accept connections to a new address.
func listen(t *testing.T, g *Group, accept func(*Loop, *Socket, netip.AddrPort)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	rc, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	if err := rc.Control(func(f uintptr) { fd, err = syscall.Dup(int(f)) }); err != nil {
		t.Fatal(err)
	}
	stop, err := g.Listen(fd, Accepting{
		Accept: func(l *Loop, fd int, peer netip.AddrPort) {
			s, err := l.Adopt(fd)
			if err != nil {
				t.Error(err)
				return
			}
			accept(l, s, peer)
		},
		Failed: func(err error) time.Duration { t.Error(err); return time.Second },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); syscall.Close(fd) })
	return ln.Addr().String()
}

func TestEcho(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	addr := listen(t, g, func(_ *Loop, s *Socket, _ netip.AddrPort) { s.Handle(&echo{share: 1 << 20}) })
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			sent := bytes.Repeat([]byte{byte(i)}, i*100_000)
			go func() {
				_, _ = c.Write(sent)
				_ = c.(*net.TCPConn).CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("unexpected echo; got %d bytes, %v; want %d", len(got), err, len(sent))
			}
		})
	}
	wg.Wait()
	wantStreams(t, g, 0)
}

// TestPanicEndsItsStreamOnly makes one handler panic among others in the same
// loop.
func TestPanicEndsItsStreamOnly(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	var n atomic.Int32
	addr := listen(t, g, func(_ *Loop, s *Socket, _ netip.AddrPort) {
		if n.Add(1)%2 == 1 {
			s.Handle(&echo{})
			return
		}
		s.Handle(handlerFunc(func(s Stream) {
			if s.Readable() {
				panic("test")
			}
		}))
	})
	var conns []net.Conn
	for range 10 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	for _, c := range conns {
		_, _ = c.Write([]byte("x"))
	}
	survivors := 0
	for _, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			survivors++
		} else if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("unexpected end: %v", err)
		}
	}
	if survivors != 5 {
		t.Fatalf("unexpected survivors; got %d; want 5", survivors)
	}
}

func TestConnect(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	addr := listen(t, g, func(_ *Loop, s *Socket, _ netip.AddrPort) { s.Handle(&echo{}) })
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	f := func(addr string, want error) {
		t.Helper()
		outcome := make(chan error, 1)
		l := g.Loops()[0]
		l.Post(func() {
			s, err := l.Connect(netip.MustParseAddrPort(addr))
			if err != nil {
				outcome <- err
				return
			}
			s.Handle(handlerFunc(func(Stream) {
				if err := s.Connected(); !errors.Is(err, ErrAgain) {
					outcome <- err
					s.Close()
				}
			}))
		})
		select {
		case err := <-outcome:
			if !errors.Is(err, want) {
				t.Fatalf("unexpected outcome of a connect; got %v; want %v", err, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no outcome of a connect")
		}
	}
	f(addr, nil)
	f(dead.Addr().String(), syscall.ECONNREFUSED)
	wantStreams(t, g, 0)
}

func TestPostAndTimers(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	const n = 1000
	done := make(chan struct{}, 4*n)
	for i := range 4 {
		go func() {
			l := g.Loops()[i%2]
			for range n {
				l.Post(func() {
					var timer Timer
					l.After(&timer, time.Millisecond, AlarmFunc(func() { done <- struct{}{} }))
				})
			}
		}()
	}
	for range 4 * n {
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("a timer or a posted function is lost")
		}
	}
	g.Close()
	if g.Loops()[0].Post(func() {}) {
		t.Fatal("unexpected success of Post after Close")
	}
	g.Close()
}

// TestIdleLoopRests checks that a loop without work makes hardly any turns.
func TestIdleLoopRests(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	l := g.Loops()[0]
	var timer Timer
	armed := make(chan struct{})
	l.Post(func() { l.After(&timer, time.Hour, AlarmFunc(func() {})); close(armed) })
	<-armed
	time.Sleep(20 * time.Millisecond)
	before := l.turns.Load()
	time.Sleep(300 * time.Millisecond)
	if n := l.turns.Load() - before; n > 10 {
		t.Fatalf("unexpected turns of an idle loop in 0.3 s: %d", n)
	}
}
