package fast

import (
	"sluice/l7/gate"
	"sluice/pkg/listen"
)

// Open calls f for every connection of a client that is open; whom its request
// leads to is not known here. If f returns true, it is closed.
func (s *Server) Open(f func(listen.Open) (cut bool)) { s.ln.EachConn(f) }

// Foresee says what would become of a request; see gate.Gate.
func (s *Server) Foresee(p gate.Probe) gate.Foresight { return s.proxy.Foresee(p) }
