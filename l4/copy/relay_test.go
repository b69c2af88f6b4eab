package copy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/tcp"
)

// pairOf returns both ends of a real TCP connection, closed with the test.
func pairOf(t *testing.T) (outer, inner *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			accepted <- c
		}
		close(accepted)
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, ok := <-accepted
	if !ok {
		t.Fatal("cannot accept")
	}
	t.Cleanup(func() { c.Close(); a.Close() })
	return c.(*net.TCPConn), a.(*net.TCPConn)
}

// start relays between two new connections and returns their outer ends. The
// relayed ends are closed when it has ended, as its contract asks.
func start(t *testing.T, cfg relayConfig) (client, backend *net.TCPConn, ended <-chan passed) {
	t.Helper()
	client, inner := pairOf(t)
	backend, outer := pairOf(t)
	done := make(chan passed, 1)
	go func() {
		res := newRelay(inner, outer, cfg).run()
		switch res.Reason {
		case l4.ClientReset:
			tcp.Break(outer)
		case l4.BackendReset:
			tcp.Break(inner)
		}
		inner.Close()
		outer.Close()
		done <- res
	}()
	return client, backend, done
}

func await(t *testing.T, ended <-chan passed) passed {
	t.Helper()
	select {
	case r := <-ended:
		return r
	case <-time.After(30 * time.Second):
		t.Fatal("the relay does not end")
		panic("unreachable")
	}
}

// send writes n pseudo-random bytes, half-closes, and returns their hash.
func send(t *testing.T, c *net.TCPConn, n int, seed uint64) []byte {
	t.Helper()
	h := sha256.New()
	src := rand.NewChaCha8([32]byte{byte(seed)})
	if _, err := io.CopyN(io.MultiWriter(c, h), src, int64(n)); err != nil {
		t.Errorf("cannot send: %v", err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Errorf("cannot half-close: %v", err)
	}
	return h.Sum(nil)
}

func receive(t *testing.T, c *net.TCPConn) (n int, hash []byte) {
	t.Helper()
	h := sha256.New()
	m, err := io.Copy(h, c)
	if err != nil {
		t.Errorf("cannot receive: %v", err)
	}
	return int(m), h.Sum(nil)
}

// TestBothWays sends different amounts both ways at once; each side
// half-closes when it has sent all, and both arrive byte for byte.
func TestBothWays(t *testing.T) {
	t.Parallel()
	f := func(up, down int) {
		t.Helper()
		var in, out atomic.Int64
		client, backend, result := start(t, relayConfig{Idle: time.Minute, Progress: func(i, o int64) { in.Add(i); out.Add(o) }})
		var sentUp, sentDown, gotUp, gotDown []byte
		var nUp, nDown int
		var wg sync.WaitGroup
		wg.Go(func() { sentUp = send(t, client, up, 1) })
		wg.Go(func() { sentDown = send(t, backend, down, 2) })
		wg.Go(func() { nDown, gotDown = receive(t, client) })
		wg.Go(func() { nUp, gotUp = receive(t, backend) })
		wg.Wait()
		if nUp != up || nDown != down || !bytes.Equal(sentUp, gotUp) || !bytes.Equal(sentDown, gotDown) {
			t.Fatalf("unexpected bytes; got %d up, %d down; want %d, %d with equal hashes", nUp, nDown, up, down)
		}
		r := await(t, result)
		if r.In != int64(up) || r.Out != int64(down) || in.Load() != r.In || out.Load() != r.Out {
			t.Fatalf("unexpected counts; got %+v, progress %d, %d; want %d, %d", r, in.Load(), out.Load(), up, down)
		}
		if r.Reason != l4.ClientEOF && r.Reason != l4.BackendEOF {
			t.Fatalf("unexpected end: %v", r.Reason)
		}
	}
	f(0, 0)
	f(1, 0)
	f(0, 1)
	f(64<<10, 64<<10)
	f(bufferSize, bufferSize)
	f(bufferSize+stretch, bufferSize+stretch) // EOF falls on the end of a stretch
	f(bufferSize+stretch+1, 3*stretch-1)
	f(20<<20, 5<<20)
}

// TestHalfClose checks that the other direction lives on after one has ended,
// from either side.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	f := func(clientFirst bool, want l4.Reason) {
		t.Helper()
		first, second, result := start(t, relayConfig{})
		if !clientFirst {
			first, second = second, first
		}
		if err := first.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if n, _ := receive(t, second); n != 0 {
			t.Fatalf("unexpected bytes before the end: %d", n)
		}
		for range 3 { // still open the other way, back and forth in time
			if _, err := second.Write([]byte("late")); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 4)
			if _, err := io.ReadFull(first, buf); err != nil || string(buf) != "late" {
				t.Fatalf("unexpected answer after a half-close: %q, %v", buf, err)
			}
		}
		second.Close()
		if n, _ := receive(t, first); n != 0 {
			t.Fatalf("unexpected bytes at the end: %d", n)
		}
		if r := await(t, result); r.Reason != want {
			t.Fatalf("unexpected end; got %v; want %v", r.Reason, want)
		}
	}
	f(true, l4.ClientEOF)
	f(false, l4.BackendEOF)
}

// TestReset checks that a reset of one side arrives at the other as a reset,
// whether that side is reading, or was sent more than it takes.
func TestReset(t *testing.T) {
	t.Parallel()
	f := func(byClient, blocked bool, want l4.Reason) {
		t.Helper()
		breaks, other, result := start(t, relayConfig{})
		if !byClient {
			breaks, other = other, breaks
		}
		if _, err := other.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(breaks, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if blocked { // fill every buffer between the two
			_ = other.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			for {
				if _, err := other.Write(make([]byte, 1<<20)); err != nil {
					break
				}
			}
		}
		if err := breaks.SetLinger(0); err != nil {
			t.Fatal(err)
		}
		breaks.Close()
		_ = other.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, other); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("unexpected end of the other side; got %v; want ECONNRESET", err)
		}
		if r := await(t, result); r.Reason != want {
			t.Fatalf("unexpected end; got %v; want %v", r.Reason, want)
		}
	}
	f(true, false, l4.ClientReset)
	f(false, false, l4.BackendReset)
	f(true, true, l4.ClientReset)
	f(false, true, l4.BackendReset)
}

func TestIdle(t *testing.T) {
	t.Parallel()
	const idle = 200 * time.Millisecond
	f := func(name string, prepare func(client, backend *net.TCPConn)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, backend, result := start(t, relayConfig{Idle: idle})
			begin := time.Now()
			prepare(client, backend)
			if r := await(t, result); r.Reason != l4.IdleTimeout {
				t.Fatalf("unexpected end; got %v; want %v", r.Reason, l4.IdleTimeout)
			}
			if d := time.Since(begin); d < idle {
				t.Fatalf("unexpected end after %v, before the idle time", d)
			}
		})
	}
	f("silent", func(client, backend *net.TCPConn) {})
	f("after_bytes", func(client, backend *net.TCPConn) {
		_, _ = client.Write([]byte("hello"))
		_, _ = io.ReadFull(backend, make([]byte, 5))
	})
	f("half_closed", func(client, backend *net.TCPConn) { _ = client.CloseWrite() })
	f("reader_stuck", func(client, backend *net.TCPConn) {
		go func() { _, _ = io.Copy(client, rand.NewChaCha8([32]byte{})) }() // nobody reads at the backend
	})
	f("reader_stuck_half_closed", func(client, backend *net.TCPConn) {
		_ = backend.CloseWrite()
		go func() { _, _ = io.Copy(client, rand.NewChaCha8([32]byte{})) }()
	})
}

// TestFIN checks that the FIN timeout holds only once a side has ended.
func TestFIN(t *testing.T) {
	t.Parallel()
	for _, idle := range []time.Duration{0, time.Hour} {
		client, backend, result := start(t, relayConfig{Idle: idle, FIN: 100 * time.Millisecond})
		select {
		case r := <-result:
			t.Fatalf("unexpected end before a half-close: %v", r.Reason)
		case <-time.After(300 * time.Millisecond):
		}
		_ = backend.CloseWrite()
		if n, _ := receive(t, client); n != 0 {
			t.Fatalf("unexpected bytes: %d", n)
		}
		if r := await(t, result); r.Reason != l4.IdleTimeout {
			t.Fatalf("unexpected end; got %v; want %v", r.Reason, l4.IdleTimeout)
		}
	}
}

// TestTrickleIsNotIdle sends single bytes, far fewer than a buffer, for several
// idle times; both ways each byte counts.
func TestTrickleIsNotIdle(t *testing.T) {
	t.Parallel()
	const idle = 400 * time.Millisecond
	f := func(up bool) {
		client, backend, result := start(t, relayConfig{Idle: idle})
		from, to := client, backend
		if !up {
			from, to = backend, client
		}
		const n = 40
		go func() {
			for range n {
				_, _ = from.Write([]byte("."))
				time.Sleep(idle / 10)
			}
			_ = from.CloseWrite()
			_ = to.CloseWrite()
		}()
		got, err := io.ReadAll(to)
		if err != nil || len(got) != n {
			t.Fatalf("unexpected trickle; got %d bytes, %v; want %d", len(got), err, n)
		}
		if r := await(t, result); r.Reason == l4.IdleTimeout {
			t.Fatal("unexpected idle timeout")
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { f(true) })
	wg.Go(func() { f(false) })
	wg.Wait()
}

func TestClosedFromElsewhere(t *testing.T) {
	t.Parallel()
	client, inner := pairOf(t)
	backend, outer := pairOf(t)
	result := make(chan passed, 1)
	go func() { result <- newRelay(inner, outer, relayConfig{}).run() }()
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(backend, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	inner.Close()
	if r := await(t, result); r.Reason != l4.Draining || r.In != 1 {
		t.Fatalf("unexpected result; got %+v; want closed with 1 byte in", r)
	}
}

// TestEndMeetsTimers has pairs end while their timers look, which must not touch
// them after that: the race detector tells.
func TestEndMeetsTimers(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 150 {
				client, backend, result := start(t, relayConfig{Idle: 4 * time.Millisecond, FIN: 2 * time.Millisecond})
				time.Sleep(3*time.Millisecond + time.Duration(i)*20*time.Microsecond)
				_ = client.CloseWrite()
				backend.Close()
				await(t, result)
				client.Close()
			}
		})
	}
	wg.Wait()
}

// TestBothEndAtOnce has both sides end at the same moment, again and again: that
// is no reset, though the kernel has closed a socket of ours by the time that
// its end is looked into.
func TestBothEndAtOnce(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 250 {
				client, backend, result := start(t, relayConfig{})
				go func() { _ = client.CloseWrite() }()
				_ = backend.CloseWrite()
				for _, c := range []*net.TCPConn{client, backend} {
					if n, err := c.Read(make([]byte, 1)); err != io.EOF {
						t.Errorf("unexpected end: %d, %v", n, err)
					}
				}
				if r := await(t, result); r.Reason != l4.ClientEOF && r.Reason != l4.BackendEOF {
					t.Errorf("unexpected reason: %v", r.Reason)
				}
				client.Close()
				backend.Close()
			}
		})
	}
	wg.Wait()
}
