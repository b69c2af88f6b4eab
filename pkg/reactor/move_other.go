//go:build !linux || portable

package reactor

// Move returns false: there are no sockets to move here.
func (s *Socket) Move(*Loop, func(*Socket, error)) bool { return false }

// Unacked returns -1: it is not known here.
func (s *Socket) Unacked() int { return -1 }

// youth is of sockets; there are none here.
type youth struct{}
