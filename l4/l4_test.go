package l4_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/backend"
	"sluice/pkg/limit"
)

func TestSizes(t *testing.T) { eachDriver(t, testSizes) }

func testSizes(t *testing.T) {
	f := newFixture(t, nil, serveEcho(t))
	sizes := []int64{0, 1, 64 << 10, 1 << 20, 100 << 20}
	var total uint64
	for i, n := range sizes {
		c := f.dial()
		if err := exchange(c, n, byte(i)); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		total += uint64(n)
	}
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.ClientEOF: len(sizes)})
	c := &f.pool.Snapshot().All[0].Counters
	if c.BytesIn.Load() != total || c.BytesOut.Load() != total || f.counter("sluice_l4_bytes_total", `direction="in"`) != total || f.counter("sluice_l4_bytes_total", `direction="out"`) != total {
		t.Fatalf("unexpected byte counts; got %d in, %d out; want %d both", c.BytesIn.Load(), c.BytesOut.Load(), total)
	}
	if c.Connections.Load() != uint64(len(sizes)) {
		t.Fatalf("unexpected number of connections: %d", c.Connections.Load())
	}
}

func TestServerSpeaksFirst(t *testing.T) { eachDriver(t, testServerSpeaksFirst) }

func testServerSpeaksFirst(t *testing.T) {
	f := newFixture(t, nil, serveTCP(t, func(c *net.TCPConn) { _, _ = c.Write([]byte("220 ready\r\n")) }))
	got, err := io.ReadAll(f.dial())
	if err != nil || string(got) != "220 ready\r\n" {
		t.Fatalf("unexpected greeting: %q, %v", got, err)
	}
}

// TestManyAtOnce opens 3,000 connections before any ends, and serves all.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"copy", "epoll"} { // in turn: each takes 12,000 descriptors
		t.Run(driver, testManyAtOnce)
	}
}

func testManyAtOnce(t *testing.T) {
	const n = 3000
	before := runtime.NumGoroutine()
	f := newFixture(t, func(c *l4.Config) {
		c.HedgeAfter, c.ConnectTimeout, c.ConnectDeadline = -1, time.Minute, time.Minute
	}, serveEcho(t), serveEcho(t), serveEcho(t))
	conns := make([]*net.TCPConn, n)
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() {
			c, err := net.Dial("tcp", f.addr)
			if err != nil {
				t.Error(err)
				return
			}
			conns[i] = c.(*net.TCPConn)
		})
	}
	wg.Wait()
	for i, c := range conns {
		wg.Go(func() {
			if c == nil {
				return
			}
			defer c.Close()
			if err := exchange(c, 1000, byte(i)); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.ClientEOF: n})
	for _, b := range f.pool.Snapshot().All {
		// A machine that is very busy may make a connect time out.
		if got := b.Counters.Connections.Load(); got < n/3-n/100 || got > n/3+n/100 {
			t.Fatalf("unexpected share of %s; got %d of %d", b.Addr(), got, n)
		}
	}
	// Other tests run beside this one, so only a leak by the thousand shows, and
	// only in the end.
	waitFor(t, func() bool { return runtime.NumGoroutine() <= before+n/3 })
}

// TestRetry puts two dead backends among three: every connection must reach
// the living one.
func TestRetry(t *testing.T) { eachDriver(t, testRetry) }

func testRetry(t *testing.T) {
	f := newFixture(t, nil, serveNothing(t), serveEcho(t), serveNothing(t))
	const n = 30
	for i := range n {
		if err := exchange(f.dial(), 100, byte(i)); err != nil {
			t.Fatal(err)
		}
	}
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.ClientEOF: n})
	all := f.pool.Snapshot().All
	for _, i := range []int{0, 2} {
		if all[i].Counters.ConnectFailures.Load() == 0 || all[i].Counters.Connections.Load() != 0 {
			t.Fatalf("unexpected counters of dead backend %d", i)
		}
		select {
		case <-all[i].Suspected():
		default:
			t.Fatalf("nobody was told of the failure of backend %d", i)
		}
	}
	if got, want := f.counter("sluice_l4_connect_retries_total"), f.counter("sluice_l4_connect_failures_total"); got != want || got == 0 {
		t.Fatalf("unexpected retries; got %d; want %d, one for each failure", got, want)
	}
}

// wantReset expects the connection to end by a reset, not by an answer that
// looks complete.
func wantReset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("unexpected end; got %v; want ECONNRESET", err)
	}
}

// wantRefusal expects a new connection to be reset, which may happen before
// the client has seen it established.
func (f *fixture) wantRefusal() {
	f.t.Helper()
	c, err := net.Dial("tcp", f.addr)
	if err == nil {
		defer c.Close()
		wantReset(f.t, c.(*net.TCPConn))
	} else if !errors.Is(err, syscall.ECONNRESET) {
		f.t.Fatalf("unexpected error of a connection that nobody can serve: %v", err)
	}
}

func TestNobodyToServe(t *testing.T) { eachDriver(t, testNobodyToServe) }

func testNobodyToServe(t *testing.T) {
	dead := newFixture(t, nil, serveNothing(t), serveNothing(t))
	dead.wantRefusal()
	dead.shutdown()
	dead.wantEnds(map[l4.Reason]int{l4.DialFailed: 1})

	none := newFixture(t, nil)
	none.wantRefusal()
	none.shutdown()
	none.wantEnds(map[l4.Reason]int{l4.NoBackend: 1})

	down := newFixture(t, nil, serveEcho(t))
	down.pool.Snapshot().All[0].SetCondition(backend.Condition{State: backend.Down})
	down.wantRefusal()
	down.shutdown()
	down.wantEnds(map[l4.Reason]int{l4.NoBackend: 1})
}

// TestBlackHole puts a backend that never answers a SYN (a listener whose
// queue is full) beside a living one.
func TestBlackHole(t *testing.T) { eachDriver(t, testBlackHole) }

func testBlackHole(t *testing.T) {
	f := newFixture(t, func(c *l4.Config) { c.ConnectTimeout, c.HedgeAfter = 500*time.Millisecond, -1 }, blackHole(t), serveEcho(t))
	for i := range 4 {
		if err := exchange(f.dial(), 100, byte(i)); err != nil {
			t.Fatal(err)
		}
	}
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.ClientEOF: 4})
}

// TestHedge checks that a backend which does not answer costs the hedge time
// and no more, that the loser is looked into and its slot given back.
func TestHedge(t *testing.T) { eachDriver(t, testHedge) }

func testHedge(t *testing.T) {
	f := newFixture(t, func(c *l4.Config) {
		c.ConnectTimeout, c.ConnectDeadline, c.HedgeAfter = time.Hour, time.Hour, 10*time.Millisecond
	}, blackHole(t), serveEcho(t))
	const n = 6 // the round robin leads into the hole at least every other time
	for i := range n {
		if err := exchange(f.dial(), 100, byte(i)); err != nil {
			t.Fatal(err)
		}
	}
	f.shutdown()
	hole := f.pool.Snapshot().All[0]
	for hole.Active() != 0 { // the copy driver gives back a moment later
		time.Sleep(time.Millisecond)
	}
	f.wantEnds(map[l4.Reason]int{l4.ClientEOF: n})
	if got := f.counter("sluice_l4_connect_hedges_total"); got == 0 {
		t.Fatal("unexpected: nothing was hedged")
	}
	if hole.Counters.Connections.Load() != 0 || hole.Counters.ConnectFailures.Load() != 0 {
		t.Fatal("unexpected connections or failures of a backend that was only slow")
	}
	select {
	case <-hole.Suspected():
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was asked to check the slow backend")
	}
}

// TestRetryBudget checks that retries end with the budget.
func TestRetryBudget(t *testing.T) { eachDriver(t, testRetryBudget) }

func testRetryBudget(t *testing.T) {
	budget := limit.NewBudget(0, 0, time.Now())
	for budget.Retry(time.Now()) {
	}
	f := func(retries, served int, backends ...string) {
		t.Helper()
		x := newFixture(t, func(c *l4.Config) {
			s := &c.Routes[0].Service
			s.RetryBudget, s.Retries, c.HedgeAfter = budget, retries, -1
		}, backends...)
		const n = 10
		for range n {
			if c, err := net.Dial("tcp", x.addr); err == nil {
				_ = exchange(c.(*net.TCPConn), 10, 1)
				c.Close()
			}
		}
		x.shutdown()
		x.wantEnds(map[l4.Reason]int{l4.ClientEOF: served, l4.DialFailed: n - served})
		if got := int(x.counter("sluice_l4_connect_retries_denied_total")); got != n-served {
			t.Fatalf("unexpected retries denied; got %d; want %d", got, n-served)
		}
	}
	f(1, 0, serveNothing(t), serveNothing(t))
	f(0, 10, serveNothing(t), serveEcho(t)) // who refuses at once costs nothing
}

// TestFINTimeout checks that a half-closed connection does not wait for ever.
func TestFINTimeout(t *testing.T) { eachDriver(t, testFINTimeout) }

func testFINTimeout(t *testing.T) {
	hold := make(chan struct{})
	f := newFixture(t, func(c *l4.Config) { c.FINTimeout = 50 * time.Millisecond },
		serveTCP(t, func(c *net.TCPConn) { <-hold }))
	t.Cleanup(func() { close(hold) })
	c := f.dial()
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || len(got) != 0 {
		t.Fatalf("unexpected end: %q, %v", got, err)
	}
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.IdleTimeout: 1})
}

// blackHole returns an address whose accept queue is full, so that further
// SYNs are dropped.
func blackHole(t *testing.T) (addr string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr = fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
	for i, taken := 0, false; i < 8; i++ {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil && (taken || i > 2) { // else it may be that not even a SYN was sent in time
			return addr
		}
		if err != nil {
			continue
		}
		taken = true
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the accept queue does not fill")
	return ""
}

func TestResetsPassThrough(t *testing.T) { eachDriver(t, testResetsPassThrough) }

func testResetsPassThrough(t *testing.T) {
	reset := func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 1))
		_ = c.SetLinger(0)
	}
	f := newFixture(t, nil, serveTCP(t, reset))
	c := f.dial()
	_, _ = c.Write([]byte("x"))
	wantReset(t, c)
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.BackendReset: 1})

	ends := make(chan error, 1)
	g := newFixture(t, nil, serveTCP(t, func(c *net.TCPConn) {
		_, err := io.Copy(io.Discard, c)
		ends <- err
	}))
	c = g.dial()
	_, _ = c.Write([]byte("x"))
	for g.counter("sluice_l4_bytes_total", `direction="in"`) == 0 && g.pool.Snapshot().All[0].Counters.Connections.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	_ = c.SetLinger(0)
	c.Close()
	if err := <-ends; !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("unexpected end at the backend; got %v; want ECONNRESET", err)
	}
	g.shutdown()
	g.wantEnds(map[l4.Reason]int{l4.ClientReset: 1})
}

func TestIdleTimeout(t *testing.T) { eachDriver(t, testIdleTimeout) }

func testIdleTimeout(t *testing.T) {
	f := newFixture(t, func(c *l4.Config) { c.IdleTimeout = 500 * time.Millisecond }, serveEcho(t))
	c := f.dial()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "x" {
		t.Fatalf("unexpected end of an idle connection; got %q, %v; want x and then FIN", got, err)
	}
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.IdleTimeout: 1})
}

// TestShutdown checks that an open connection may finish, and that one that
// does not is cut when the time is over.
func TestShutdown(t *testing.T) { eachDriver(t, testShutdown) }

func testShutdown(t *testing.T) {
	f := newFixture(t, nil, serveEcho(t))
	c := f.dial()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cut := make(chan int, 1)
	go func() { cut <- f.server.Shutdown(t.Context()) }()
	if err := <-f.served; err != nil { // no longer accepting
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", f.addr); err == nil {
		t.Fatal("unexpected connection after the listener was closed")
	}
	if err := exchange(c, 1<<20, 1); err != nil {
		t.Fatalf("cannot finish while draining: %v", err)
	}
	if n := <-cut; n != 0 {
		t.Fatalf("unexpected connections cut: %d", n)
	}
	f.wantEnds(map[l4.Reason]int{l4.ClientEOF: 1})

	g := newFixture(t, nil, serveEcho(t))
	c = g.dial()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if n := g.server.Shutdown(ctx); n != 1 {
		t.Fatalf("unexpected number of connections cut; got %d; want 1", n)
	}
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("unexpected error of the connection that was cut: %v", err)
	}
	for g.metric("sluice_l4_connections", "db") != "0" {
		time.Sleep(time.Millisecond)
	}
	g.wantEnds(map[l4.Reason]int{l4.Draining: 1})
}
