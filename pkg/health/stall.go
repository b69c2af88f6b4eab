package health

import (
	"time"

	"sluice/pkg/backend"
)

// stall finds out whether a backend has stopped answering, by looking at what
// live traffic does with it every now and then. A process that is stopped still
// accepts connections, and a request to it fails only after its timeout; but
// then more is being asked than was when it last gave something, and nothing
// comes. The zero value has not looked yet.
type stall struct {
	looked  bool
	silence silence
	last    backend.Pulse
	base    int64 // slots taken before the backend last gave something
}

// silence is for how many looks in a row a backend has given nobody anything.
type silence struct {
	out   uint64
	looks int
}

// look takes what the backend has given so far, in bytes.
func (s *silence) look(out uint64) {
	s.looks++
	if out != s.out {
		s.out, s.looks = out, 0
	}
}

const (
	// silentLooks is how many looks without a byte make a stall: a second.
	silentLooks = int(time.Second / stallPoll)
	// silentNetworks is how many networks must have asked meanwhile.
	silentNetworks = 2
)

// hasStalled reports whether a backend takes connections and answers nobody:
// several networks asked and got nothing, nor did anybody else, for a second;
// and among the others somebody gives answers, and not many have such clients
// too. Servers that only listen, or have nothing to say, are all alike.
func hasStalled(own silence, unanswered, peers, peersAnswering, peersUnanswering int) bool {
	return own.looks >= silentLooks && unanswered >= silentNetworks && peersAnswering > 0 && 2*peersUnanswering < peers
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
