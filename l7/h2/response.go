package h2

import (
	"strconv"

	"sluice/l7/http1"
)

// writeResponse sends the head of a response that sluice has made for a client of
// HTTP/1.1. It returns how much of rest, what follows the head, went with it.
func (st *Stream) writeResponse(head, rest []byte) (more int, err error) {
	line, fields := cutLine(head)
	if len(line) < len("HTTP/1.1 200") {
		return 0, errFraming
	}
	status, code := line[9:12], atoi(line[9:12])
	var h responseHead
	h.length, h.status = -1, -1
	eachLine(fields, h.look)
	if st.req.tunnel && code == 101 {
		return 0, st.writeSwitch(fields, &h)
	}
	if st.req.grpc && h.own && code >= 300 {
		st.startAnswer(code, fields, &h)
		return 0, nil
	}
	e := st.s.encoder()
	e.status(status)
	bare := st.req.grpc && h.length == 0 // trailers-only, of which HTTP/1.1 says that it has no body
	eachLine(fields, func(name, value []byte) {
		switch {
		case http1.EqualFold(name, "content-length") && bare:
		case isHop(name):
		default:
			e.field(name, value)
		}
	})
	o := &st.out
	if code < 200 {
		st.s.writeBlock(st.id, e, false)
		return 0, nil
	}
	end := false
	switch {
	case st.req.head || code == 204 || code == 304 || h.length == 0:
		end = true
	case h.chunked:
		o.state = inSize
		if more = lastChunk(rest, "0\r\n\r\n"); more > 0 {
			end = true
		}
	case h.length > 0:
		o.state, o.left = inSized, h.length
	default:
		return 0, errFraming // until the end of the connection: not to HTTP/1.1
	}
	st.s.writeBlock(st.id, e, end)
	if end {
		st.sent()
	}
	return more, nil
}

// responseHead is what concerns the framing of a response, and who made it.
type responseHead struct {
	length  int64 // -1 if it is not said
	chunked bool
	own     bool // sluice made it itself
	status  int  // of gRPC; -1 if it is not said
	accept  []byte
	upgrade []byte // the protocols that are asked for, or switched to
	key     []byte // of a WebSocket
}

func (h *responseHead) look(name, value []byte) {
	switch {
	case http1.EqualFold(name, "content-length"):
		if n, ok := http1.ParseLength(value); ok {
			h.length = n
		}
	case http1.EqualFold(name, "transfer-encoding"):
		h.chunked = true
	case http1.EqualFold(name, "x-sluice-reason"):
		h.own = true
	case http1.EqualFold(name, "grpc-status"):
		if n, ok := http1.ParseLength(value); ok {
			h.status = int(n)
		}
	case http1.EqualFold(name, "sec-websocket-accept"):
		h.accept = value
	case http1.EqualFold(name, "sec-websocket-key"):
		h.key = value
	case http1.EqualFold(name, "upgrade"):
		h.upgrade = value
	}
}

// writeSwitch answers an extended CONNECT whose backend has switched protocols
// (RFC 8441 5).
func (st *Stream) writeSwitch(fields []byte, h *responseHead) error {
	if st.req.accept != "" && string(h.accept) != st.req.accept {
		return errFraming
	}
	e := st.s.encoder()
	e.status([]byte("200"))
	eachLine(fields, func(name, value []byte) {
		if !isHop(name) && !http1.EqualFold(name, "sec-websocket-accept") {
			e.field(name, value)
		}
	})
	st.s.writeBlock(st.id, e, false)
	st.out.state = inTunnel
	return nil
}

// isHop reports whether a field is for a connection of HTTP/1.1.
func isHop(name []byte) bool {
	switch len(name) {
	case 7:
		return http1.EqualFold(name, "upgrade")
	case 10:
		return http1.EqualFold(name, "connection") || http1.EqualFold(name, "keep-alive")
	case 16:
		return http1.EqualFold(name, "proxy-connection")
	case 17:
		return http1.EqualFold(name, "transfer-encoding")
	}
	return false
}

// cutLine cuts the first line off a head.
func cutLine(head []byte) (line, rest []byte) {
	for i, c := range head {
		if c == '\n' {
			return head[:i-1], head[i+1:]
		}
	}
	return head, nil
}

func atoi(b []byte) (n int) {
	for _, c := range b {
		n = n*10 + int(c-'0')
	}
	return n
}

// setResponse makes of a header list the head of a response of HTTP/1.1, or says
// what is wrong with it.
func (st *Stream) setResponse(l *list, end bool) (why string) {
	in, r := &st.in, &st.req
	switch {
	case l.tooLarge:
		return "its head is too large"
	case l.bad != "":
		return l.bad
	case !l.has(hasStatus, 0) || len(l.status) != 3:
		return "a head without a :status, or with more than that"
	}
	status, ok := http1.ParseLength([]byte(l.status))
	switch {
	case !ok || status < 100 || status == 101: // RFC 9113 8.6
		return "a :status that may not be"
	case status < 200 && end:
		return "an interim response that is the last"
	case status < 200:
		in.text = append(appendHead(in.text, l), "\r\n"...)
		st.mayRead()
		return ""
	case r.tunnel && status < 300 && !end:
		return st.setSwitch(l)
	}
	r.tunnel = false
	if why := st.takeLength(l); why != "" {
		return why
	}
	none := r.head || status == 204 || status == 304 // there is no body whatever it says
	if end && r.declared > 0 && !none {
		return "a Content-Length of a body that is not there"
	}
	if r.declared == 0 && !end && !none { // a trailer section is to come
		r.declared = -1
		l.drop("content-length")
	}
	b := appendHead(in.text, l)
	in.headed = true
	switch {
	case none, r.declared >= 0:
	case end:
		b = append(b, "content-length: 0\r\n"...)
	default:
		in.framing = chunked
		b = append(b, "transfer-encoding: chunked\r\n"...)
	}
	if none {
		r.declared = -1
	}
	b = append(b, "connection: close\r\n"...) // of what looks like one to who reads
	if st.recvEnd = end; end {
		in.ended = in.framing == raw
	}
	in.text = append(b, "\r\n"...)
	st.mayRead()
	if end && st.sentEnd {
		st.remove()
	}
	return ""
}

// appendHead appends a head of a response without the empty line that ends it.
func appendHead(b []byte, l *list) []byte {
	b = append(append(append(b, "HTTP/1.1 "...), l.status...), " \r\n"...)
	return appendFields(b, l.fields)
}

// takeLength notes what a response says of its length, or says what is wrong
// with that.
func (st *Stream) takeLength(l *list) (why string) {
	r := &st.req
	r.declared = -1
	for i := range l.fields {
		if f := &l.fields[i]; f.Name == "content-length" {
			n, ok := http1.ParseLength([]byte(f.Value))
			if !ok || r.declared >= 0 {
				return "a Content-Length that is no number, or several"
			}
			r.declared = n
		}
	}
	return ""
}

// statusText is what a status of gRPC is as a number in text.
func statusText(c int) string { return strconv.Itoa(c) }
