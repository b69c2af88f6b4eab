package h2

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"

	"sluice/pkg/reactor"
)

// framing is how a body reads as HTTP/1.1.
type framing uint8

const (
	raw framing = iota // by its length, or not at all
	chunked
)

// inbound is what comes of the peer, on its way to a reader of HTTP/1.1.
type inbound struct {
	text    []byte // a head
	data    []byte // from r on it is to be read
	r       int
	got     int64  // bytes of the body that have come
	trailer []byte // lines; nil if there is no such section
	framing framing
	headed  bool // the head of a response has come, which is final
	ended   bool // the reader knows that the body has ended
}

func (in *inbound) len() int { return len(in.data) - in.r }

// Stream is one of the streams of a session, which reads and takes HTTP/1.1: of a
// client's session a request, and the response to it; of a backend's the other
// way round. It is a reactor.Stream: its reader is never told of more than the
// peer has sent, and its writer not to write more than the peer takes.
type Stream struct {
	reactor.Part
	s    *Session
	id   uint32
	born int64 // in the loop's time
	req  request
	in   inbound
	out  outbound

	send int64 // how much DATA the peer takes
	recv int   // how much it may send
	most int   // how much that is at most
	owed int   // how much of its window was read and not given back

	err         error // what a reader is told once it has read what came before
	recvEnd     bool  // END_STREAM has come
	sentEnd     bool  // and was sent
	queued      bool  // it waits for the connection to take more
	unprocessed bool  // the peer has said that it did nothing for it
	removed     bool  // the session knows it no more

	cannotSwitch bool // the peer knows no extended CONNECT, and was not asked
}

var _ reactor.Stream = (*Stream)(nil)

func (s *Session) newStream(id uint32) *Stream {
	st := &Stream{s: s, id: id, born: s.l.Now(), send: s.peer.window, recv: streamWindow, most: streamWindow}
	st.Join(s.l)
	s.streams[id] = st
	return st
}

// TooLarge reports whether the head of the request is larger than may be; there
// is nothing to read then.
func (st *Stream) TooLarge() bool { return st.req.tooLarge }

// Unprocessed reports whether the backend has said that it did nothing for the
// request, so that it may be sent elsewhere.
func (st *Stream) Unprocessed() bool { return st.unprocessed }

// resetError says that the peer has reset a stream. It is an ECONNRESET.
type resetError Code

func (e resetError) Error() string { return fmt.Sprintf("h2: the stream was reset: %v", Code(e)) }
func (e resetError) Unwrap() error { return syscall.ECONNRESET }

// takeData takes bytes of the body, and that they are the last ones.
func (st *Stream) takeData(p []byte, end bool) *fault {
	in := &st.in
	in.got += int64(len(p))
	if d := st.req.declared; d >= 0 && (in.got > d || end && in.got != d) {
		if st.s.role == asking {
			st.fail(errors.New("h2: a body that is not as long as its Content-Length"))
		}
		return st.s.offends(st, ProtocolError)
	}
	in.add(p)
	st.s.holds(len(p))
	st.recvEnd = end
	st.mayRead()
	if end && st.sentEnd {
		st.remove()
	}
	return nil
}

// add keeps p.
func (in *inbound) add(p []byte) {
	if in.r > 0 && len(in.data)+len(p) > cap(in.data) {
		in.data = in.data[:copy(in.data, in.data[in.r:])]
		in.r = 0
	}
	if need := len(in.data) + len(p); need > cap(in.data) {
		grown := make([]byte, len(in.data), min(max(2*need, 1024), max(readWindow, need)))
		copy(grown, in.data)
		in.data = grown
	}
	in.data = append(in.data, p...)
}

// mayRead tells the reader that there is something.
func (st *Stream) mayRead() {
	if !st.Closed() {
		st.SetReadable(true)
		st.s.l.Again(st)
	}
}

// mayWrite tells the writer that there may be room.
func (st *Stream) mayWrite() {
	if !st.Closed() && !st.Writable() {
		st.SetWritable(true)
		st.s.l.Again(st)
	}
}

// Read reads what has come, as HTTP/1.1.
func (st *Stream) Read(p []byte) (int, error) {
	if st.Closed() {
		return 0, net.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	in := &st.in
	n := copy(p, in.text[:len(in.text)-st.headHeldBack()])
	if in.text = in.text[n:]; len(in.text) == 0 {
		in.text = nil
		if st.s.role == serving || in.headed {
			n += st.readBody(p[n:])
		}
	}
	if n > 0 {
		return n, nil
	}
	if st.err != nil {
		return 0, st.err
	}
	if in.ended && st.sentEnd || in.ended && st.s.role == asking || st.req.tunnel && in.ended {
		return 0, io.EOF
	}
	st.SetReadable(false)
	return 0, reactor.ErrAgain
}

// readBody reads what there is of the body.
func (st *Stream) readBody(p []byte) (n int) {
	in := &st.in
	if in.framing == raw {
		n = copy(p, in.data[in.r:len(in.data)-st.heldBack()])
		st.read(n)
		in.ended = in.ended || st.recvEnd && in.len() == 0
		return n
	}
	const around = len("12345\r\n\r\n")
	for in.len() > 0 && len(p)-n > around {
		k := min(in.len(), len(p)-n-around)
		b := strconv.AppendInt(p[n:n], int64(k), 16)
		b = append(append(append(b, "\r\n"...), in.data[in.r:in.r+k]...), "\r\n"...)
		n += len(b)
		st.read(k)
	}
	if st.recvEnd && in.len() == 0 && !in.ended && len(p)-n >= len("0\r\n\r\n")+len(in.trailer) {
		b := append(append(append(p[n:n], "0\r\n"...), in.trailer...), "\r\n"...)
		n += len(b)
		in.ended = true
	}
	return n
}

// headHeldBack is heldBack for the head of a request that says that nothing follows,
// while something still may, which would make it malformed.
func (st *Stream) headHeldBack() int {
	if st.s.role == serving && st.req.declared == 0 && !st.recvEnd && len(st.in.text) > 0 {
		return 1
	}
	return 0
}

// heldBack returns how much of a body the reader is not to see yet: the last byte
// of one that says its length comes with what follows it, its end or a trailer
// section, so that neither is missed by who stops reading there.
func (st *Stream) heldBack() int {
	if d := st.req.declared; d > 0 && st.in.got == d && !st.recvEnd && st.in.len() > 0 {
		return 1
	}
	return 0
}

// Trailer returns the lines of the trailer section behind a body that says its
// length, which HTTP/1.1 has no place for. They are known once the body was read.
func (st *Stream) Trailer() []byte {
	if st.in.framing == chunked {
		return nil // it is to be read
	}
	return st.in.trailer
}

// Trail has lines sent as the trailer section of a body that says its length. It
// is called before the last byte of that is written.
func (st *Stream) Trail(lines []byte) { st.out.trailer = lines }

// read counts n bytes of the body as read.
func (st *Stream) read(n int) {
	in := &st.in
	if in.r += n; in.r == len(in.data) {
		in.data, in.r = in.data[:0], 0
		if st.recvEnd {
			in.data = nil
		}
	}
	st.s.holds(-n)
	st.consumed(n)
}

// forget drops what nobody reads any more.
func (st *Stream) forget() {
	st.s.holds(-st.in.len())
	st.in.data, st.in.r = nil, 0
}

// consumed gives the peer back what was read of its window, once that is worth a
// frame.
func (st *Stream) consumed(n int) {
	st.owed += n
	if st.owed < st.most/2 || st.recvEnd || st.removed {
		return
	}
	st.owed += readWindow - st.most // somebody reads it
	st.most = readWindow
	st.recv += st.owed
	s := st.s
	s.control(appendWindowUpdate(s.room(13), st.id, uint32(st.owed)))
	st.owed = 0
}

// fail has the reader told of err once it has read what there is.
func (st *Stream) fail(err error) {
	if st.err == nil {
		st.err = err
	}
	if !st.Closed() {
		st.SetBroken()
		st.s.l.Again(st)
	}
}

// wasReset is told that the peer has reset the stream.
func (st *Stream) wasReset(c Code) {
	st.unprocessed = c == RefusedStream && st.s.role == asking && !st.in.headed
	st.remove()
	if st.s.role == asking && st.recvEnd {
		st.out.dead = true // the response is whole; it takes no more of the request
		st.mayWrite()
		return
	}
	st.fail(resetError(c))
}

// lost is told that the session has ended.
func (st *Stream) lost(err error) {
	st.removed = true
	if st.s.role == asking && st.recvEnd {
		st.out.dead = true
		st.mayWrite()
		return
	}
	if st.s.leaving.goAway && st.s.role == asking && !st.in.headed && st.out.state == inHead {
		st.unprocessed = true
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = syscall.ECONNRESET
	}
	st.fail(err)
}

// breakOff resets the stream for a fault of the peer's.
func (st *Stream) breakOff(c Code) {
	if st.removed {
		return
	}
	st.s.sendReset(st.id, c)
	st.remove()
	st.fail(resetError(c))
}

// remove has the session forget the stream.
func (st *Stream) remove() {
	if st.removed {
		return
	}
	st.removed = true
	s := st.s
	delete(s.streams, st.id)
	if len(s.streams) == 0 {
		s.liveness.idle = s.l.Now()
		s.arm(s.cfg.IdleTimeout)
	}
	s.owner.Changed()
	if s.leaving.phase != staying || s.leaving.goAway {
		s.flushSoon()
	}
}

// answered reports whether the response has begun.
func (st *Stream) answered() bool { return st.out.state != inHead }

// CloseWrite ends our direction: that of a tunnel. Of a client who has its
// response and goes on sending, it takes no more.
func (st *Stream) CloseWrite() error {
	switch {
	case st.Closed():
		return net.ErrClosed
	case st.removed || st.sentEnd && st.recvEnd:
	case st.sentEnd:
		st.s.sendReset(st.id, NoError)
		st.remove()
		st.recvEnd, st.in.ended = true, true
		st.forget()
		st.mayRead()
	case st.out.state == inTunnel:
		st.endStream()
	}
	return nil
}

// Reset makes the Close that follows tell the peer that the stream broke.
func (st *Stream) Reset() { st.out.broke = true }

// Close ends the stream. A peer that has not got all is told so.
func (st *Stream) Close() {
	if st.Closed() {
		return
	}
	if !st.removed {
		switch {
		case st.out.state == inTunnel && !st.out.broke && st.recvEnd:
			st.endStream()
		case st.s.role == serving && !st.sentEnd && st.req.grpc && !st.out.abandoned:
			st.breakCall()
		case st.s.role == serving && !st.sentEnd:
			st.s.sendReset(st.id, InternalError)
		case st.s.role == serving && !st.recvEnd:
			st.s.sendReset(st.id, NoError)
		case !st.sentEnd || !st.recvEnd:
			st.s.sendReset(st.id, Cancel)
		}
		st.remove()
	}
	st.forget()
	st.in.text = nil
	st.Leave()
}
