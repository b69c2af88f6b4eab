package backend

import (
	"math/rand/v2"
	"slices"
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
	if !p.Await(w1) || !p.Await(w2) || p.Await(w3) || p.Waiting() != 2 {
		t.Fatalf("unexpected queue of %d; want room for two", p.Waiting())
	}
	b.Release()
	if len(woken) != 1 || woken[0] != "1" {
		t.Fatalf("unexpected wake-ups %v; want the first", woken)
	}
	b.Acquire()                            // by somebody else
	if !p.Await(w3) || !p.AwaitAgain(w1) { // w1 goes back to where it was, w3 has its room
		t.Fatal("no room")
	}
	for range 3 {
		p.WakeNext()
	}
	if len(woken) != 4 || woken[1] != "1" || woken[2] != "2" || woken[3] != "3" {
		t.Fatalf("unexpected wake-ups %v", woken)
	}
	if p.Await(w1); !p.Leave(w1) || p.Leave(w1) || p.Waiting() != 0 {
		t.Fatal("unexpected answers of Leave")
	}
}

// TestQueueHearsOfMembers wakes those who wait when a member comes.
func TestQueueHearsOfMembers(t *testing.T) {
	t.Parallel()
	p := newLimited(1, 10, "1")
	var woken atomic.Int64
	p.Snapshot().All[0].Acquire()
	var waiters []*Waiter
	for range 3 {
		w := &Waiter{Wake: func() { woken.Add(1) }}
		waiters = append(waiters, w)
		p.Await(w)
	}
	p.Set([]Target{{ID: "1", Address: "192.0.2.1:1", Weight: 1}, {ID: "2", Address: "192.0.2.1:2", Weight: 1}})
	if woken.Load() != 1 {
		t.Fatalf("unexpected wake-ups for one slot: %d", woken.Load())
	}
	p.Snapshot().All[1].Acquire()
	p.Leave(waiters[0])
	if woken.Load() != 1 {
		t.Fatalf("unexpected wake-ups without a slot: %d", woken.Load())
	}
	p.Set(nil) // there is nothing to wait for any more
	if woken.Load() != 3 || p.Waiting() != 0 {
		t.Fatalf("unexpected wake-ups without members: %d", woken.Load())
	}
}

// TestQueueKeepsItsOrder wakes all who wait, as when many slots come at once,
// and lets them return in any order.
func TestQueueKeepsItsOrder(t *testing.T) {
	t.Parallel()
	p := newLimited(1, 100, "1")
	b := p.Snapshot().All[0]
	b.Acquire()
	var woken []int
	waiters := make([]*Waiter, 20)
	for i := range waiters {
		waiters[i] = &Waiter{Wake: func() { woken = append(woken, i) }}
		p.Await(waiters[i])
	}
	for range waiters {
		p.WakeNext()
	}
	for _, i := range rand.Perm(len(waiters)) {
		p.AwaitAgain(waiters[i])
	}
	woken = nil
	for i := range waiters {
		b.Release()
		if len(woken) != i+1 || woken[i] != i {
			t.Fatalf("served in the order %v", woken)
		}
		b.Acquire()
		p.Leave(waiters[i])
	}
	if p.Contended() {
		t.Fatal("unexpected rest in the queue")
	}
}

// TestWakeIsPassedOn has a slot free that the first two cannot use: one that
// has tried its backend, and one that is gone.
func TestWakeIsPassedOn(t *testing.T) {
	t.Parallel()
	p := newLimited(1, 10, "1", "2")
	a, b := p.Snapshot().All[0], p.Snapshot().All[1]
	a.Acquire()
	b.Acquire()
	var woken []int
	waiters := make([]*Waiter, 4)
	for i := range waiters {
		waiters[i] = &Waiter{Wake: func() { woken = append(woken, i) }}
		p.Await(waiters[i])
	}
	f := func(want ...int) {
		t.Helper()
		if !slices.Equal(woken, want) {
			t.Fatalf("unexpected wake-ups; got %v; want %v", woken, want)
		}
	}
	a.Release()
	f(0)
	p.AwaitAgain(waiters[0]) // a is nothing for it
	f(0, 1)
	p.Leave(waiters[1]) // gone
	f(0, 1, 0)          // perhaps it is another one that is free
	p.AwaitAgain(waiters[0])
	f(0, 1, 0, 2)
	if !p.Contended() {
		t.Fatal("whoever comes now would be first")
	}
	newcomer := &Waiter{Wake: func() { woken = append(woken, 4) }}
	p.Await(newcomer)
	f(0, 1, 0, 2) // there is no slot but that of the third
	a.Acquire()
	p.Leave(waiters[2])
	f(0, 1, 0, 2)
	b.Release()
	f(0, 1, 0, 2, 0)
	b.Acquire()
	p.Leave(waiters[0])
	p.Leave(waiters[3])
	p.Leave(newcomer)
	if p.Contended() || p.Waiting() != 0 {
		t.Fatal("unexpected rest in the queue")
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
				for await := p.Await; !b.TryAcquire(); await = p.AwaitAgain {
					if !await(w) {
						t.Error("no room in the queue")
						return
					}
					<-wake
				}
				p.Leave(w)
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
