package h2

import (
	"bytes"
	"strings"
)

// Statuses of gRPC that sluice says itself.
const (
	grpcResourceExhausted = 8
	grpcInternal          = 13
	grpcUnavailable       = 14
)

// isGRPC reports whether a Content-Type is that of gRPC: but not of gRPC-Web,
// which is HTTP to everybody.
func isGRPC(contentType string) bool {
	const name = "application/grpc"
	if len(contentType) < len(name) || !strings.EqualFold(contentType[:len(name)], name) {
		return false
	}
	rest := contentType[len(name):]
	return rest == "" || rest[0] == '+' || rest[0] == ';' || rest[0] == ' '
}

// fallbackStatus is what a caller is told of an answer of sluice's own that says
// no status of gRPC, because the request was none that could be read.
func fallbackStatus(code int) int {
	switch {
	case code == 431 || code == 414 || code == 413:
		return grpcResourceExhausted
	case code < 500:
		return grpcInternal
	}
	return grpcUnavailable
}

// answer is an answer of sluice's own that becomes a response of gRPC: trailers
// alone, with its text as the message.
type answer struct {
	status int
	fields []byte // those of its head that go with it
	text   []byte
}

// startAnswer begins an answer, whose head is known.
func (st *Stream) startAnswer(code int, fields []byte, h *responseHead) {
	a := &answer{status: h.status}
	if a.status < 0 {
		a.status = fallbackStatus(code)
	}
	eachLine(fields, func(name, value []byte) {
		switch {
		case isHop(name), isOf(name, "content-length"), isOf(name, "content-type"), isOf(name, "cache-control"), isOf(name, "grpc-status"):
		default:
			a.fields = append(append(append(append(a.fields, name...), ": "...), value...), "\r\n"...)
		}
	})
	st.out.answer, st.out.state, st.out.left = a, inAnswer, max(h.length, 0)
	if h.length <= 0 || st.req.head {
		st.takeAnswer(nil)
	}
}

func isOf(name []byte, s string) bool { return strings.EqualFold(string(name), s) }

// takeAnswer takes bytes of the answer's text, and sends it once it is whole.
func (st *Stream) takeAnswer(p []byte) int {
	o := &st.out
	n := int(min(int64(len(p)), o.left))
	a := o.answer
	a.text = append(a.text, p[:n]...)
	if o.left -= int64(n); o.left > 0 && !st.req.head {
		return n
	}
	o.answer = nil
	e := st.s.encoder()
	e.status([]byte("200"))
	e.field([]byte("content-type"), []byte("application/grpc"))
	appendStatus(e, a.status, string(bytes.TrimSpace(a.text)))
	eachLine(a.fields, e.field)
	st.s.writeBlock(st.id, e, true)
	st.sent()
	return n
}

// breaking is why a call ends whose response will not be whole.
type breaking struct {
	status int // of gRPC
	why    string
}

// Breaks says why the response will not be whole, for the Close that follows: what
// a caller of gRPC is told.
func (st *Stream) Breaks(status int, why string) { st.out.breaks = breaking{status, why} }

// breakCall ends a call whose response will not be whole: callers may try again
// by their own rules, which they do not after a reset.
func (st *Stream) breakCall() {
	e := st.s.encoder()
	if !st.answered() {
		e.status([]byte("200"))
		e.field([]byte("content-type"), []byte("application/grpc"))
	}
	status, why := grpcUnavailable, "the backend broke the call off"
	if b := st.out.breaks; b.why != "" {
		status, why = b.status, b.why
	}
	appendStatus(e, status, why)
	st.s.writeBlock(st.id, e, true)
	st.sentEnd = true
	if !st.recvEnd {
		st.s.sendReset(st.id, NoError)
	}
}

// appendStatus adds a status of gRPC to a header block.
func appendStatus(e *encoder, status int, message string) {
	e.field([]byte("grpc-status"), []byte(statusText(status)))
	e.field([]byte("grpc-message"), []byte(escape(message)))
}

// escape encodes a message as gRPC over HTTP/2 asks for: what is not visible
// ASCII, and "%", by their bytes.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			const hex = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
