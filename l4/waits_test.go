package l4_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/l4"
)

// TestWaitsOfService has a service that tries no second backend, and ends idle
// connections long before its listener would.
func TestWaitsOfService(t *testing.T) {
	eachDriver(t, testWaitsOfService)
}

func testWaitsOfService(t *testing.T) {
	f := newFixture(t, func(c *l4.Config) {
		s := &c.Routes[0].Service
		s.Retries, s.IdleTimeout = -1, time.Second
	}, serveNothing(t), serveGreeting(t, "a", 0))
	var served atomic.Int64
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			c, err := net.Dial("tcp", f.addr)
			if err != nil {
				return // reset already
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(30 * time.Second))
			if b, _ := io.ReadAll(c); string(b) == "a\n" { // until the idle time ends it
				served.Add(1)
			} else if len(b) > 0 {
				t.Errorf("unexpected bytes: %q", b)
			}
		})
	}
	wg.Wait()
	if served := served.Load(); served != 3 {
		t.Errorf("unexpected number of connections that were served; got %d; want 3 of 6", served)
	}
}
