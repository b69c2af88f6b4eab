package l4

import "sluice/pkg/backend"

// destination is where sessions lead: a service's backend, by its address, so
// that one which was deregistered and registered again is the same.
type destination struct {
	svc  *service
	addr string
}

// chain is sessions, the latest first.
type chain struct {
	first, last *session
	n           int
}

func (c *chain) add(x *session) {
	if x.next = c.first; x.next != nil {
		x.next.prev = x
	} else {
		c.last = x
	}
	c.first = x
	c.n++
}

func (c *chain) remove(x *session) {
	if x.prev == nil {
		c.first = x.next
	} else {
		x.prev.next = x.next
	}
	if x.next == nil {
		c.last = x.prev
	} else {
		x.next.prev = x.prev
	}
	x.prev, x.next = nil, nil
	c.n--
}

// sessionList is the sessions of a server in one loop. Those of one backend are
// found without a look at the others: when a zone fails, many backends do.
type sessionList struct {
	unled chain // without a backend yet
	led   map[destination]*chain
	free  []*dialing // for sessions to come
}

// lead moves x, which has had no backend, to those of b.
func (q *sessionList) lead(x *session, b *backend.Backend) {
	q.unled.remove(x)
	x.b = b
	to := destination{x.svc, b.Addr()}
	c := q.led[to]
	if c == nil {
		c = &chain{}
		q.led[to] = c
	}
	c.add(x)
}

func (q *sessionList) remove(x *session) {
	if x.b == nil {
		q.unled.remove(x)
		return
	}
	to := destination{x.svc, x.b.Addr()}
	c := q.led[to]
	if c.remove(x); c.n == 0 {
		delete(q.led, to)
	}
}

// any returns some session, or nil if there is none.
func (q *sessionList) any() *session {
	if x := q.unled.first; x != nil {
		return x
	}
	for _, c := range q.led {
		return c.first
	}
	return nil
}
