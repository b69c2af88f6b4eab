package epoll

import (
	"time"

	"sluice/l4"
	"sluice/pkg/listen"
)

// Open calls f for every connection of a client that is open, in its loop. If f
// returns true, the connection is cut. f must be quick.
func (s *Server) Open(f func(listen.Open) (cut bool)) {
	for i := range s.lists {
		q := &s.lists[i]
		done := make(chan struct{})
		if s.loops.Loops()[i].Post(func() {
			defer close(done)
			q.each(func(x *session) {
				if f(x.shown()) {
					x.end(l4.Draining)
				}
			})
		}) {
			<-done
		}
	}
}

// each calls f, which may end it, for each session.
func (q *sessions) each(f func(*session)) {
	all := func(c *sessionChain) {
		for l := c.First(); l != nil; {
			next := l.Next()
			f(l.Of)
			l = next
		}
	}
	all(&q.unled)
	for _, c := range q.led {
		all(c)
	}
}

// shown returns the session as it is shown.
func (x *session) shown() listen.Open {
	o := listen.Open{Client: x.ticket.Client, Since: x.l.Time().Add(-time.Duration(x.l.Real() - x.start))}
	if u := x.ticket.Upstream(); u != nil {
		o.Service = u.Name()
	}
	if b := x.ticket.Backend(); b != nil {
		o.Backend = b.Addr()
	}
	return o
}
