package epoll

import (
	"sluice/l4"
	"sluice/pkg/backend"
	"sluice/pkg/chain"
	"time"
)

// sessionChain is sessions, the latest first.
type sessionChain = chain.Chain[*session]

// sessions are those of a server in one loop. Those of one backend are found
// without a look at the others: when a zone fails, many backends do.
type sessions struct {
	unled sessionChain // without a backend yet
	led   map[l4.Destination]*sessionChain
	free  []*dialing // for sessions to come
}

// list returns the list that the session is in.
func (x *session) list() *sessions { return &x.s.lists[x.l.Index()] }

// lead moves x, which had no backend, to those of b.
func (q *sessions) lead(x *session, b *backend.Backend, took time.Duration) (planIsFree bool) {
	planIsFree = x.ticket.Established(b, took)
	x.link.Remove()
	q.join(x)
	return planIsFree
}

// join adds x, which has a backend.
func (q *sessions) join(x *session) {
	to := x.ticket.Destination()
	c := q.led[to]
	if c == nil {
		c = &sessionChain{}
		q.led[to] = c
	}
	c.AddFirst(&x.link)
}

// remove takes x out.
func (q *sessions) remove(x *session) {
	x.link.Remove()
	if x.ticket.Backend() == nil {
		return
	}
	if to := x.ticket.Destination(); q.led[to].Len() == 0 {
		delete(q.led, to)
	}
}

// any returns some session, or nil if there is none.
func (q *sessions) any() *session {
	if l := q.unled.First(); l != nil {
		return l.Of
	}
	for _, c := range q.led {
		return c.First().Of
	}
	return nil
}
