package h2

import "encoding/binary"

// Parameters of SETTINGS (RFC 9113 6.5.2, RFC 8441 3, RFC 9218 2.1).
const (
	settingTableSize     = 0x1
	settingPush          = 0x2
	settingMaxStreams    = 0x3
	settingWindow        = 0x4
	settingMaxFrame      = 0x5
	settingMaxHeaderList = 0x6
	settingConnect       = 0x8
	settingNoPriorities  = 0x9
)

const (
	// streamWindow is how much of a stream is taken before its reader is ready
	// for it, and readWindow how much once that has read some of it.
	streamWindow = 64 << 10
	readWindow   = 128 << 10
	// connWindow is how much may be on its way on a connection. It is credited
	// as it comes, so that no stream holds up another, until the streams of a
	// client hold mostHeld that is not read.
	connWindow = 1 << 20
	mostHeld   = 4 << 20
)

// peerSettings are what the other side asks for.
type peerSettings struct {
	window     int64  // of a new stream
	maxStreams uint32 // that we may open
	maxFrame   int
	mayConnect bool // it takes extended CONNECT
	told       bool // its first SETTINGS have come
	smallTable bool // its decoder's table is smaller than ours was to be, and it is to hear of that
}

func newPeerSettings() peerSettings {
	return peerSettings{window: firstWindow, maxFrame: maxFrame}
}

// appendSettings appends the SETTINGS of a session, and its first WINDOW_UPDATE.
func (s *Session) appendSettings(b []byte) []byte {
	type setting struct {
		id    uint16
		value uint32
	}
	list := []setting{{settingWindow, streamWindow}, {settingMaxHeaderList, uint32(s.cfg.MaxHead)}}
	if s.role == serving {
		list = append(list, setting{settingMaxStreams, uint32(s.cfg.MaxStreams)}, setting{settingConnect, 1}, setting{settingNoPriorities, 1})
	} else {
		list = append(list, setting{settingPush, 0})
	}
	b = appendFrameHeader(b, 6*len(list), frameSettings, 0, 0)
	for _, x := range list {
		b = binary.BigEndian.AppendUint16(b, x.id)
		b = binary.BigEndian.AppendUint32(b, x.value)
	}
	return appendWindowUpdate(b, 0, connWindow-firstWindow)
}

// takeSettings takes a SETTINGS frame.
func (s *Session) takeSettings(f *frame) *fault {
	switch {
	case f.id != 0:
		return &fault{ProtocolError, "SETTINGS of a stream"}
	case f.has(flagAck) && len(f.payload) != 0, len(f.payload)%6 != 0:
		return &fault{FrameSizeError, "SETTINGS of a wrong size"}
	case f.has(flagAck):
		return nil
	}
	if flt := s.glitch(settingsCost + len(f.payload)/6); flt != nil {
		return flt
	}
	first := !s.peer.told
	s.peer.told = true
	streams := uint32(maxStreamID) // no limit, unless it says one
	if !first {
		streams = s.peer.maxStreams
	}
	for p := f.payload; len(p) > 0; p = p[6:] {
		id, v := binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])
		switch id {
		case settingTableSize:
			s.peer.smallTable = s.peer.smallTable || v < decoderTable
		case settingPush:
			if v > 1 || v == 1 && s.role == asking {
				return &fault{ProtocolError, "SETTINGS_ENABLE_PUSH that is not 0 or 1"}
			}
		case settingMaxStreams:
			streams = v
		case settingWindow:
			if v > maxWindow {
				return &fault{FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE that is too large"}
			}
			if flt := s.moveWindows(int64(v) - s.peer.window); flt != nil {
				return flt
			}
			s.peer.window = int64(v)
		case settingMaxFrame:
			if v < maxFrame || v > 1<<24-1 {
				return &fault{ProtocolError, "SETTINGS_MAX_FRAME_SIZE that may not be"}
			}
		case settingConnect:
			if v > 1 {
				return &fault{ProtocolError, "SETTINGS_ENABLE_CONNECT_PROTOCOL that is not 0 or 1"}
			}
			s.peer.mayConnect = v == 1
		}
	}
	s.peer.maxStreams = streams
	s.control(appendFrameHeader(s.room(frameHeaderLen), 0, frameSettings, flagAck, 0))
	s.owner.Changed()
	return nil
}

// moveWindows changes the windows of all streams by delta, as a new initial size
// does (RFC 9113 6.9.2).
func (s *Session) moveWindows(delta int64) *fault {
	for _, st := range s.streams {
		if st.send += delta; st.send > maxWindow {
			return &fault{FlowControlError, "a window of a stream that grew too large"}
		}
		if delta > 0 {
			st.mayWrite()
		}
	}
	return nil
}
