package backend

import (
	"sync"
	"sync/atomic"
)

// slots bounds how many slots of a pool's backends may be taken, and keeps
// those who wait for one.
type slots struct {
	most    atomic.Int64 // of each backend; 0: any number
	waiting atomic.Int64 // how many are in the queue

	// mu protects the fields below.
	mu    sync.Mutex
	room  int // of the queue
	first *Waiter
	last  *Waiter
}

// Waiter is somebody who waits for a slot. It must not be copied, nor used for
// two pools.
type Waiter struct {
	// Wake is called, once and from any goroutine, when a slot may be free. It
	// must not block.
	Wake func()

	prev, next *Waiter
	queued     bool
}

// Limit lets each backend of the pool have at most perBackend slots taken, 0
// for any number, and room wait for one.
func (p *Pool) Limit(perBackend, room int) {
	p.slots.mu.Lock()
	p.slots.room = room
	p.slots.most.Store(int64(perBackend))
	p.slots.mu.Unlock()
	p.slots.wake(room)
}

// Await queues w at the end, or if it was woken in vain, at the front; false
// means that there is no room. Since a slot may have become free meanwhile,
// the caller must look again afterwards, and call Leave if it found one.
func (p *Pool) Await(w *Waiter, inVain bool) bool {
	s := &p.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.queued {
		return true
	}
	if int(s.waiting.Load()) >= s.room && !inVain {
		return false
	}
	w.queued = true
	if inVain {
		if w.next = s.first; w.next != nil {
			w.next.prev = w
		} else {
			s.last = w
		}
		s.first = w
	} else {
		if w.prev = s.last; w.prev != nil {
			w.prev.next = w
		} else {
			s.first = w
		}
		s.last = w
	}
	s.waiting.Add(1)
	return true
}

// Leave takes w out of the queue. If it was woken already and does not take
// the slot that it was woken for, the next one must hear of that: WakeNext.
func (p *Pool) Leave(w *Waiter) (queued bool) {
	p.slots.mu.Lock()
	defer p.slots.mu.Unlock()
	queued = w.queued
	p.slots.remove(w)
	return queued
}

// Waiting returns how many wait for a slot.
func (p *Pool) Waiting() int { return int(p.slots.waiting.Load()) }

// WakeNext wakes who has waited longest.
func (p *Pool) WakeNext() { p.slots.wake(1) }

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

// wake wakes at most n.
func (s *slots) wake(n int) {
	for ; n > 0 && s.waiting.Load() > 0; n-- {
		s.mu.Lock()
		w := s.first
		if w != nil {
			s.remove(w)
		}
		s.mu.Unlock()
		if w == nil {
			return
		}
		w.Wake()
	}
}

// TryAcquire takes a slot as Acquire does, unless as many are taken as may be.
func (b *Backend) TryAcquire() bool {
	most := b.pool.slots.most.Load()
	if most == 0 {
		b.active.Add(1)
		return true
	}
	for {
		n := b.active.Load()
		if n >= most {
			return false
		}
		if b.active.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// HasRoom reports whether TryAcquire would take a slot now.
func (b *Backend) HasRoom() bool {
	most := b.pool.slots.most.Load()
	return most == 0 || b.active.Load() < most
}
