package limit

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	t.Parallel()
	f := func(perSecond, burst float64, steps ...any) {
		t.Helper()
		r := NewRate(perSecond, burst)
		now := time.Unix(1000, 0)
		for i := 0; i < len(steps); i += 3 {
			now = now.Add(steps[i].(time.Duration))
			got := 0
			var wait time.Duration
			for wait == 0 {
				if wait = r.Take(7, now); wait == 0 {
					got++
				}
			}
			if want := steps[i+1].(int); got != want {
				t.Fatalf("unexpected requests at step %d of %v/s, burst %v; got %d; want %d", i/3, perSecond, burst, got, want)
			}
			if want := steps[i+2].(time.Duration); wait != want {
				t.Fatalf("unexpected wait at step %d of %v/s, burst %v; got %v; want %v", i/3, perSecond, burst, wait, want)
			}
		}
	}
	const ms = time.Millisecond
	f(10, 1, 0*ms, 1, 100*ms, 60*ms, 0, 40*ms, 40*ms, 1, 100*ms, time.Hour, 1, 100*ms)
	f(10, 5, 0*ms, 5, 100*ms, 250*ms, 2, 50*ms, 50*ms, 1, 100*ms, time.Hour, 5, 100*ms)
	f(0.5, 1, 0*ms, 1, 2*time.Second, time.Second, 0, time.Second, time.Second, 1, 2*time.Second)
	f(4, 0, 0*ms, 1, 250*ms) // a burst is one request at least
	// A clock that is put back costs no more than a whole bucket does.
	f(10, 5, 0*ms, 5, 100*ms, -time.Hour, 0, 100*ms, 100*ms, 1, 100*ms)
}

func TestRateKeys(t *testing.T) {
	t.Parallel()
	r := NewRate(1, 1)
	addr := func(s string) uint64 { return r.Addr(netip.MustParseAddr(s)) }
	same := func(a, b string, want bool) {
		t.Helper()
		if got := addr(a) == addr(b); got != want {
			t.Fatalf("unexpected answer whether %s and %s share a key; got %v; want %v", a, b, got, want)
		}
	}
	same("192.0.2.1", "192.0.2.2", false)
	same("192.0.2.1", "::ffff:192.0.2.1", true)
	same("2001:db8::1", "2001:db8::ffff:0:1", true)
	same("2001:db8::1", "2001:db8:0:1::1", false)
	same("2001:db8::1%eth0", "2001:db8::1", true)
	a := r.Bytes([]byte("a"))
	if again := r.Bytes([]byte("a")); again != a || r.Bytes([]byte("b")) == a {
		t.Fatal("unexpected keys of bytes")
	}
	if NewRate(1, 1).Bytes([]byte("a")) == a {
		t.Fatal("two rates hash alike")
	}
	now := time.Unix(1000, 0)
	if r.Take(1, now) != 0 || r.Take(2, now) != 0 || r.Take(1, now) == 0 {
		t.Fatal("keys are not told apart")
	}
}

func TestRateIsBounded(t *testing.T) {
	t.Parallel()
	r := NewRate(1, 1)
	now := time.Unix(1000, 0)
	for i := range uint64(2 * maxKeys) {
		if r.Take(i, now) != 0 {
			t.Fatal("unexpected refusal of a key's first request")
		}
	}
	known := 0
	for i := range r.keys.shards {
		known += len(r.keys.shards[i].entries)
	}
	if known > maxKeys || known < maxKeys/2 || r.Overflow() != uint64(2*maxKeys-known) {
		t.Fatalf("unexpected bookkeeping: %d known, %d not", known, r.Overflow())
	}
	// Those that are known stay bounded, and there is room again later.
	refused := 0
	for i := range uint64(maxKeys) {
		if r.Take(i, now) != 0 {
			refused++
		}
	}
	if refused < maxKeys/2 {
		t.Fatalf("unexpected number of keys bounded in a flood: %d", refused)
	}
	before := r.Overflow()
	now = now.Add(time.Hour)
	for i := range uint64(1000) {
		r.Take(1<<32+i, now)
	}
	if r.Overflow() != before {
		t.Fatal("unexpected overflow though all buckets are full")
	}
}

func TestRateConcurrently(t *testing.T) {
	t.Parallel()
	r := NewRate(1, 100)
	now := time.Unix(1000, 0)
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range uint64(4000) {
				if r.Take(i%4, now) == 0 {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got := allowed.Load(); got != 400 {
		t.Fatalf("unexpected requests of four keys; got %d; want 400", got)
	}
}

// TestRateSet changes a bound: the time that was used up stays so, as far as the new
// burst reaches.
func TestRateSet(t *testing.T) {
	t.Parallel()
	r := NewRate(1, 4)
	now := time.Unix(1000, 0)
	f := func(perSecond, burst float64, want int) {
		t.Helper()
		r.Set(perSecond, burst)
		got := 0
		for r.Take(7, now) == 0 {
			got++
		}
		if got != want || r.PerSecond() != perSecond {
			t.Fatalf("unexpected requests at %v/s, burst %v; got %d, %v/s; want %d", perSecond, burst, got, r.PerSecond(), want)
		}
	}
	f(1, 4, 4)
	f(0.5, 2, 0)
	f(1, 4, 0)
	f(10, 40, 0) // four seconds of it are used up, as before
	now = now.Add(time.Second)
	f(2, 2, 0)
	now = now.Add(time.Second)
	f(2, 2, 2)
}

// TestClientsSet changes the bounds of clients that have connections.
func TestClientsSet(t *testing.T) {
	t.Parallel()
	c := NewClients(2, 0)
	now := time.Unix(1000, 0)
	f := func(want ClientVerdict) {
		t.Helper()
		if got := c.Enter(addr(1), now); got != want {
			t.Fatalf("unexpected verdict; got %v; want %v", got, want)
		}
	}
	f(ClientAdmitted)
	f(ClientAdmitted)
	f(ClientTooMany)
	c.Set(3, 0)
	f(ClientAdmitted)
	c.Set(1, 0)
	f(ClientTooMany)
	for range 3 {
		c.Leave(addr(1))
	}
	f(ClientAdmitted)
	c.Set(9, 1)
	f(ClientAdmitted)
	f(ClientTooFast)
	if conns, rate := c.Bounds(); conns != 9 || rate != 1 {
		t.Fatalf("unexpected bounds: %d, %v", conns, rate)
	}
}
