package health

import "sluice/pkg/backend"

// stall finds out whether a backend has stopped answering, by looking at what
// live traffic does with it every now and then. A process that is stopped still
// accepts connections, and a request to it fails only after its timeout; but
// then more is being asked than was when it last gave something, and nothing
// comes. The zero value has not looked yet.
type stall struct {
	looked bool
	last   backend.Pulse
	base   int64 // slots taken before the backend last gave something
}

// look takes the pulse and reports whether the backend seems to have stalled
// since it was last reported: it was silent from the last look to this one.
func (s *stall) look(now backend.Pulse) (stalled bool) {
	last := s.last
	s.last = now
	switch {
	case !s.looked:
		s.looked, s.base = true, now.Active
		return false
	case !last.Silent(now):
		s.base = min(last.Active, now.Active)
		return false
	case now.Active > s.base:
		s.base = now.Active
		return true
	}
	s.base = now.Active
	return false
}
