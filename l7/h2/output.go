package h2

import (
	"errors"

	"sluice/pkg/reactor"
)

const (
	// outFull is how much may wait for the peer to take it until streams may
	// not add DATA: beside what they hold themselves.
	outFull = 64 << 10
	// outMost is how much may wait altogether. Beyond it are answers to frames
	// that bring nothing, of a peer that takes none of them.
	outMost = 1 << 20
	// mostReserve is how much of a backend's connection window one stream leaves to
	// others, or an eighth: servers open windows of streams again when half of
	// them, or three quarters, were read.
	mostReserve = 64 << 10
	// turn is how much DATA a stream may send at once while others wait.
	turn = maxFrame
)

// output is what waits for the peer to take it.
type output struct {
	b       []byte // borrowed from the loop; from r on it is to be written
	r       int
	waiting []*Stream // for room, or for the connection's window; first come first
	due     bool      // a flush is on its way
}

func (o *output) len() int { return len(o.b) - o.r }

func (o *output) drop(l *reactor.Loop) {
	if o.b != nil {
		l.Return(o.b)
	}
	o.b, o.r, o.waiting = nil, 0, nil
}

// room returns what is to be written, for n bytes more to be appended; control
// takes it back.
func (s *Session) room(int) []byte {
	if s.out.b == nil {
		s.out.b = s.l.Borrow(nil)
	}
	return s.out.b
}

// control takes what room has returned, with something appended, and sees to it
// that it goes out.
func (s *Session) control(b []byte) {
	s.out.b = b
	s.flushSoon()
}

// flushSoon has what waits written at the end of the turn, with what others have
// to say until then.
func (s *Session) flushSoon() {
	if !s.reading && !s.out.due && !s.ended {
		s.out.due = true
		s.l.Again(s.stream)
	}
}

// flush writes what the peer takes.
func (s *Session) flush() {
	s.out.due = false
	for o := &s.out; !s.ended && o.len() > 0; {
		n, err := s.stream.Write(o.b[o.r:])
		if n > 0 {
			o.r += n
			s.liveness.moved = s.l.Now()
		}
		if o.r == len(o.b) {
			s.l.Return(o.b)
			o.b, o.r = nil, 0
		}
		switch {
		case errors.Is(err, reactor.ErrAgain) || err == nil && o.len() > 0 && n == 0:
			if o.len() > outMost {
				s.end(EnhanceYourCalm, errors.New("h2: the peer takes nothing and asks for more"))
				return
			}
			s.arm(s.cfg.StallTimeout)
			o.compact()
			s.wakeWriters()
			return
		case err != nil:
			s.end(NoError, err)
			return
		}
	}
	if !s.ended {
		s.liveness.moved = s.l.Now()
		s.wakeWriters()
		s.leaveIfIdle()
	}
}

// compact moves what is left to the front, if that is little.
func (o *output) compact() {
	if left := o.len(); o.r > 0 && left < o.r {
		copy(o.b, o.b[o.r:])
		o.b, o.r = o.b[:left], 0
	}
}

// Room returns how many bytes of a body the peer takes now.
func (st *Stream) Room() int {
	return int(max(0, min(st.s.send, st.mayTake(), int64(outFull-st.s.out.len()))))
}

// allowance returns how much DATA st may send now, and notes that it waits if
// that is nothing.
func (s *Session) allowance(st *Stream) int {
	most := st.mayTake()
	n := int(min(s.send, most, int64(outFull-s.out.len())))
	if n > 0 {
		if len(s.out.waiting) > 0 {
			n = min(n, turn)
		}
		return n
	}
	if most > 0 && !st.queued {
		st.queued = true
		s.out.waiting = append(s.out.waiting, st)
	}
	return 0
}

// mayTake returns how much the stream's window allows, of a backend also how much
// that leaves for others: some have windows of streams as large as that of the
// connection, and one upload that nobody reads would be the last.
func (st *Stream) mayTake() int64 {
	s := st.s
	if s.role == serving {
		return st.send
	}
	unread := s.peer.window - st.send
	return min(st.send, s.most-min(s.most/8, mostReserve)-unread)
}

// wakeWriters wakes the streams that wait for room, if there is some.
func (s *Session) wakeWriters() {
	if len(s.out.waiting) == 0 || s.send <= 0 || s.out.len() >= outFull/2 {
		return
	}
	waiting := s.out.waiting
	s.out.waiting = nil
	for _, st := range waiting {
		st.queued = false
		st.mayWrite()
	}
}

// writeData sends data, which allowance has granted, as one or more DATA frames.
func (s *Session) writeData(st *Stream, data []byte, endStream bool) {
	st.send -= int64(len(data))
	if s.send -= int64(len(data)); s.send <= 0 {
		s.dry = s.l.Now()
	}
	b := s.room(len(data) + frameHeaderLen)
	for {
		n := min(len(data), maxFrame)
		flags := byte(0)
		if endStream && n == len(data) {
			flags = flagEndStream
		}
		b = append(appendFrameHeader(b, n, frameData, flags, st.id), data[:n]...)
		if data = data[n:]; len(data) == 0 {
			break
		}
	}
	s.control(b)
	s.useful()
	s.guard.updates = max(0, s.guard.updates-windowsPerData)
}
