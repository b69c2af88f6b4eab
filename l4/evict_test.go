package l4_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/backend"
	"sluice/pkg/listen"
)

// greeted returns a connection that a backend has greeted.
func (f *fixture) greeted() (net.Conn, string) {
	c := f.dial()
	return c, line(f.t, bufio.NewReader(c))
}

// ended reports whether c is at its end, after what there is to read.
func ended(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := io.Copy(io.Discard, c)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// TestDrainedBackend takes a backend away and puts another one into
// maintenance: their connections go on for a while and are closed then, all
// but those of one that came back.
func TestDrainedBackend(t *testing.T) { eachDriver(t, testDrainedBackend) }

func testDrainedBackend(t *testing.T) {
	a, b, c, d := serveGreeting(t, "a", 0), serveGreeting(t, "b", 0), serveGreeting(t, "c", 0), serveGreeting(t, "d", 0)
	balancer := balancerOf(t, "db", a, b, c, d)
	f := start(t, listen.Config{}, l4.Config{Routes: []l4.Route{{Service: l4.Service{Balancer: balancer, DrainTimeout: 300 * time.Millisecond}}}})
	conns := make(map[string][]net.Conn)
	for range 40 {
		nc, name := f.greeted()
		conns[name] = append(conns[name], nc)
	}
	target := func(addr string, status backend.Status) backend.Target {
		return backend.Target{ID: addr, Address: addr, Weight: 1, Status: status}
	}
	// a leaves, b is in maintenance, c leaves and comes back.
	f.pool.Set([]backend.Target{target(b, backend.Maintenance), target(d, backend.Passing)})
	open := f.ln.Open()
	f.pool.Set([]backend.Target{target(b, backend.Maintenance), target(c, backend.Passing), target(d, backend.Passing)})
	if open != 40 {
		t.Fatalf("unexpected connections open at once; got %d; want all 40", open)
	}
	leaving := len(conns["a"]) + len(conns["b"]) // a connect that takes long changes the order
	waitFor(t, func() bool { return f.ln.Open() == 40-leaving })
	for name, cs := range conns {
		for _, nc := range cs {
			if left := name == "a" || name == "b"; ended(nc) != left {
				t.Fatalf("unexpected connection to %s; ended: %v", name, !left)
			}
		}
	}
	for _, cs := range conns {
		for _, nc := range cs {
			nc.Close()
		}
	}
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.BackendDrained: leaving, l4.ClientEOF: 40 - leaving})
}

// TestCloseOnUnhealthy closes the connections to a backend that fails its
// checks, if that is asked for.
func TestCloseOnUnhealthy(t *testing.T) { eachDriver(t, testCloseOnUnhealthy) }

func testCloseOnUnhealthy(t *testing.T) {
	for _, asked := range []bool{false, true} {
		balancer := balancerOf(t, "db", serveGreeting(t, "a", 0), serveGreeting(t, "b", 0))
		f := start(t, listen.Config{}, l4.Config{Routes: []l4.Route{{Service: l4.Service{Balancer: balancer, CloseOnUnhealthy: asked}}}})
		conns, again := make(map[string]net.Conn), 0
		for len(conns) < 2 {
			nc, name := f.greeted()
			if conns[name] != nil { // a connect that failed has changed the order
				again++
				conns[name].Close()
				waitFor(t, func() bool { return f.ln.Open() == 1 })
			}
			conns[name] = nc
		}
		for _, x := range f.pool.Snapshot().All {
			x.SetCondition(backend.Condition{State: backend.Up})
		}
		f.pool.Snapshot().All[0].SetCondition(backend.Condition{State: backend.Down})
		if asked {
			waitFor(t, func() bool { return f.ln.Open() == 1 })
		}
		if n := f.ln.Open(); !asked && n != 2 {
			t.Fatalf("unexpected connections open: %d", n)
		}
		for _, nc := range conns {
			nc.Close()
		}
		f.shutdown()
		want := map[l4.Reason]int{l4.ClientEOF: 2 + again}
		if asked {
			want = map[l4.Reason]int{l4.ClientEOF: 1 + again, l4.BackendUnhealthy: 1}
		}
		f.wantEnds(want)
	}
}

// TestCloseOnWithdrawal closes the connections to a backend that has left by an
// explicit word, if that is asked for, and not those to one that just left.
func TestCloseOnWithdrawal(t *testing.T) { eachDriver(t, testCloseOnWithdrawal) }

func testCloseOnWithdrawal(t *testing.T) {
	balancer := balancerOf(t, "db", serveGreeting(t, "a", 0))
	f := start(t, listen.Config{}, l4.Config{Routes: []l4.Route{{Service: l4.Service{Balancer: balancer, CloseOnUnhealthy: true}}}})
	nc, _ := f.greeted()
	defer nc.Close()
	member := f.pool.Snapshot().All[0].Target()
	f.pool.Set(nil)
	f.pool.Set([]backend.Target{member})
	if n := f.ln.Open(); n != 1 {
		t.Fatalf("unexpected connections open after it had left; got %d; want 1", n)
	}
	f.pool.Withdraw([]string{member.Address})
	f.pool.Set(nil)
	waitFor(t, func() bool { return f.ln.Open() == 0 })
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.BackendUnhealthy: 1})
}
