package h2

import (
	"bytes"

	"sluice/l7/http1"
)

// Told reports whether the backend has said how many requests it takes, which is
// the first thing that it says.
func (s *Session) Told() bool { return s.peer.told }

// MaxStreams returns how many requests may be under way.
func (s *Session) MaxStreams() int { return int(s.peer.maxStreams) }

// Room returns how many more requests may be under way on the session, to a
// backend; none before it was Told.
func (s *Session) Room() int {
	if s.ended || !s.peer.told || s.leaving.goAway || s.leaving.phase != staying || s.last < 1<<31 && s.last > maxStreamID-2 {
		return 0
	}
	return int(s.peer.maxStreams) - len(s.streams)
}

// Open returns a new stream for a request to a backend. There must be Room.
func (s *Session) Open() *Stream {
	s.last += 2
	st := s.newStream(s.last)
	st.req.declared = -1
	st.SetWritable(true)
	s.arm(probeAfter)
	if s.liveness.heard < s.l.Now()-int64(probeAfter) && len(s.streams) == 1 {
		s.liveness.heard = s.l.Now() // it had no reason to say anything
	}
	return st
}

// Places in the static table of HPACK (RFC 7541, appendix A).
const (
	indexAuthority = 1
	indexMethod    = 2
	indexPath      = 4
	indexScheme    = 6
)

// writeRequest sends the head of a request that sluice has made for a backend of
// HTTP/1.1. It returns how much of rest, what follows the head, went with it.
func (st *Stream) writeRequest(head, rest []byte) (more int) {
	line, fields := cutLine(head)
	method, target, _ := bytes.Cut(line, []byte(" "))
	target, _, _ = bytes.Cut(target, []byte(" "))
	st.req.head = string(method) == "HEAD"
	var h responseHead
	h.length = -1
	eachLine(fields, h.look)
	e := st.s.encoder()
	e.pseudo(indexMethod, method)
	scheme := "http"
	if st.s.cfg.Secure {
		scheme = "https"
	}
	e.pseudo(indexScheme, []byte(scheme))
	eachLine(fields, func(name, value []byte) {
		if http1.EqualFold(name, "host") {
			e.pseudo(indexAuthority, value)
		}
	})
	e.pseudo(indexPath, target)
	eachLine(fields, func(name, value []byte) {
		switch {
		case isHop(name), http1.EqualFold(name, "host"):
		case http1.EqualFold(name, "te"):
			e.field(name, []byte("trailers"))
		default:
			e.field(name, value)
			if http1.EqualFold(name, "content-type") {
				st.req.grpc = isGRPC(string(value))
			}
		}
	})
	o, end := &st.out, false
	switch {
	case h.chunked:
		o.state = inSize
		if more = lastChunk(rest, "0\r\n\r\n"); more > 0 {
			end = true
		}
	case h.length > 0:
		o.state, o.left = inSized, h.length
	default:
		end = true
	}
	st.s.writeBlock(st.id, e, end)
	if end {
		st.sent()
	}
	return more
}
