package l4

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestWaitsOfService has a service that tries no second backend, and ends idle
// connections long before its listener would.
func TestWaitsOfService(t *testing.T) {
	t.Run("epoll", testWaitsOfService)
	t.Run("copy", testWaitsOfService)
}

func testWaitsOfService(t *testing.T) {
	t.Parallel()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	f := newFixture(t, func(c *Config) {
		s := &c.Routes[0].Service
		s.Retries, s.IdleTimeout = -1, 300*time.Millisecond
	}, dead.Addr().String(), serveGreeting(t, "a", 0))
	served := 0
	for range 6 {
		c, err := net.Dial("tcp", f.addr)
		if err != nil {
			continue // reset already
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if b, _ := io.ReadAll(c); string(b) == "a\n" { // until the idle time ends it
			served++
		} else if len(b) > 0 {
			t.Errorf("unexpected bytes: %q", b)
		}
	}
	if served != 3 {
		t.Errorf("unexpected number of connections that were served; got %d; want 3 of 6", served)
	}
}
