package l4_test

import (
	"io"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/backend"
)

// TestReserve connects while the members of the first tier refuse and health
// does not know yet: each connection is served by the next tier, whether the
// first has one member or as many as are tried, or more.
func TestReserve(t *testing.T) { eachDriver(t, testReserve) }

func testReserve(t *testing.T) {
	for _, refusing := range []int{1, 2, 3, 5} {
		good := serveEcho(t)
		f := newFixture(t, nil, good)
		targets := []backend.Target{{ID: "good", Address: good, Weight: 1, Priority: 1}}
		for i := range refusing {
			targets = append(targets, backend.Target{ID: string(rune('a' + i)), Address: serveNothing(t), Weight: 1})
		}
		f.pool.Set(targets)
		for _, b := range f.pool.Snapshot().All {
			b.SetCondition(backend.Condition{State: backend.Up, Since: time.Now()})
		}
		for range 30 {
			c := f.dial()
			if _, err := io.WriteString(c, "x"); err != nil {
				t.Fatal(err)
			}
			_ = c.CloseWrite()
			if got, err := io.ReadAll(c); err != nil || string(got) != "x" {
				t.Fatalf("unexpected answer with %d that refuse; got %q, %v; want what was sent", refusing, got, err)
			}
			c.Close()
		}
		f.shutdown()
		f.wantEnds(map[l4.Reason]int{l4.ClientEOF: 30})
	}
}

// TestNoReserveForSlow has a backend that is slow to connect to: no rival of a
// later tier is tried beside it.
func TestNoReserveForSlow(t *testing.T) { eachDriver(t, testNoReserveForSlow) }

func testNoReserveForSlow(t *testing.T) {
	served := make(chan bool, 10)
	good := serveEcho(t)
	later := serveEcho(t)
	f := newFixture(t, func(c *l4.Config) { c.HedgeAfter, c.ConnectTimeout = time.Millisecond, time.Second/2 }, good)
	f.pool.Set([]backend.Target{{ID: "slow", Address: blackHole(t), Weight: 1}, {ID: "later", Address: later, Weight: 1, Priority: 1}})
	began := time.Now()
	c := f.dial()
	go func() {
		_, _ = io.WriteString(c, "x")
		_ = c.CloseWrite()
		got, err := io.ReadAll(c)
		served <- err == nil && string(got) == "x"
	}()
	if !<-served {
		t.Fatal("unexpected end: the connection was not served after a time-out")
	}
	if d := time.Since(began); d < time.Second/2 {
		t.Fatalf("unexpected rival of a later tier after %v", d)
	}
	f.shutdown()
}
