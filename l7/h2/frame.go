package h2

import (
	"encoding/binary"
	"fmt"
)

// Frame types (RFC 9113 6, RFC 9218 7.1).
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	framePriority     = 0x2
	frameRST          = 0x3
	frameSettings     = 0x4
	framePushPromise  = 0x5
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindowUpdate = 0x8
	frameContinuation = 0x9
)

// Flags of frames.
const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	frameHeaderLen = 9
	// maxFrame is the largest frame that is taken and sent: every peer must take
	// one of this size (RFC 9113 4.2).
	maxFrame = 16384
	// maxWindow is the largest flow-control window (RFC 9113 6.9.1).
	maxWindow = 1<<31 - 1
	// firstWindow is what a window is before anybody says otherwise.
	firstWindow = 65535
	maxStreamID = 1<<31 - 1
)

// Preface is what a client says first (RFC 9113 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Code is an error code (RFC 9113 7).
type Code uint32

// Error codes.
const (
	NoError            Code = 0x0
	ProtocolError      Code = 0x1
	InternalError      Code = 0x2
	FlowControlError   Code = 0x3
	StreamClosed       Code = 0x5
	FrameSizeError     Code = 0x6
	RefusedStream      Code = 0x7
	Cancel             Code = 0x8
	CompressionError   Code = 0x9
	EnhanceYourCalm    Code = 0xb
	InadequateSecurity Code = 0xc
	HTTP11Required     Code = 0xd
)

// String returns the code as the RFC calls it, in lower case.
func (c Code) String() string {
	switch c {
	case NoError:
		return "no_error"
	case ProtocolError:
		return "protocol_error"
	case InternalError:
		return "internal_error"
	case FlowControlError:
		return "flow_control_error"
	case StreamClosed:
		return "stream_closed"
	case FrameSizeError:
		return "frame_size_error"
	case RefusedStream:
		return "refused_stream"
	case Cancel:
		return "cancel"
	case CompressionError:
		return "compression_error"
	case EnhanceYourCalm:
		return "enhance_your_calm"
	case InadequateSecurity:
		return "inadequate_security"
	case HTTP11Required:
		return "http_1_1_required"
	}
	return fmt.Sprintf("code(%d)", uint32(c))
}

// fault is an error of the whole connection, which ends it.
type fault struct {
	code Code
	why  string
}

func (f *fault) Error() string { return "h2: " + f.code.String() + ": " + f.why }

// frame is one that has come whole. payload is valid until the next one is read.
type frame struct {
	kind, flags byte
	id          uint32
	payload     []byte
}

func (f *frame) has(flag byte) bool { return f.flags&flag != 0 }

// frameLen returns the length of the payload that a frame header announces.
func frameLen(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

// unpad takes the padding off the payload of a DATA or HEADERS frame.
func (f *frame) unpad() *fault {
	if !f.has(flagPadded) {
		return nil
	}
	if len(f.payload) == 0 {
		return &fault{FrameSizeError, "a padded frame without the length of its padding"}
	}
	n := int(f.payload[0])
	f.payload = f.payload[1:]
	if n > len(f.payload) {
		return &fault{ProtocolError, "padding that is longer than its frame"}
	}
	f.payload = f.payload[:len(f.payload)-n]
	return nil
}

func appendFrameHeader(b []byte, n int, kind, flags byte, id uint32) []byte {
	b = append(b, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	return binary.BigEndian.AppendUint32(b, id)
}

func appendRST(b []byte, id uint32, c Code) []byte {
	b = appendFrameHeader(b, 4, frameRST, 0, id)
	return binary.BigEndian.AppendUint32(b, uint32(c))
}

func appendWindowUpdate(b []byte, id uint32, n uint32) []byte {
	b = appendFrameHeader(b, 4, frameWindowUpdate, 0, id)
	return binary.BigEndian.AppendUint32(b, n)
}

func appendGoAway(b []byte, last uint32, c Code, why string) []byte {
	b = appendFrameHeader(b, 8+len(why), frameGoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	b = binary.BigEndian.AppendUint32(b, uint32(c))
	return append(b, why...)
}

func appendPing(b []byte, flags byte, data []byte) []byte {
	return append(appendFrameHeader(b, 8, framePing, flags, 0), data...)
}

// appendBlock appends a header block as HEADERS and, if it is long, CONTINUATION.
func appendBlock(b []byte, id uint32, block []byte, endStream bool) []byte {
	kind, flags := byte(frameHeaders), byte(0)
	if endStream {
		flags = flagEndStream
	}
	for {
		n := min(len(block), maxFrame)
		if n == len(block) {
			flags |= flagEndHeaders
		}
		b = append(appendFrameHeader(b, n, kind, flags, id), block[:n]...)
		if block = block[n:]; len(block) == 0 {
			return b
		}
		kind, flags = frameContinuation, 0
	}
}

// Codes returns the codes for which a session is ended, for whoever counts them.
func Codes() []Code {
	return []Code{ProtocolError, InternalError, FlowControlError, StreamClosed, FrameSizeError, CompressionError, EnhanceYourCalm}
}
