package l4

import (
	"bufio"
	"errors"
	"net"
	"runtime"
	"strconv"
	"testing"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/listen"
)

// stuff writes to c until nothing is taken any more.
func stuff(t *testing.T, c *net.TCPConn) {
	t.Helper()
	p := make([]byte, 64<<10)
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

// TestResetWhileStuck resets a side of which nobody reads, because the other
// takes nothing: the connection ends, and gives back what it holds, long before
// it would be idle.
func TestResetWhileStuck(t *testing.T) { eachDriver(t, testResetWhileStuck) }

func testResetWhileStuck(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it is not noticed here")
	}
	conns := make(chan *net.TCPConn, 2)
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	addr := serveTCP(t, func(c *net.TCPConn) { conns <- c; <-over })
	f := newFixture(t, nil, addr)
	for _, side := range []string{"client", "backend"} {
		client := f.dial()
		server := <-conns
		if side == "client" {
			stuff(t, client)
			_ = client.SetLinger(0)
			client.Close()
		} else {
			stuff(t, server)
			_ = server.SetLinger(0)
			server.Close()
		}
		waitFor(t, func() bool { return f.server.ln.Open() == 0 && f.pool.Snapshot().All[0].Active() == 0 })
	}
	f.shutdown()
	f.wantEnds(map[Reason]int{ClientReset: 1, BackendReset: 1})
}

// TestResetAfterEnd resets a client that has ended its direction and whose
// backend has not answered yet.
func TestResetAfterEnd(t *testing.T) {
	t.Parallel()
	t.Run("epoll", func(t *testing.T) {
		if !atOnce {
			t.Skip("it is not noticed here")
		}
		got, over := make(chan struct{}), make(chan struct{})
		t.Cleanup(func() { close(over) })
		f := newFixture(t, nil, serveTCP(t, func(c *net.TCPConn) {
			for {
				if _, err := c.Read(make([]byte, 10)); err != nil {
					break
				}
			}
			close(got)
			<-over
		}))
		client := f.dial()
		_, _ = client.Write([]byte("x"))
		_ = client.CloseWrite()
		<-got
		_ = client.SetLinger(0)
		client.Close()
		waitFor(t, func() bool { return f.server.ln.Open() == 0 })
		f.shutdown()
		f.wantEnds(map[Reason]int{ClientReset: 1})
	})
}

// TestPanicGivesBack panics where no handler of a stream runs: in what was
// posted about a session, and while a connection is accepted.
func TestPanicGivesBack(t *testing.T) {
	t.Parallel()
	t.Run("epoll", func(t *testing.T) {
		f := newFixture(t, nil, serveGreeting(t, "a", 0))
		c := f.dial()
		line(t, bufio.NewReader(c))
		for i := range f.server.lists {
			f.server.cfg.Loops.Loops()[i].Post(func() {
				for _, chain := range f.server.lists[i].led {
					x := chain.first
					x.post(func() { panic("test") })
				}
			})
		}
		waitFor(t, func() bool { return f.server.ln.Open() == 0 && f.pool.Snapshot().All[0].Active() == 0 })
		f.server.routes.other.Balancer = nil // so that to pick a backend panics
		for _, l := range f.server.cfg.Loops.Loops() {
			done := make(chan struct{})
			l.Post(func() { close(done) })
			<-done
		}
		if broken, err := net.Dial("tcp", f.addr); err == nil { // it may be reset before that returns
			defer broken.Close()
			_ = broken.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := broken.Read(make([]byte, 1)); err == nil {
				t.Fatal("unexpected answer of what panicked")
			}
		}
		waitFor(t, func() bool {
			return f.server.ln.Open() == 0 && f.metric("sluice_l4_connections_total", "internal_error") == "2"
		})
		f.wantEnds(map[Reason]int{InternalError: 2})
	})
}

// TestEvictMany takes out a backend with more connections than one turn ends,
// and none of another backend's.
func TestEvictMany(t *testing.T) { eachDriver(t, testEvictMany) }

func testEvictMany(t *testing.T) {
	balancer := balancerOf(t, "db", serveGreeting(t, "a", 0), serveGreeting(t, "b", 0))
	f := start(t, listen.Config{}, Config{Routes: []Route{{Service: Service{Balancer: balancer, CloseOnUnhealthy: true}}}})
	const n = 4 * evictsPerTurn
	for range n {
		f.greeted()
	}
	all := f.pool.Snapshot().All
	if all[0].Active() < evictsPerTurn+1 {
		t.Fatalf("unexpected connections of one backend: %d", all[0].Active())
	}
	left := int(all[1].Active())
	all[0].SetCondition(backend.Condition{State: backend.Down})
	waitFor(t, func() bool { return all[0].Active() == 0 && f.server.ln.Open() == left })
	f.stop()
	waitFor(t, func() bool { return f.metric("sluice_l4_connections_total", "draining") == strconv.Itoa(left) })
	f.wantEnds(map[Reason]int{BackendUnhealthy: n - left, Draining: left})
}
