package l7

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"sluice/pkg/backend"
)

// newUpstreams returns the upstreams of a pool with one backend, and a
// function that returns the backend's side of the next connection.
func newUpstreams(t *testing.T) (*upstreams, *backend.Backend, func() net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	u := &upstreams{readers: &sync.Pool{New: func() any { return bufio.NewReader(nil) }}}
	pool := backend.NewPool("web")
	pool.Set([]backend.Target{{ID: "a", Address: ln.Addr().String(), Weight: 1}})
	pool.OnChange(u.follow)
	t.Cleanup(u.close)
	return u, pool.Snapshot().All[0], func() net.Conn {
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		return c
	}
}

func dialUp(t *testing.T, u *upstreams, b *backend.Backend) *upstream {
	t.Helper()
	up, err := u.dial(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	return up
}

func TestIdlePoolIsLastInFirstOut(t *testing.T) {
	t.Parallel()
	u, b, _ := newUpstreams(t)
	first, second := dialUp(t, u, b), dialUp(t, u, b)
	u.put(b, first, true)
	u.put(b, second, true)
	for _, want := range []*upstream{second, first, nil} {
		if got := u.take(b); got != want {
			t.Errorf("unexpected connection; got %p; want %p", got, want)
		}
	}
}

func TestIdlePoolSweep(t *testing.T) {
	t.Parallel()
	u, b, accept := newUpstreams(t)
	old, young := dialUp(t, u, b), dialUp(t, u, b)
	server := accept()
	u.put(b, old, true)
	u.put(b, young, true)
	p := (*u.pools.Load())[b]
	p.mu.Lock()
	old.idleSince = old.idleSince.Add(-idleTime)
	p.mu.Unlock()
	p.sweep()
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("unexpected end of a connection idle for too long; got %v; want EOF", err)
	}
	if got := u.take(b); got != young {
		t.Errorf("unexpected connection left; got %p; want %p", got, young)
	}
}

func TestIdlePoolIsBounded(t *testing.T) {
	t.Parallel()
	p := &idlePool{}
	for range maxIdle {
		if !p.push(&upstream{}) {
			t.Fatal("a connection was refused below the bound")
		}
	}
	if p.push(&upstream{}) {
		t.Error("a connection was kept above the bound")
	}
	p.timer.Stop()
}

func TestDeadUpstreamsAreNotTaken(t *testing.T) {
	t.Parallel()
	f := func(spoil func(server net.Conn)) {
		t.Helper()
		u, b, accept := newUpstreams(t)
		up := dialUp(t, u, b)
		server := accept()
		u.put(b, up, true)
		if !up.alive() {
			t.Fatal("a quiet connection is taken for dead")
		}
		spoil(server)
		for range 1000 { // until it has arrived
			if !up.alive() {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if u.take(b) != nil {
			t.Error("a dead connection was taken")
		}
	}
	f(func(c net.Conn) { c.Close() })
	f(func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); c.Close() })
}

func TestPutAfterRemoval(t *testing.T) {
	t.Parallel()
	u, b, accept := newUpstreams(t)
	up := dialUp(t, u, b)
	server := accept()
	u.follow(&backend.Snapshot{})
	u.put(b, up, true)
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("unexpected end of a connection to a backend that is gone; got %v; want EOF", err)
	}
}
