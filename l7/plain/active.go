package plain

import "sync"

// active are the exchanges that are under way. All methods are safe for
// concurrent use.
type active struct {
	mu    sync.Mutex
	first *Exchange
}

func (a *active) add(x *Exchange) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x.next = a.first; x.next != nil {
		x.next.prev = x
	}
	a.first = x
}

func (a *active) remove(x *Exchange) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x.prev == nil {
		a.first = x.next
	} else {
		x.prev.next = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	}
	x.prev, x.next = nil, nil
}

// each calls f for each of them, which stays under way until f returns.
func (a *active) each(f func(*Exchange)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for x := a.first; x != nil; x = x.next {
		f(x)
	}
}
