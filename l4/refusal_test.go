package l4_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
)

// TestFewLive has most members refuse connections, before anybody has checked
// one: every client is served from the first on, whatever the strategy.
func TestFewLive(t *testing.T) { eachDriver(t, testFewLive) }

func testFewLive(t *testing.T) {
	for _, strategy := range balance.Names() {
		t.Run(strategy, func(t *testing.T) { testFewLiveBy(t, strategy) })
	}
}

func testFewLiveBy(t *testing.T, strategy string) {
	t.Parallel()
	for _, dead := range []int{4, 9, 25} {
		backends := []string{serveEcho(t)}
		for range dead {
			backends = append(backends, serveNothing(t))
		}
		f := newFixture(t, func(c *l4.Config) {
			if err := c.Routes[0].Service.Balancer.SetStrategy(strategy); err != nil {
				t.Fatal(err)
			}
		}, backends...)
		const n = 60
		var clients sync.WaitGroup
		one := func(i int) {
			c, err := net.Dial("tcp", f.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if err := exchange(c.(*net.TCPConn), 10, byte(i)); err != nil {
				t.Errorf("client %d of %s with %d dead members: %v", i, strategy, dead, err)
			}
		}
		for i := range n {
			if i < n/2 { // at once
				clients.Go(func() { one(i) })
				continue
			}
			clients.Wait()
			one(i)
		}
		f.shutdown()
		f.wantEnds(map[l4.Reason]int{l4.ClientEOF: n})
		if got := f.counter("sluice_l4_connect_retries_denied_total"); got != 0 {
			t.Errorf("unexpected retries denied: %d", got)
		}
	}
}

// TestAllDead has all members refuse: once that is known, a connection tries no
// more of them than it may. So it is at once if retries are limited.
func TestAllDead(t *testing.T) { eachDriver(t, testAllDead) }

func testAllDead(t *testing.T) {
	again := 0
	var f func(retries, first, later int)
	f = func(retries, first, later int) {
		t.Helper()
		var backends []string
		for range 12 {
			backends = append(backends, serveNothing(t))
		}
		x := newFixture(t, func(c *l4.Config) { c.Routes[0].Service.Retries = retries }, backends...)
		tried := func() int {
			before := x.counter("sluice_l4_connect_failures_total")
			c, err := net.Dial("tcp", x.addr)
			if err == nil {
				_ = exchange(c.(*net.TCPConn), 10, 1)
				c.Close()
			}
			return int(x.counter("sluice_l4_connect_failures_total") - before)
		}
		begun := time.Now()
		got := tried()
		if time.Since(begun) > 300*time.Millisecond && again < 20 { // what took long may be no refusal at once
			again++
			f(retries, first, later)
			return
		}
		if got != first {
			t.Errorf("unexpected tries of the first connection with %d retries; got %d; want %d", retries, got, first)
		}
		if retries != 0 {
			return
		}
		if got := tried(); got != later {
			t.Errorf("unexpected tries of a later connection; got %d; want %d", got, later)
		}
	}
	f(0, 12, balance.MaxTries)
	f(2, 3, 0)
	f(1, 2, 0)
	f(-1, 1, 0)
}

// TestRefused says what costs nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	_, err := net.Dial("tcp", serveNothing(t))
	if !backend.Refused(err, time.Millisecond) || backend.Refused(err, time.Minute) {
		t.Errorf("unexpected reading of %v", err)
	}
	_, late := net.DialTimeout("tcp", "127.0.0.1:1", time.Nanosecond)
	if backend.Refused(late, 0) || backend.Refused(backend.Several([]error{err, late}), 0) || !backend.Refused(backend.Several([]error{err, err}), 0) {
		t.Errorf("unexpected reading of %v and of several", late)
	}
}
