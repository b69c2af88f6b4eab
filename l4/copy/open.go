package copy

import "sluice/pkg/listen"

// Open calls f for every connection of a client that is open; whom it leads to
// is not known here. If f returns true, the connection is closed.
func (s *Server) Open(f func(listen.Open) (cut bool)) { s.gate.Listener().EachConn(f) }
