package l4_test

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/backend"
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
	f := start(t, listen.Config{}, l4.Config{Routes: []l4.Route{{Service: l4.Service{Balancer: balancer, QueueTimeout: time.Minute}}}, HedgeAfter: -1})
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
	f.wantEnds(map[l4.Reason]int{l4.ClientEOF: clients})
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
	f := start(t, listen.Config{}, l4.Config{Routes: []l4.Route{{Service: l4.Service{Balancer: balancer, QueueTimeout: 2 * time.Second}}}})
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
	waitFor(t, func() bool { return f.ln.Open() == 0 })
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.ClientEOF: 2, l4.Limit: 2})
}

// TestQueueOfThoseWhoLeft has clients go away while they wait: by a reset, with
// and without having sent something, and by an end before they sent anything.
// Their place is free at once, and one that has sent all it had keeps its own.
func TestQueueOfThoseWhoLeft(t *testing.T) { eachDriver(t, testQueueOfThoseWhoLeft) }

func testQueueOfThoseWhoLeft(t *testing.T) {
	balancer := balancerOf(t, "db", serveTCP(t, func(c *net.TCPConn) {
		_, _ = c.Write([]byte("a\n"))
		_, _ = io.Copy(c, c)
	}))
	pool := balancer.Pool()
	pool.Limit(1, 1)
	f := start(t, listen.Config{}, l4.Config{Routes: []l4.Route{{Service: l4.Service{Balancer: balancer, QueueTimeout: time.Minute}}}})
	first := f.dial()
	line(t, bufio.NewReader(first)) // it has the slot
	for _, leave := range []func(c *net.TCPConn){
		func(c *net.TCPConn) { c.SetLinger(0) },
		func(c *net.TCPConn) {},
		func(c *net.TCPConn) { _, _ = c.Write([]byte("hello")); c.SetLinger(0) },
	} {
		c := f.dial()
		waitFor(t, func() bool { return pool.Waiting() == 1 })
		leave(c)
		c.Close()
		waitFor(t, func() bool { return pool.Waiting() == 0 })
	}
	last := f.dial()
	_, _ = last.Write([]byte("hello\n"))
	last.CloseWrite()
	waitFor(t, func() bool { return pool.Waiting() == 1 })
	first.Close()
	r := bufio.NewReader(last)
	if got := line(t, r) + " " + line(t, r); got != "a hello" {
		t.Fatalf("unexpected bytes %q", got)
	}
}

// TestQueueIsServedInOrder has clients come one after the other while a backend
// with one slot is taken, and a pool that changes all the time.
func TestQueueIsServedInOrder(t *testing.T) { eachDriver(t, testQueueIsServedInOrder) }

func testQueueIsServedInOrder(t *testing.T) {
	const clients = 20
	var mu sync.Mutex
	var got []byte
	balancer := balancerOf(t, "db", serveTCP(t, func(c *net.TCPConn) {
		b := make([]byte, 1)
		_, _ = io.ReadFull(c, b)
		mu.Lock()
		got = append(got, b...)
		mu.Unlock()
		_, _ = c.Write(b)
	}))
	pool := balancer.Pool()
	pool.Limit(1, clients)
	f := start(t, listen.Config{}, l4.Config{Routes: []l4.Route{{Service: l4.Service{Balancer: balancer, QueueTimeout: time.Minute}}}})
	var want []byte
	conns := make([]*net.TCPConn, clients)
	for i := range conns {
		conns[i] = f.dial()
		if i > 0 {
			waitFor(t, func() bool { return pool.Waiting() == i })
		} else {
			waitFor(t, func() bool { return pool.Snapshot().All[0].Active() == 1 })
		}
		want = append(want, byte('a'+i))
	}
	for _, i := range rand.Perm(clients) {
		_, _ = conns[i].Write(want[i : i+1])
		pool.SetPolicy(backend.Policy{}) // publishes
	}
	for _, c := range conns {
		_, _ = io.Copy(io.Discard, c)
		c.Close()
	}
	mu.Lock()
	defer mu.Unlock()
	if string(got) != string(want) {
		t.Fatalf("unexpected order; got %s; want %s", got, want)
	}
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
