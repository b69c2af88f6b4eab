package h2

import (
	"bytes"
	"errors"
	"time"

	"sluice/l7/http1"
)

// Told reports whether the backend has said how many requests it takes, which is
// the first thing that it says.
func (s *Session) Told() bool { return s.peer.told }

// MaxStreams returns how many requests may be under way.
func (s *Session) MaxStreams() int { return int(s.peer.maxStreams) }

// dryFor is after how long without a window a connection is left to those who use
// it already, as what they send is read by nobody.
const dryFor = 100 * time.Millisecond

// Room returns how many more requests may be under way on the session, to a
// backend; none before it was Told.
func (s *Session) Room() int {
	if s.send <= 0 && s.l.Now()-s.dry >= int64(dryFor) {
		return 0
	}
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
	if h.upgrade != nil {
		st.askToSwitch(&h)
		switch {
		case st.cannotSwitch:
			return len(rest)
		case st.req.tunnel:
			method = []byte("CONNECT")
		}
	}
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
	if st.req.tunnel {
		e.field([]byte(":protocol"), []byte(st.req.protocol))
	}
	eachLine(fields, func(name, value []byte) {
		switch {
		case isHop(name), http1.EqualFold(name, "host"):
		case st.req.tunnel && http1.EqualFold(name, "sec-websocket-key"): // RFC 8441 5
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
	case st.req.tunnel:
		o.state = inTunnel
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

var errNoSwitch = errors.New("h2: the backend takes no WebSocket, nor another protocol, over HTTP/2 (RFC 8441)")

// askToSwitch notes which protocol a request asks for. A backend that does not
// know such requests is sent none for a WebSocket, and of another protocol, which
// a server may ignore, it does not hear.
func (st *Stream) askToSwitch(h *responseHead) {
	token, _ := http1.NextToken(h.upgrade)
	switch {
	case st.s.peer.mayConnect:
		st.req.tunnel, st.req.protocol = true, string(token)
		if len(h.key) > 0 {
			st.req.accept = acceptOf(string(h.key))
		}
	case http1.EqualFold(token, "websocket"):
		st.remove()
		st.cannotSwitch = true
		st.fail(errNoSwitch)
	}
}

// CannotSwitch reports whether the backend was not asked, because it does not
// know requests for another protocol.
func (st *Stream) CannotSwitch() bool { return st.cannotSwitch }

// setSwitch makes of a response to an extended CONNECT that of a server of
// HTTP/1.1 which has switched protocols.
func (st *Stream) setSwitch(l *list) (why string) {
	in := &st.in
	l.status = "101"
	l.drop("content-length")
	b := appendHead(in.text, l)
	b = appendLine(appendLine(b, "connection", "Upgrade"), "upgrade", st.req.protocol)
	if st.req.accept != "" {
		b = appendLine(b, "sec-websocket-accept", st.req.accept)
	}
	in.headed = true
	in.text = append(b, "\r\n"...)
	st.mayRead()
	return ""
}
