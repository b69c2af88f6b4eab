//go:build linux

package copy

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"sluice/l4"
)

// fill writes to c until nothing is taken any more.
func fill(t *testing.T, c *net.TCPConn, piece int) {
	t.Helper()
	p := make([]byte, piece)
	for {
		_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := c.Write(p); err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				return
			}
			t.Fatal(err)
		}
	}
}

// TestResetWhileStuck resets a side while the other one takes nothing, with
// small pieces and with a bulk: the pair ends all the same.
func TestResetWhileStuck(t *testing.T) {
	t.Parallel()
	f := func(name string, fromClient bool, piece int, want l4.Reason) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, backend, result := start(t, relayConfig{Idle: time.Hour, FIN: time.Hour})
			src := backend
			if fromClient {
				src = client
			}
			fill(t, src, piece)
			_ = src.SetLinger(0)
			src.Close()
			if res := await(t, result); res.Reason != want {
				t.Fatalf("unexpected end; got %v; want %v", res.Reason, want)
			}
		})
	}
	f("client, small", true, 1<<10, l4.ClientReset)
	f("client, bulk", true, 1<<20, l4.ClientReset)
	f("backend, small", false, 1<<10, l4.BackendReset)
	f("backend, bulk", false, 1<<20, l4.BackendReset)
}

// TestResetAfterEnd resets a client that has ended its direction and waits.
func TestResetAfterEnd(t *testing.T) {
	t.Parallel()
	client, backend, result := start(t, relayConfig{Idle: time.Hour, FIN: time.Second})
	_, _ = client.Write([]byte("x"))
	_ = client.CloseWrite()
	_ = readAll(backend)
	_ = client.SetLinger(0)
	client.Close()
	if res := await(t, result); res.Reason != l4.ClientReset {
		t.Fatalf("unexpected end; got %v; want %v", res.Reason, l4.ClientReset)
	}
}

// readAll reads c to its end.
func readAll(c *net.TCPConn) (n int) {
	p := make([]byte, 1<<10)
	for {
		k, err := c.Read(p)
		if n += k; err != nil {
			return n
		}
	}
}

// TestIdleMeetsEnd has the idle time end at the moment at which a side ends its
// direction, again and again.
func TestIdleMeetsEnd(t *testing.T) {
	t.Parallel()
	_, c := pairOf(t)
	_, b := pairOf(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20_000 {
			p := &relay{}
			p.up = direction{relay: p, src: c, dst: b, eof: l4.ClientEOF}
			p.down = direction{relay: p, src: b, dst: c, eof: l4.BackendEOF}
			p.watch = newIdleWatch(p, time.Hour, time.Minute)
			p.watch.mu.Lock()
			p.watch.since = time.Now().Add(-2 * time.Hour)
			p.watch.mu.Unlock()
			var wg sync.WaitGroup
			wg.Go(p.watch.tick)
			wg.Go(func() { p.finish(l4.ClientEOF) })
			wg.Wait()
			p.watch.stop()
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("deadlock")
	}
}

// TestPauseIsNotIdle lets looks come late, as after a stop of the process: the
// time does not count.
func TestPauseIsNotIdle(t *testing.T) {
	t.Parallel()
	p := &relay{}
	w := newIdleWatch(p, time.Hour, 0)
	defer w.stop()
	now := w.looked
	f := func(after time.Duration, want bool) {
		t.Helper()
		now = now.Add(after)
		if got := w.over(now); got != want {
			t.Fatalf("unexpected look after %v; got %v; want %v", after, got, want)
		}
	}
	const every = time.Hour / ticksPerIdle
	f(every, false)
	f(every+10*time.Hour, false)
	f(every, false)
	f(every-time.Nanosecond, false)
	f(time.Nanosecond, true)
}
