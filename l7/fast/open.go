package fast

import (
	"sluice/l7/gate"
	"sluice/pkg/listen"
)

// Open calls f for every connection of a client that is open; whom its request
// leads to is not known here. If f returns true, it is cut. One that rests is the
// loop's to close: its descriptor may be somebody else's by the time that it would
// be missed there.
func (s *Server) Open(f func(listen.Open) (cut bool)) {
	for _, c := range s.conns() {
		if f(listen.Open{Client: c.session.Addr, Since: c.since}) && c.condemn() {
			c.end()
		}
	}
}

// Foresee says what would become of a request; see gate.Gate.
func (s *Server) Foresee(p gate.Probe) gate.Foresight { return s.proxy.Foresee(p) }
