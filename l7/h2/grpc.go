package h2

import (
	"bytes"
	"strings"
)

// Statuses of gRPC that sluice says itself.
const (
	grpcUnknown           = 2
	grpcDeadlineExceeded  = 4
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

// isGRPC reports whether a Content-Type is that of gRPC: but not of gRPC-Web,
// which is HTTP to everybody.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';' || rest[0] == ' ')
}

// grpcStatus returns what a caller of gRPC is told where a client of HTTP gets an
// answer of sluice's own with such a status, for such a reason.
func grpcStatus(code int, reason string) int {
	switch reason {
	case "no_route", "bad_method":
		return grpcUnimplemented
	case "rate_limited", "body_too_large", "head_too_large", "target_too_long", "overloaded", "no_slot":
		return grpcResourceExhausted
	case "response_timeout", "total_timeout", "request_timeout", "backend_stalled":
		return grpcDeadlineExceeded
	case "unauthorized":
		return grpcUnauthenticated
	case "forbidden":
		return grpcPermissionDenied
	case "bad_response", "bad_request", "internal_error", "loop_detected":
		return grpcInternal
	}
	switch {
	case code < 400:
		return grpcUnknown // sent elsewhere, which no caller of gRPC does
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
	a := &answer{status: grpcStatus(code, string(h.reason))}
	eachLine(fields, func(name, value []byte) {
		switch {
		case isHop(name), isOf(name, "content-length"), isOf(name, "content-type"), isOf(name, "cache-control"):
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

// breakCall ends a call whose response will not be whole: callers may try again
// by their own rules, which they do not after a reset.
func (st *Stream) breakCall() {
	e := st.s.encoder()
	if !st.answered() {
		e.status([]byte("200"))
		e.field([]byte("content-type"), []byte("application/grpc"))
	}
	appendStatus(e, grpcUnavailable, "the backend broke the call off")
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
