package l7

import (
	"bytes"
	"strconv"
)

// kind is what sluice does with a header field.
type kind uint8

const (
	kindPlain kind = iota // forwarded as it is
	kindHop               // for this connection only: dropped
	kindHost
	kindContentLength
	kindTransferEncoding
	kindConnection
	kindUpgrade
	kindExpect
	kindForwardedFor
	kindForwardedProto
	kindForwardedHost
	kindForwardedPort
	kindForwarded // RFC 7239's
	kindRealIP
	kindForwardedOther // other words on where a request came from
	kindRequestID
	kindTraceparent
	kindTracestate
	kindTrailer // which fields follow a chunked body
	kindTE
	kindOwn // what sluice says to clients: X-Sluice-*
)

// classify returns the kind of the field called name.
//
// A name with "_" where one that sluice understands has "-" is dropped:
// servers that hand headers on as environment variables cannot tell them
// apart, so it would say what the real one must not.
func classify(name []byte) kind {
	if bytes.IndexByte(name, '_') < 0 {
		return kindOf(name)
	}
	var buf [len("proxy-authorization") + 1]byte // longer names differ from all that are known
	dashed := buf[:copy(buf[:], name)]
	for i, c := range dashed {
		if c == '_' {
			dashed[i] = '-'
		}
	}
	if kindOf(dashed) != kindPlain {
		return kindHop
	}
	return kindPlain
}

func kindOf(name []byte) kind {
	switch len(name) {
	case 2:
		return kindIf(name, "te", kindTE)
	case 4:
		return kindIf(name, "host", kindHost)
	case 6:
		return kindIf(name, "expect", kindExpect)
	case 7:
		if equalFold(name, "trailer") {
			return kindTrailer
		}
		return kindIf(name, "upgrade", kindUpgrade)
	case 9:
		if equalFold(name, "x-real-ip") {
			return kindRealIP
		}
		return kindIf(name, "forwarded", kindForwarded)
	case 10:
		if equalFold(name, "keep-alive") {
			return kindHop
		}
		if equalFold(name, "tracestate") {
			return kindTracestate
		}
		return kindIf(name, "connection", kindConnection)
	case 11:
		return kindIf(name, "traceparent", kindTraceparent)
	case 12:
		if equalFold(name, "x-request-id") {
			return kindRequestID
		}
	case 14:
		if equalFold(name, "http2-settings") {
			return kindHop
		}
		if equalFold(name, "content-length") {
			return kindContentLength
		}
	case 15:
		if equalFold(name, "x-forwarded-for") {
			return kindForwardedFor
		}
	case 16:
		if equalFold(name, "proxy-connection") {
			return kindHop
		}
		if equalFold(name, "x-forwarded-host") {
			return kindForwardedHost
		}
		if equalFold(name, "x-forwarded-port") {
			return kindForwardedPort
		}
	case 17:
		if equalFold(name, "x-forwarded-proto") {
			return kindForwardedProto
		}
		if equalFold(name, "transfer-encoding") {
			return kindTransferEncoding
		}
	case 18:
		if equalFold(name, "proxy-authenticate") {
			return kindHop
		}
	case 19:
		if equalFold(name, "proxy-authorization") {
			return kindHop
		}
	}
	if len(name) >= len("x-sluice-") && equalFold(name[:len("x-sluice-")], "x-sluice-") {
		return kindOwn
	}
	if len(name) >= len("x-forwarded-") && equalFold(name[:len("x-forwarded-")], "x-forwarded-") {
		return kindForwardedOther
	}
	if len(name) >= len(clientCertPrefix) && equalFold(name[:len(clientCertPrefix)], clientCertPrefix) {
		return kindForwardedOther
	}
	return kindPlain
}

func kindIf(name []byte, lower string, k kind) kind {
	if equalFold(name, lower) {
		return k
	}
	return kindPlain
}

// equalFold reports whether b is s, which is in lower case, in any case.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != s[i] {
			return false
		}
	}
	return true
}

const maxRequestID = 128

// requestID returns the request's own ID if it is to be kept: that of a
// trusted peer, of at most 128 visible ASCII bytes.
func (h *head) requestID(trusted bool) []byte {
	if !trusted {
		return nil
	}
	for i := range h.fields {
		if f := &h.fields[i]; f.kind == kindRequestID && isRequestID(f.value) {
			return f.value
		}
	}
	return nil
}

func isRequestID(b []byte) bool {
	if len(b) == 0 || len(b) > maxRequestID {
		return false
	}
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// appendRequest appends the head that is sent to a backend: the client's own,
// less what was for the client's connection only or not the client's to say,
// and then what sluice says. target is what is forwarded of the target, and
// host stands in for a Host that an HTTP/1.0 client did not send.
func appendRequest(dst []byte, h *head, o *origin, target []byte, host string) []byte {
	dst = append(dst, h.method...)
	dst = append(dst, ' ')
	dst = append(dst, target...)
	dst = append(dst, " HTTP/1.1\r\n"...)
	switch {
	case o.host != "":
		dst = appendLine(dst, "Host", o.host)
	case len(h.host) == 0:
		dst = appendLine(dst, "Host", host)
	case h.implied:
		dst = append(append(append(dst, "Host: "...), h.host...), "\r\n"...)
	}
	dst, said := appendFields(dst, h, o)
	dst = o.appendOrigin(dst, h, said)
	dst = append(dst, "X-Request-ID: "...)
	dst = append(append(dst, o.requestID...), "\r\n"...)
	if o.mark != "" {
		dst = appendLine(dst, "CDN-Loop", o.mark)
	}
	if len(o.trace.begun) > 0 {
		dst = append(dst, "traceparent: "...)
		dst = append(append(dst, o.trace.begun...), "\r\n"...)
	}
	dst = appendFraming(dst, h.length)
	switch { // RFC 9110 7.8, 10.1.4
	case h.upgr != nil && h.trailers:
		dst = append(dst, "Connection: Upgrade, TE\r\nTE: trailers\r\n"...)
	case h.upgr != nil:
		dst = append(dst, "Connection: Upgrade\r\n"...)
	case h.trailers:
		dst = append(dst, "Connection: TE\r\nTE: trailers\r\n"...)
	}
	if h.upgr != nil {
		dst = append(dst, "Upgrade: "...)
		dst = append(append(dst, h.upgr...), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// appendFields appends those of the client's fields that are forwarded as they
// came. said tells, by the bits of their kinds, what a trusted peer has said of
// a request's origin.
func appendFields(dst []byte, h *head, o *origin) (_ []byte, said uint32) {
	for i := range h.fields {
		f := &h.fields[i]
		forward := false
		switch f.kind {
		case kindPlain, kindOwn:
			forward = true
		case kindHost:
			forward = o.host == ""
		case kindForwardedOther:
			forward = o.trusted
		case kindForwarded:
			forward = o.trusted && !o.forwarded
		case kindTrailer:
			if h.length == chunked {
				dst = appendAnnounced(dst, f)
			}
		case kindTraceparent:
			forward = o.trace.continued
		case kindTracestate:
			forward = o.trace.continued && o.trace.state
		}
		if forward {
			dst = appendField(dst, f)
		}
		if o.trusted {
			said |= 1 << f.kind
		}
	}
	return dst, said
}

// appendValues appends the values of all fields of a kind as the beginning of a
// list.
func appendValues(dst []byte, h *head, k kind) []byte {
	for i := range h.fields {
		if f := &h.fields[i]; f.kind == k && len(f.value) > 0 {
			dst = append(append(dst, f.value...), ", "...)
		}
	}
	return dst
}

// appendResponse appends the head that is sent to the client: the backend's,
// less what was for its connection only, framed by length (noLength adds no
// framing header) and with connection as the value of Connection unless empty.
func appendResponse(dst []byte, r *response, length int64, connection string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.status), 10)
	dst = append(dst, ' ')
	dst = append(append(dst, r.phrase...), "\r\n"...)
	for i := range r.fields {
		switch f := &r.fields[i]; f.kind {
		case kindHop, kindTE, kindOwn, kindConnection, kindUpgrade, kindTransferEncoding, kindContentLength:
		case kindTrailer:
			if length == chunked {
				dst = appendAnnounced(dst, f)
			}
		default:
			dst = appendField(dst, f)
		}
	}
	dst = appendFraming(dst, length)
	if connection != "" {
		dst = appendLine(dst, "Connection", connection)
	}
	if r.status == 426 && isProtocols(r.upgr) { // which protocols are asked for (RFC 9110 15.5.22)
		dst = append(dst, "Connection: Upgrade\r\nUpgrade: "...)
		dst = append(append(dst, r.upgr...), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// appendAnnounced appends a Trailer field with those of its names whose fields
// are passed on, if there are any.
func appendAnnounced(dst []byte, f *field) []byte {
	begin := len(dst)
	for rest := f.value; rest != nil; {
		var name []byte
		name, rest = nextToken(rest)
		if !isToken(name) {
			continue
		}
		if t := (field{name: name, kind: classify(name)}); !t.mayTrail() {
			continue
		}
		if len(dst) == begin {
			dst = append(append(dst, f.name...), ": "...)
		} else {
			dst = append(dst, ", "...)
		}
		dst = append(dst, name...)
	}
	if len(dst) == begin {
		return dst
	}
	return append(dst, "\r\n"...)
}

// isProtocols reports whether b is a list of protocols.
func isProtocols(b []byte) bool {
	for rest := b; rest != nil; {
		var token []byte
		if token, rest = nextToken(rest); !isProtocol(token) {
			return false
		}
	}
	return len(b) > 0
}

// appendInterim appends the head of a 1xx response.
func appendInterim(dst []byte, r *response) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.status), 10)
	dst = append(dst, ' ')
	dst = append(append(dst, r.phrase...), "\r\n"...)
	for i := range r.fields {
		switch f := &r.fields[i]; f.kind {
		case kindHop, kindTE, kindOwn, kindConnection, kindTransferEncoding, kindContentLength, kindTrailer:
		case kindUpgrade:
			if r.status == 101 {
				dst = appendField(dst, f)
			}
		default:
			dst = appendField(dst, f)
		}
	}
	if r.status == 101 {
		dst = append(dst, "Connection: Upgrade\r\n"...)
	}
	return append(dst, "\r\n"...)
}

func appendFraming(dst []byte, length int64) []byte {
	switch {
	case length == chunked:
		return append(dst, "Transfer-Encoding: chunked\r\n"...)
	case length >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, length, 10)
		return append(dst, "\r\n"...)
	}
	return dst
}

func appendField(dst []byte, f *field) []byte {
	dst = append(append(dst, f.name...), ": "...)
	return append(append(dst, f.value...), "\r\n"...)
}

func appendLine(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

// mayTrail reports whether the field may be passed on in a trailer section:
// nothing that frames, routes, authenticates or says what a body is
// (RFC 9110 6.5.1), but for its digest, which is made to be there (RFC 9530 2).
func (f *field) mayTrail() bool {
	if f.kind != kindPlain {
		return false
	}
	if equalFold(f.name, "content-digest") {
		return true
	}
	for _, name := range [...]string{
		"age", "authorization", "cache-control", "cookie", "date", "expires", "location", "max-forwards",
		"pragma", "range", "retry-after", "set-cookie", "vary", "www-authenticate",
	} {
		if equalFold(f.name, name) {
			return false
		}
	}
	for _, prefix := range [...]string{"content-", "if-"} {
		if len(f.name) >= len(prefix) && equalFold(f.name[:len(prefix)], prefix) {
			return false
		}
	}
	return true
}
