package l4

import (
	"bufio"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/pkg/listen"
)

// TestMaxConns has 200 clients at two backends of which each takes three
// connections at once: none fails, and no backend ever has more.
func TestMaxConns(t *testing.T) { eachDriver(t, testMaxConns) }

func testMaxConns(t *testing.T) {
	const most, clients = 3, 200
	backendOf := func() string {
		var open atomic.Int64
		return serveTCP(t, func(c *net.TCPConn) {
			if n := open.Add(1); n > most {
				t.Errorf("unexpected connections at a backend; got %d; want %d at most", n, most)
			}
			defer open.Add(-1)
			_, _ = io.Copy(c, c)
		})
	}
	balancer := balancerOf(t, "db", backendOf(), backendOf())
	balancer.Pool().Limit(most, clients)
	// A backend notices a connection's end after sluice does.
	f := start(t, listen.Config{}, Config{Routes: []Route{{Service: Service{Balancer: balancer, QueueTimeout: time.Minute}}}, HedgeAfter: -1})
	var wg sync.WaitGroup
	for i := range clients {
		c := f.dial()
		wg.Go(func() {
			if err := exchange(c, 10_000, byte(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	f.shutdown()
	f.wantEnds(map[Reason]int{ClientEOF: clients})
	if n := balancer.Pool().Waiting(); n != 0 {
		t.Fatalf("unexpected rest in the queue: %d", n)
	}
}

// TestQueueEnds has a queue that is full, one that takes too long, and a client
// that is cut while it waits.
func TestQueueEnds(t *testing.T) { eachDriver(t, testQueueEnds) }

func testQueueEnds(t *testing.T) {
	balancer := balancerOf(t, "db", serveGreeting(t, "a", 0))
	balancer.Pool().Limit(1, 1)
	f := start(t, listen.Config{}, Config{Routes: []Route{{Service: Service{Balancer: balancer, QueueTimeout: 300 * time.Millisecond}}}})
	first := f.dial()
	line(t, bufio.NewReader(first)) // it has the slot
	waiting := f.dial()
	waitFor(t, func() bool { return balancer.Pool().Waiting() == 1 })
	f.wantRefusal()       // there is room for one
	wantReset(t, waiting) // it took too long
	next := f.dial()
	waitFor(t, func() bool { return balancer.Pool().Waiting() == 1 })
	first.Close()
	if got := line(t, bufio.NewReader(next)); got != "a" {
		t.Fatalf("unexpected greeting %q", got)
	}
	next.Close()
	waitFor(t, func() bool { return f.server.ln.Open() == 0 })
	f.shutdown()
	f.wantEnds(map[Reason]int{ClientEOF: 2, Limit: 2})
}

// waitFor waits until ok, at most for 20 s.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}
