//go:build !linux || portable

package l7

// accept accepts until the listener is closed.
func (s *Server) accept() error { return s.acceptConns() }
