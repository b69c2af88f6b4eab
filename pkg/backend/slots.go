package backend

import (
	"sync"
	"sync/atomic"
)

// slots bounds how many slots of a pool's backends may be taken, and keeps
// those who wait for one, first come, first served.
//
// Who is woken answers, by taking a slot and calling Leave, by Leave alone if
// it is gone, or by AwaitAgain if what is free is nothing for it. So a slot that is
// free is offered to one after the other until somebody takes it, and never to
// more than there are slots. Nobody who comes later takes a slot while others
// wait; see Contended.
type slots struct {
	most    atomic.Int64 // of each backend; 0: any number
	waiting atomic.Int64 // how many are in the queue
	woken   atomic.Int64 // how many were woken and have not answered yet

	// mu protects the fields below.
	mu     sync.Mutex
	room   int    // of the queue
	places uint64 // that were given
	first  *Waiter
	last   *Waiter
}

// Waiter is somebody who waits for a slot. It must not be copied, nor used for
// two pools.
type Waiter struct {
	// Wake is called, once for each Await and from any goroutine, when a slot
	// may be free. It must not block.
	Wake func()

	prev, next *Waiter
	place      uint64 // in the order of those who came; 0 before the first Await
	queued     bool
	woken      bool // and has not answered
}

// Limit lets each backend of the pool have at most perBackend slots taken, 0
// for any number, and room wait for one.
func (p *Pool) Limit(perBackend, room int) {
	p.slots.mu.Lock()
	p.slots.room = room
	p.slots.most.Store(int64(perBackend))
	p.slots.mu.Unlock()
	p.offerSlots()
}

// Await queues w at the end; false means that there is no room. It may wake w
// before it returns.
func (p *Pool) Await(w *Waiter) bool {
	s := &p.slots
	s.mu.Lock()
	if w.queued {
		s.mu.Unlock()
		return true
	}
	s.answered(w)
	if int(s.waiting.Load()) >= s.room {
		s.mu.Unlock()
		p.offerSlots()
		return false
	}
	s.places++
	w.place = s.places
	s.insert(w)
	s.mu.Unlock()
	// A slot may have become free before w was in the queue, and is offered to
	// whoever is first.
	if p.hasSpare() {
		s.wake()
	}
	return true
}

// AwaitAgain queues w, which was woken in vain, where it was, be there room or
// not. One that Await has never queued comes as with that.
func (p *Pool) AwaitAgain(w *Waiter) bool {
	s := &p.slots
	s.mu.Lock()
	if w.queued {
		s.mu.Unlock()
		return true
	}
	if w.place == 0 {
		s.mu.Unlock()
		return p.Await(w)
	}
	s.answered(w)
	s.insert(w)
	s.mu.Unlock()
	// A slot that was nothing for w is offered to who comes after it.
	if p.hasSpare() {
		s.wakeAfter(w.place)
	}
	return true
}

// Leave ends the wait of w, who has a slot or wants none any more, and reports
// whether it was in the queue still.
func (p *Pool) Leave(w *Waiter) (queued bool) {
	s := &p.slots
	s.mu.Lock()
	queued = w.queued
	woken := w.woken
	s.remove(w)
	s.answered(w)
	s.mu.Unlock()
	if woken {
		p.offerSlots() // w may have left one
	}
	return queued
}

// Waiting returns how many wait for a slot.
func (p *Pool) Waiting() int { return int(p.slots.waiting.Load()) }

// Contended reports whether somebody waits for a slot, or was woken and has not
// taken it yet: who comes now is to wait, too.
func (p *Pool) Contended() bool { return p.slots.waiting.Load() > 0 || p.slots.woken.Load() > 0 }

// WakeNext wakes who has waited longest.
func (p *Pool) WakeNext() { p.slots.wake() }

// offerSlots wakes as many as there are slots free, or all if there will be
// none, because nobody is eligible.
func (p *Pool) offerSlots() {
	for p.slots.waiting.Load() > 0 && (p.hasSpare() || len(p.Snapshot().Eligible) == 0) {
		p.slots.wake()
	}
}

// hasSpare reports whether more slots are free than there are who have been
// woken for one.
func (p *Pool) hasSpare() bool {
	most, woken := p.slots.most.Load(), p.slots.woken.Load()
	free := int64(0)
	for _, b := range p.Snapshot().Eligible {
		if most == 0 {
			return true
		}
		if free += max(0, most-b.Active()); free > woken {
			return true
		}
	}
	return false
}

// insert puts w where its place is; s.mu is held. Most come last.
func (s *slots) insert(w *Waiter) {
	w.queued = true
	s.waiting.Add(1)
	before := s.last
	for before != nil && before.place > w.place {
		before = before.prev
	}
	if w.prev = before; before != nil {
		w.next, before.next = before.next, w
	} else {
		w.next, s.first = s.first, w
	}
	if w.next != nil {
		w.next.prev = w
	} else {
		s.last = w
	}
}

// remove takes w out; s.mu is held.
func (s *slots) remove(w *Waiter) {
	if !w.queued {
		return
	}
	w.queued = false
	s.waiting.Add(-1)
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		s.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		s.last = w.prev
	}
	w.prev, w.next = nil, nil
}

// answered notes that w has answered if it was woken; s.mu is held.
func (s *slots) answered(w *Waiter) {
	if w.woken {
		w.woken = false
		s.woken.Add(-1)
	}
}

// wake wakes who is first.
func (s *slots) wake() { s.wakeAfter(0) }

// wakeAfter wakes the first one behind a place.
func (s *slots) wakeAfter(place uint64) {
	s.mu.Lock()
	w := s.first
	for w != nil && w.place <= place {
		w = w.next
	}
	if w != nil {
		s.remove(w)
		w.woken = true
		s.woken.Add(1)
	}
	s.mu.Unlock()
	if w != nil {
		w.Wake()
	}
}

// TryAcquire takes a slot as Acquire does, unless as many are taken as may be.
func (b *Backend) TryAcquire() bool {
	most := b.pool.slots.most.Load()
	if most == 0 {
		b.slots.take()
		return true
	}
	return b.slots.takeBelow(most)
}

// HasRoom reports whether TryAcquire would take a slot now.
func (b *Backend) HasRoom() bool {
	most := b.pool.slots.most.Load()
	return most == 0 || b.Active() < most
}
