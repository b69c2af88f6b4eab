//go:build !linux || portable

package reactor

// Move returns false: there are no sockets to move here.
func (s *Socket) Move(*Loop, func(*Socket, error)) bool { return false }

// Unacked returns -1: it is not known here.
func (s *Socket) Unacked() int { return -1 }

// youth is of sockets; there are none here.
type youth struct{}

// MovePair does the same with two sockets; here, none can be moved.
func MovePair(_, _ *Socket, _ *Loop, _ func(a, b *Socket, err error)) bool { return false }

// Shed returns nil: no stream can be moved.
func (l *Loop) Shed(*Socket, int64) *Loop { return nil }

// Divert does nothing: no stream can be moved.
func (l *Loop) Divert(*Loop) {}
