package copy

import (
	"sluice/l4"
	"sluice/pkg/listen"
)

// Open calls f for every connection of a client that is open, with whom it leads
// to once it is established. If f returns true, the connection is closed.
func (s *Server) Open(f func(listen.Open) (cut bool)) {
	led := s.relays.led()
	s.gate.Listener().EachConn(func(c *listen.Conn, o listen.Open) bool {
		x, ok := led[c]
		if !ok {
			return f(o)
		}
		o.Service, o.Backend = x.to.Upstream.Name(), x.to.Addr
		o.Client = x.walk.guest.Client // which a PROXY header may say
		if f(o) {
			x.relay.abort(l4.Draining)
		}
		return false
	})
}

// leading is a relay, and where it leads.
type leading struct {
	to    l4.Destination
	relay *relay
	walk  *walk
}

// led returns the relays by the connections of their clients.
func (q *relays) led() map[*listen.Conn]leading {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := make(map[*listen.Conn]leading)
	for to, relays := range q.to {
		for r, w := range relays {
			all[w.conn] = leading{to, r, w}
		}
	}
	return all
}
