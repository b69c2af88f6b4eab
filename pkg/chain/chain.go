// Package chain has a list whose elements carry its links, so that to join and
// to leave it costs no allocation and no search.
//
// An element has a [Link] for each chain that it may be in at a time, and the
// link says whose it is. A chain and its links belong to one goroutine, or one
// event loop.
package chain

// Chain is a list of elements of type T. Its zero value is empty.
type Chain[T any] struct {
	first, last *Link[T]
	n           int
}

// Link is an element's place in a chain. It must not be copied while it is in
// one.
type Link[T any] struct {
	Of         T // the element
	prev, next *Link[T]
	in         *Chain[T]
}

// Len returns how many elements there are.
func (c *Chain[T]) Len() int { return c.n }

// First returns the first link, or nil.
func (c *Chain[T]) First() *Link[T] { return c.first }

// Last returns the last link, or nil.
func (c *Chain[T]) Last() *Link[T] { return c.last }

// Next returns the link behind l, or nil.
func (l *Link[T]) Next() *Link[T] { return l.next }

// In reports whether l is in a chain.
func (l *Link[T]) In() bool { return l.in != nil }

// AddFirst puts l, which is in no chain, before all others.
func (c *Chain[T]) AddFirst(l *Link[T]) {
	c.join(l)
	if l.next = c.first; l.next != nil {
		l.next.prev = l
	} else {
		c.last = l
	}
	c.first = l
}

// AddLast puts l, which is in no chain, behind all others.
func (c *Chain[T]) AddLast(l *Link[T]) {
	c.join(l)
	if l.prev = c.last; l.prev != nil {
		l.prev.next = l
	} else {
		c.first = l
	}
	c.last = l
}

func (c *Chain[T]) join(l *Link[T]) {
	if l.in != nil {
		panic("BUG: a link is in two chains")
	}
	l.in = c
	c.n++
}

// Remove takes l out of its chain, if it is in one.
func (l *Link[T]) Remove() {
	c := l.in
	if c == nil {
		return
	}
	if l.prev == nil {
		c.first = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		c.last = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.prev, l.next, l.in = nil, nil, nil
	c.n--
}
