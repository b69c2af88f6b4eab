//go:build !linux || portable

package l4

// serveLoops accepts in a goroutine, and hands over to the loops.
func (s *Server) serveLoops() error { return s.serveGuests() }
