package l4_test

import (
	"io"
	"net"
	"testing"
	"time"

	"sluice/pkg/backend"
)

// early is up to when the end of a connection without a byte is a fault; see
// Ticket.
const early = time.Second

// TestFaults checks what a backend is blamed for: to end a connection before
// it has sent a byte, and not what a client did.
func TestFaults(t *testing.T) { eachDriver(t, testFaults) }

func testFaults(t *testing.T) {
	again := 0
	var f func(what string, serve func(*net.TCPConn), use func(*net.TCPConn), wantFaults int)
	f = func(what string, serve func(*net.TCPConn), use func(*net.TCPConn), wantFaults int) {
		t.Helper()
		x := newFixture(t, nil, serveTCP(t, serve))
		b := x.pool.Snapshot().All[0]
		b.ReportFault(backend.Witness{}) // to be forgiven by what works
		// A reset may come before the dial has seen that it was connected.
		if c, err := net.Dial("tcp", x.addr); err == nil {
			use(c.(*net.TCPConn))
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
		x.shutdown() // by then it is recorded
		if x.loops != nil {
			if n, _ := x.loops.Stalls(); n > 0 && again < 20 { // nobody is blamed for what fell into one
				again++
				f(what, serve, use, wantFaults)
				return
			}
		}
		if s := b.Streak(); s.Faults != wantFaults {
			t.Fatalf("unexpected streak after %s; got %+v; want %d faults", what, s, wantFaults)
		}
	}
	quiet := func(*net.TCPConn) {}
	hello := func(c *net.TCPConn) { _, _ = c.Write([]byte("hello")) }
	leave := func(c *net.TCPConn) { c.CloseWrite() }
	f("a close", quiet, quiet, 2)
	f("a reset", func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 5)); c.SetLinger(0) }, hello, 2)
	f("a close after what the client sent", func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 5)) }, hello, 2)
	f("a greeting", hello, quiet, 0)
	f("an answer", func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 5)); hello(c) }, hello, 0)
	f("a client that left", func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }, leave, 1)
	f("a close after a while", func(*net.TCPConn) { time.Sleep(early) }, quiet, 0)
	f("a reset after a while", func(c *net.TCPConn) { time.Sleep(early); c.SetLinger(0) }, hello, 0)

	dead := newFixture(t, nil, serveNothing(t))
	dead.wantRefusal()
	dead.shutdown()
	if s := dead.pool.Snapshot().All[0].Streak(); s != (backend.Streak{Connects: 1}) {
		t.Fatalf("unexpected streak after a refused connect: %+v", s)
	}
}
