package fast

import (
	"sluice/l7/gate"
	"sluice/pkg/listen"
)

// Open calls f for every connection of a client that is open. If f returns true, it is cut. One that rests is the
// loop's to close: its descriptor may be somebody else's by the time that it would
// be missed there.
func (s *Server) Open(f func(listen.Open) (cut bool)) {
	for _, c := range s.conns() {
		service, backend := c.session.Leads()
		if f(listen.Open{Client: c.session.Addr, Since: c.since, Service: service, Backend: backend}) && c.condemn() {
			c.end()
		}
	}
}

// Foresee says what would become of a request; see gate.Gate.
func (s *Server) Foresee(p gate.Probe) gate.Foresight { return s.proxy.Foresee(p) }
