package h2

import (
	"encoding/binary"
)

func (s *Session) takePriority(f *frame) *fault {
	switch {
	case f.id == 0:
		return &fault{ProtocolError, "PRIORITY of the connection"}
	case len(f.payload) != 5:
		return s.refuse(f.id, FrameSizeError)
	case binary.BigEndian.Uint32(f.payload)&maxStreamID == f.id:
		return s.refuse(f.id, ProtocolError)
	}
	return s.glitch(unknownCost)
}

func (s *Session) takePing(f *frame) *fault {
	switch {
	case f.id != 0:
		return &fault{ProtocolError, "PING of a stream"}
	case len(f.payload) != 8:
		return &fault{FrameSizeError, "PING of a wrong size"}
	case f.has(flagAck):
		s.liveness.pinged = 0
		return nil
	}
	s.control(appendPing(s.room(17), flagAck, f.payload))
	return s.glitch(pingCost)
}

func (s *Session) takeReset(f *frame) *fault {
	switch {
	case f.id == 0:
		return &fault{ProtocolError, "RST_STREAM of the connection"}
	case len(f.payload) != 4:
		return &fault{FrameSizeError, "RST_STREAM of a wrong size"}
	case s.isIdle(f.id):
		return &fault{ProtocolError, "RST_STREAM of a stream that was not opened"}
	}
	st := s.streams[f.id]
	if st == nil {
		return s.glitch(unknownCost)
	}
	hasty := s.role == serving && s.l.Now()-st.born < int64(hastyReset) && !st.answered()
	st.wasReset(Code(binary.BigEndian.Uint32(f.payload)))
	if hasty {
		return s.wastes()
	}
	return nil
}

func (s *Session) takeGoAway(f *frame) *fault {
	switch {
	case f.id != 0:
		return &fault{ProtocolError, "GOAWAY of a stream"}
	case len(f.payload) < 8:
		return &fault{FrameSizeError, "GOAWAY of a wrong size"}
	}
	s.leaving.goAway = true
	if s.role == asking {
		last := binary.BigEndian.Uint32(f.payload) & maxStreamID
		for id, st := range s.streams {
			if id > last {
				st.wasReset(RefusedStream)
			}
		}
	}
	s.owner.Changed()
	s.leaveIfIdle()
	return s.glitch(unknownCost)
}

func (s *Session) takeWindowUpdate(f *frame) *fault {
	if len(f.payload) != 4 {
		return &fault{FrameSizeError, "WINDOW_UPDATE of a wrong size"}
	}
	if flt := s.update(); flt != nil {
		return flt
	}
	n := int64(binary.BigEndian.Uint32(f.payload) & maxStreamID)
	if f.id == 0 {
		if n == 0 {
			return &fault{ProtocolError, "WINDOW_UPDATE by nothing"}
		}
		if s.send += n; s.send > maxWindow {
			return &fault{FlowControlError, "a window of the connection that grew too large"}
		}
		s.most = max(s.most, s.send)
		s.wakeWriters()
		return nil
	}
	if s.isIdle(f.id) {
		return &fault{ProtocolError, "WINDOW_UPDATE of a stream that was not opened"}
	}
	st := s.streams[f.id]
	if st == nil {
		return nil
	}
	switch {
	case n == 0:
		return s.offends(st, ProtocolError)
	case st.send+n > maxWindow:
		return s.offends(st, FlowControlError)
	default:
		st.send += n
		st.mayWrite()
	}
	return nil
}

// takeData takes a DATA frame.
func (s *Session) takeData(f *frame) *fault {
	if f.id == 0 {
		return &fault{ProtocolError, "DATA of the connection"}
	}
	if s.isIdle(f.id) {
		return &fault{ProtocolError, "DATA of a stream that was not opened"}
	}
	whole := len(f.payload)
	if s.credit += whole; s.credit > connWindow {
		return &fault{FlowControlError, "more DATA than the connection's window"}
	}
	st := s.streams[f.id]
	if st == nil || st.recvEnd {
		s.giveCredit()
		return s.strayFrame(f.id, st)
	}
	if st.recv -= whole; st.recv < 0 {
		return s.offends(st, FlowControlError)
	}
	if flt := f.unpad(); flt != nil {
		return flt
	}
	if n := whole - len(f.payload); n > 0 {
		st.consumed(n)
	}
	if len(f.payload) == 0 && !f.has(flagEndStream) {
		s.giveCredit()
		return s.glitch(emptyCost)
	}
	s.useful()
	flt := st.takeData(f.payload, f.has(flagEndStream))
	s.giveCredit()
	return flt
}

// giveCredit lets the peer send more on the connection, once that is worth a
// frame, unless a client's streams hold too much already. Of backends many clients
// have streams, one of whom must not hold up the others.
func (s *Session) giveCredit() {
	if s.credit < connWindow/2 || s.held > mostHeld && s.role == serving {
		return
	}
	s.control(appendWindowUpdate(s.room(13), 0, uint32(s.credit)))
	s.credit = 0
}

// holds notes that streams hold n bytes more than before.
func (s *Session) holds(n int) {
	if s.held += n; n < 0 && !s.ended {
		s.giveCredit()
	}
}

// strayFrame deals with a frame of a stream that has ended. What was under way
// when we reset it is nobody's fault.
func (s *Session) strayFrame(id uint32, st *Stream) *fault {
	switch {
	case st == nil && s.wasResetByUs(id):
		return s.glitch(emptyCost)
	case st != nil:
		return s.offends(st, StreamClosed)
	}
	return s.refuse(id, StreamClosed)
}

// isIdle reports whether no stream of that number was ever opened.
func (s *Session) isIdle(id uint32) bool {
	if s.role == serving {
		return id > s.last || id%2 == 0
	}
	return id%2 == 0 || int64(id) > int64(int32(s.last))
}

func (s *Session) wasResetByUs(id uint32) bool {
	for _, r := range s.reset {
		if r == id {
			return true
		}
	}
	return false
}
