package l4_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/backend"
	"sluice/pkg/reactor"
)

// TestSessionsMove has connections that stay move from loop to loop and back
// while they carry small messages and bulks; then half of them are ended by their
// clients, and the others because their backend is drained.
// Only the epoll driver has loops.
func TestSessionsMove(t *testing.T) {
	t.Parallel()
	t.Run("epoll", testSessionsMove)
}

func testSessionsMove(t *testing.T) {
	t.Parallel()
	if !reactor.HasSockets {
		return
	}
	f := newFixture(t, func(c *l4.Config) { c.Routes[0].Service.DrainTimeout = time.Millisecond }, serveEcho(t))
	here, there := f.loops.Loops()[0], f.loops.Loops()[1]
	conns := make([]*net.TCPConn, 20)
	for i := range conns {
		conns[i] = f.dial()
	}
	random := rand.NewChaCha8([32]byte{1})
	talk := func(c *net.TCPConn, n int) {
		sent, got := make([]byte, n), make([]byte, n)
		_, _ = random.Read(sent)
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		wrote := make(chan error, 1)
		go func() {
			_, err := c.Write(sent)
			wrote <- err
		}()
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(sent, got) {
			t.Fatalf("unexpected echo of %d bytes, error %v", n, err)
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		here.Post(func() { here.Divert(there) })
		there.Post(func() { there.Divert(there) })
		for end := time.Now().Add(30 * time.Second); there.Streams() < 2*len(conns); {
			if time.Now().After(end) {
				t.Fatalf("the connections do not move: %d and %d streams", here.Streams(), there.Streams())
			}
			for i, c := range conns {
				talk(c, 1+i%7*100_000)
			}
			time.Sleep(10 * time.Millisecond) // they move when they have been in a loop for a while
		}
		here, there = there, here
	}
	for _, c := range conns[:10] {
		_ = c.CloseWrite()
		if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
			t.Fatalf("unexpected end: %q, %v", rest, err)
		}
	}
	f.pool.Set([]backend.Target{{ID: "0", Address: f.pool.Snapshot().All[0].Addr(), Weight: 1, Status: backend.Maintenance}})
	for _, c := range conns[10:] {
		_, _ = io.ReadAll(c)
	}
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.ClientEOF: 10, l4.BackendDrained: 10})
}
