package l4_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/backend"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
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
		waitFor(t, func() bool { return f.ln.Open() == 0 && f.pool.Snapshot().All[0].Active() == 0 })
	}
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.ClientReset: 1, l4.BackendReset: 1})
}

// TestResetAfterEnd resets a client that has ended its direction and whose
// backend has not answered yet.
func TestResetAfterEnd(t *testing.T) { eachDriver(t, testResetAfterEnd) }

func testResetAfterEnd(t *testing.T) {
	if runtime.GOOS != "linux" || usesLoops(t) && !reactor.HasSockets {
		t.Skip("nobody reads any more, so that only a socket of the loops', or the copy driver's look at the kernel's, notices")
	}
	got, over := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(over) })
	f := newFixture(t, func(c *l4.Config) {
		if !usesLoops(t) {
			c.FINTimeout = 2 * time.Second // it looks four times in that
		}
	}, serveTCP(t, func(c *net.TCPConn) {
		_, _ = io.Copy(io.Discard, c)
		close(got)
		<-over
	}))
	client := f.dial()
	_, _ = client.Write([]byte("x"))
	_ = client.CloseWrite()
	<-got
	_ = client.SetLinger(0)
	client.Close()
	waitFor(t, func() bool { return f.ln.Open() == 0 })
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.ClientReset: 1})
}

// TestEvictMany takes out a backend with more connections than one turn ends,
// and none of another backend's.
func TestEvictMany(t *testing.T) { eachDriver(t, testEvictMany) }

func testEvictMany(t *testing.T) {
	balancer := balancerOf(t, "db", serveGreeting(t, "a", 0), serveGreeting(t, "b", 0))
	f := start(t, listen.Config{}, l4.Config{Routes: []l4.Route{{Service: l4.Service{Balancer: balancer, CloseOnUnhealthy: true}}}})
	const perTurn = 128 // of the epoll driver
	const n = 4 * perTurn
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range n / 8 {
				c, err := net.Dial("tcp", f.addr)
				if err == nil {
					t.Cleanup(func() { c.Close() })
					_, err = bufio.NewReader(c).ReadString('\n')
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	all := f.pool.Snapshot().All
	if all[0].Active() < perTurn+1 {
		t.Fatalf("unexpected connections of one backend: %d", all[0].Active())
	}
	left := int(all[1].Active())
	all[0].SetCondition(backend.Condition{State: backend.Down})
	waitFor(t, func() bool { return all[0].Active() == 0 && f.ln.Open() == left })
	f.stop()
	waitFor(t, func() bool { return f.metric("sluice_l4_connections_total", "draining") == strconv.Itoa(left) })
	f.wantEnds(map[l4.Reason]int{l4.BackendUnhealthy: n - left, l4.Draining: left})
}
