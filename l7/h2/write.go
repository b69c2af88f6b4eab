package h2

import (
	"bytes"
	"errors"
	"net"
	"syscall"

	"sluice/l7/http1"
	"sluice/pkg/reactor"
)

// outState is where in a message of HTTP/1.1 a writer is.
type outState uint8

const (
	inHead     outState = iota
	inSized             // a body of a known length
	inSize              // the line before a chunk
	inChunk             // its data
	inChunkEnd          // what follows them
	inTrailer
	inTunnel // bytes that are what they are
	inAnswer // the body of an answer of ours that becomes a status of gRPC
	inNothing
)

// outbound is a message of HTTP/1.1 on its way to the peer. Who writes it is
// sluice itself, so that its framing is taken for what it says.
type outbound struct {
	state     outState
	left      int64   // bytes of the body, or of the chunk
	answer    *answer // that is being written
	trailer   []byte  // lines that follow a body of a known length
	breaks    breaking
	broke     bool // Reset was called
	dead      bool // the peer takes no more, and needs no more
	abandoned bool // nobody waits for it
}

var errFraming = errors.New("h2: a message of ours that is not framed as it should be")

// Write takes a message as HTTP/1.1, as much of it as the peer takes. A head is
// taken whole or not at all.
func (st *Stream) Write(p []byte) (n int, err error) {
	switch {
	case st.Closed():
		return 0, net.ErrClosed
	case st.out.dead:
		return 0, syscall.EPIPE
	case st.err != nil && st.removed:
		return 0, st.err
	}
	for n < len(p) {
		k, err := st.write(p[n:])
		if err != nil {
			return n, err
		}
		if k == 0 {
			break
		}
		n += k
	}
	if n < len(p) {
		st.SetWritable(false)
		if n == 0 && len(p) > 0 {
			return 0, reactor.ErrAgain
		}
	}
	return n, nil
}

// write takes the next part of a message, or nothing if that has to wait.
func (st *Stream) write(p []byte) (int, error) {
	o := &st.out
	switch o.state {
	case inHead:
		n := bytes.Index(p, []byte("\r\n\r\n"))
		if n < 0 {
			return 0, errFraming
		}
		n += 4
		if st.s.role == asking {
			return n + st.writeRequest(p[:n], p[n:]), nil
		}
		more, err := st.writeResponse(p[:n], p[n:])
		return n + more, err
	case inSized:
		n := st.allowed(p, o.left)
		if n == 0 {
			return 0, nil
		}
		o.left -= int64(n)
		st.writeData(p[:n], o.left == 0 && len(o.trailer) == 0)
		if o.left == 0 && len(o.trailer) > 0 {
			st.endWith(o.trailer)
		}
		return n, nil
	case inSize:
		return st.takeSize(p)
	case inChunk:
		n := st.allowed(p, o.left)
		if n == 0 {
			return 0, nil
		}
		if o.left -= int64(n); o.left > 0 {
			st.writeData(p[:n], false)
			return n, nil
		}
		o.state = inChunkEnd
		if end := lastChunk(p[n:], "\r\n0\r\n\r\n"); end > 0 {
			st.writeData(p[:n], true)
			return n + end, nil
		}
		st.writeData(p[:n], false)
		return n, nil
	case inChunkEnd:
		if len(p) < 2 || p[0] != '\r' || p[1] != '\n' {
			return 0, errFraming
		}
		o.state = inSize
		return 2, nil
	case inTrailer:
		return st.takeTrailerOut(p)
	case inTunnel:
		n := st.allowed(p, int64(len(p)))
		if n > 0 {
			st.s.writeData(st, p[:n], false)
		}
		return n, nil
	case inAnswer:
		return st.takeAnswer(p), nil
	}
	return len(p), nil // surplus
}

// lastChunk returns the length of end if p begins with it, and else 0.
func lastChunk(p []byte, end string) int {
	if len(p) >= len(end) && string(p[:len(end)]) == end {
		return len(end)
	}
	return 0
}

// allowed returns how much of p, and of what is left of a body, may be sent now.
func (st *Stream) allowed(p []byte, left int64) int {
	n := int(min(int64(len(p)), left))
	if n == 0 {
		return 0
	}
	return min(n, st.s.allowance(st))
}

// writeData sends data, the last of the stream if end.
func (st *Stream) writeData(data []byte, end bool) {
	st.s.writeData(st, data, end)
	if end {
		st.sent()
	}
}

// endStream ends our direction with an empty DATA frame.
func (st *Stream) endStream() {
	st.s.control(appendFrameHeader(st.s.room(frameHeaderLen), 0, frameData, flagEndStream, st.id))
	st.sent()
}

// sent notes that END_STREAM was sent.
func (st *Stream) sent() {
	st.out.state, st.sentEnd = inNothing, true
	st.s.answers()
	switch {
	case st.recvEnd:
		st.remove()
		fallthrough
	case st.s.role == serving && st.in.ended:
		st.mayRead() // the end of the stream
	}
}

// takeSize takes the line before a chunk.
func (st *Stream) takeSize(p []byte) (int, error) {
	n := bytes.IndexByte(p, '\n')
	if n < 1 {
		return 0, errFraming
	}
	size := int64(0)
	for _, c := range p[:n-1] {
		switch {
		case '0' <= c && c <= '9':
			size = size<<4 | int64(c-'0')
		case 'a' <= c && c <= 'f':
			size = size<<4 | int64(c-'a'+10)
		default:
			return 0, errFraming
		}
	}
	st.out.left, st.out.state = size, inChunk
	if size == 0 {
		st.out.state = inTrailer
	}
	return n + 1, nil
}

// takeTrailerOut takes a trailer section, with the empty line that ends it.
func (st *Stream) takeTrailerOut(p []byte) (int, error) {
	if len(p) >= 2 && p[0] == '\r' && p[1] == '\n' {
		st.endStream()
		return 2, nil
	}
	n := bytes.Index(p, []byte("\r\n\r\n"))
	if n < 0 {
		return 0, errFraming
	}
	st.endWith(p[:n+2])
	return n + 4, nil
}

// endWith ends our direction with lines as the trailer section.
func (st *Stream) endWith(lines []byte) {
	e := st.s.encoder()
	eachLine(lines, e.field)
	st.s.writeBlock(st.id, e, true)
	st.sent()
}

// eachLine calls f for each line of a header block of ours.
func eachLine(p []byte, f func(name, value []byte)) {
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n')
		if n < 1 {
			return
		}
		line := bytes.TrimSuffix(p[:n], []byte("\r"))
		p = p[n+1:]
		if name, value, ok := bytes.Cut(line, []byte(":")); ok {
			f(name, http1.TrimSpace(value))
		}
	}
}
