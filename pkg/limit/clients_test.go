package limit

import (
	"net/netip"
	"sync"
	"testing"
	"time"
)

func addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func TestClientsMaxConns(t *testing.T) {
	t.Parallel()
	c := NewClients(2, 0)
	now := time.Unix(1000, 0)
	f := func(a int, want ClientVerdict) {
		t.Helper()
		if got := c.Enter(addr(a), now); got != want {
			t.Fatalf("unexpected verdict; got %v; want %v", got, want)
		}
	}
	f(1, ClientAdmitted)
	f(1, ClientAdmitted)
	f(1, ClientTooMany)
	f(2, ClientAdmitted)
	c.Leave(addr(1))
	f(1, ClientAdmitted)
	f(1, ClientTooMany)
	for range 2 {
		c.Leave(addr(1))
	}
	c.Leave(addr(2))
	for i := range c.known.shards {
		if n := len(c.known.shards[i].entries); n != 0 {
			t.Fatalf("unexpected clients remembered: %d", n)
		}
	}
}

func TestClientsRate(t *testing.T) {
	t.Parallel()
	c := NewClients(0, 5)
	now := time.Unix(1000, 0)
	f := func(wait time.Duration, want int) {
		t.Helper()
		now = now.Add(wait)
		got := 0
		for range 100 {
			if c.Enter(addr(1), now) == ClientAdmitted {
				got++
			}
		}
		if got != want {
			t.Fatalf("unexpected admissions after %v; got %d; want %d", wait, got, want)
		}
	}
	f(0, 5)
	f(100*time.Millisecond, 0)
	f(100*time.Millisecond, 1)
	f(time.Second, 5)
	f(time.Hour, 5) // a second's worth is saved, no more
	if got := c.Enter(addr(2), now); got != ClientAdmitted {
		t.Fatalf("unexpected verdict about another client: %v", got)
	}
}

func TestClientsAreBounded(t *testing.T) {
	t.Parallel()
	c := NewClients(10, 1)
	now := time.Unix(1000, 0)
	tracked := 0
	for i := range 2 * maxKeys {
		switch c.Enter(addr(i), now) {
		case ClientAdmitted:
			tracked++
		case ClientNotTracked:
		default:
			t.Fatal("unexpected refusal of a client's first connection")
		}
	}
	if tracked > maxKeys || tracked < maxKeys/2 || c.Overflow() != uint64(2*maxKeys-tracked) {
		t.Fatalf("unexpected bookkeeping: %d tracked, %d not", tracked, c.Overflow())
	}
	// Once they have left and their buckets are full, there is room again.
	for i := range 2 * maxKeys {
		c.Leave(addr(i))
	}
	now = now.Add(time.Hour)
	before := c.Overflow()
	for i := range 1000 {
		c.Enter(addr(3*maxKeys+i), now)
	}
	if c.Overflow() != before {
		t.Fatal("unexpected overflow though everybody has left")
	}
}

func TestClientsConcurrently(t *testing.T) {
	t.Parallel()
	c := NewClients(3, 0)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 2000 {
				if c.Enter(addr(i%5), time.Now()) == ClientAdmitted {
					c.Leave(addr(i % 5))
				}
			}
		})
	}
	wg.Wait()
	for i := range 5 {
		for range 3 {
			if got := c.Enter(addr(i), time.Now()); got != ClientAdmitted {
				t.Fatalf("unexpected verdict after everybody has left: %v", got)
			}
		}
	}
}
