package backend

import (
	"sync"
	"sync/atomic"
	"testing"
)

func newLimited(most, room int, ids ...string) *Pool {
	p := NewPool("web")
	var targets []Target
	for _, id := range ids {
		targets = append(targets, Target{ID: id, Address: "192.0.2.1:" + id, Weight: 1})
	}
	p.Set(targets)
	p.Limit(most, room)
	return p
}

func TestTryAcquire(t *testing.T) {
	t.Parallel()
	p := newLimited(2, 0, "1")
	b := p.Snapshot().All[0]
	for n := range 3 {
		if got, want := b.TryAcquire(), n < 2; got != want {
			t.Fatalf("unexpected answer for slot %d; got %v; want %v", n+1, got, want)
		}
	}
	b.Release()
	if !b.HasRoom() || !b.TryAcquire() || b.HasRoom() {
		t.Fatal("unexpected slots after one was released; want one")
	}
	p.Limit(0, 0)
	if !b.TryAcquire() {
		t.Fatal("no slot without a limit")
	}
}

// TestQueue checks order, room, and that one release wakes one.
func TestQueue(t *testing.T) {
	t.Parallel()
	p := newLimited(1, 2, "1")
	b := p.Snapshot().All[0]
	b.Acquire()
	var woken []string
	waiter := func(name string) *Waiter { return &Waiter{Wake: func() { woken = append(woken, name) }} }
	w1, w2, w3 := waiter("1"), waiter("2"), waiter("3")
	if !p.Await(w1, false) || !p.Await(w2, false) || p.Await(w3, false) || p.Waiting() != 2 {
		t.Fatalf("unexpected queue of %d; want room for two", p.Waiting())
	}
	b.Release()
	if len(woken) != 1 || woken[0] != "1" {
		t.Fatalf("unexpected wake-ups %v; want the first", woken)
	}
	if !p.Await(w3, false) || !p.Await(w1, true) { // w1 goes back to where it was, w3 has its room
		t.Fatal("no room")
	}
	for range 3 {
		p.WakeNext()
	}
	if len(woken) != 4 || woken[1] != "1" || woken[2] != "2" || woken[3] != "3" {
		t.Fatalf("unexpected wake-ups %v", woken)
	}
	if p.Await(w1, false); !p.Leave(w1) || p.Leave(w1) || p.Waiting() != 0 {
		t.Fatal("unexpected answers of Leave")
	}
}

// TestQueueHearsOfMembers wakes those who wait when a member comes.
func TestQueueHearsOfMembers(t *testing.T) {
	t.Parallel()
	p := newLimited(1, 10, "1")
	var woken atomic.Int64
	for range 3 {
		p.Await(&Waiter{Wake: func() { woken.Add(1) }}, false)
	}
	p.Set([]Target{{ID: "1", Address: "192.0.2.1:1", Weight: 1}, {ID: "2", Address: "192.0.2.1:2", Weight: 1}})
	if woken.Load() != 3 {
		t.Fatalf("unexpected wake-ups: %d", woken.Load())
	}
}

// TestSlotsAtOnce has many take turns at few slots: nobody waits for ever, and
// never are more slots taken than there may be.
func TestSlotsAtOnce(t *testing.T) {
	t.Parallel()
	const most, clients, turns = 3, 50, 200
	p := newLimited(most, clients, "1")
	b := p.Snapshot().All[0]
	var inside atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			wake := make(chan struct{}, 1)
			w := &Waiter{Wake: func() { wake <- struct{}{} }}
			for range turns {
				for inVain := false; !b.TryAcquire(); inVain = true {
					if !p.Await(w, inVain) {
						t.Error("no room in the queue")
						return
					}
					if b.HasRoom() && p.Leave(w) {
						continue
					}
					<-wake
				}
				if n := inside.Add(1); n > most {
					t.Errorf("unexpected slots taken: %d", n)
				}
				inside.Add(-1)
				b.Release()
			}
		})
	}
	wg.Wait()
	if b.Active() != 0 || p.Waiting() != 0 {
		t.Fatalf("unexpected rest; %d active, %d waiting", b.Active(), p.Waiting())
	}
}
