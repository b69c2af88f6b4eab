package l7

import (
	"bytes"
	"math"
)

// A field is one header line. Its slices alias the buffer it was parsed from.
type field struct {
	name, value []byte
	kind        kind
}

// Lengths of bodies that are not known from the head.
const (
	chunked    int64 = -1 // framed by Transfer-Encoding: chunked
	noLength   int64 = -2 // a request without a body, a response that ends with its connection
	maxFields        = 200
	maxPortLen       = 5
	maxTarget        = 16 << 10 // bytes of a request target; RFC 9112 3 asks for 8000 at least
)

// head is a request head that passed every check. Its slices alias the bytes
// it was parsed from.
type head struct {
	method   []byte
	target   []byte // origin-form, or "*"; what is forwarded, byte for byte
	path     []byte // target up to '?'; what is routed on
	host     []byte // as received; empty only for HTTP/1.0
	fields   []field
	length   int64  // of the body: its length, chunked, or noLength
	http10   bool   // the client speaks HTTP/1.0
	close    bool   // the client wants no second request on its connection
	expect   bool   // the client waits for 100 Continue before it sends the body
	trailers bool   // the client takes a trailer section
	implied  bool   // host is from the target: there is no Host, as HTTP/1.0 allows
	upgr     []byte // the protocols it asks to switch to, nil if none
	binds    bool   // its credentials authenticate the connection
	limits   limits // that parse keeps to; whoever parses sets them
}

// reset empties h but keeps its memory.
func (h *head) reset() {
	clear(h.fields)
	*h = head{fields: h.fields[:0], limits: h.limits}
}

// scanHead looks for the end of the request head that p begins with; the
// first from bytes were looked at before. It returns the head's length, the
// empty line included, or 0 if there is more to come. A line that does not end
// in CRLF is no line, and never becomes one.
func scanHead(p []byte, from int) (n int, ok bool) {
	for {
		i := bytes.IndexByte(p[from:], '\n')
		if i < 0 {
			return 0, true
		}
		i += from
		if i == 0 || p[i-1] != '\r' {
			return 0, false
		}
		if i == 1 || p[i-2] == '\n' {
			return i + 1, true
		}
		from = i + 1
	}
}

// judgeStart judges what there is of a head that is not complete, so that
// what cannot become a request is not waited for.
func judgeStart(p []byte, maxTarget int) (Reason, string) {
	line, _, whole := bytes.Cut(p, []byte("\r\n"))
	if whole {
		_, _, r, why := splitRequestLine(line, maxTarget)
		return r, why
	}
	method, _, _ := bytes.Cut(line, []byte(" "))
	if method = bytes.TrimSuffix(method, []byte("\r")); len(method) > 0 && !isToken(method) {
		return BadRequest, "the method is not a token"
	}
	if len(line) > len(method)+1+maxTarget+len(" HTTP/1.1\r") {
		return TargetTooLong, "the request target is too long"
	}
	return 0, ""
}

// splitRequestLine takes the first line of a request apart.
func splitRequestLine(line []byte, maxTarget int) (method, target []byte, r Reason, why string) {
	i, j := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ' ')
	if i < 0 || i == j {
		return nil, nil, BadRequest, "the request line has not three parts"
	}
	method, target = line[:i], line[i+1:j]
	switch proto := line[j+1:]; {
	case isHTTP1(proto):
	case len(proto) == len("HTTP/x.y") && string(proto[:5]) == "HTTP/":
		return nil, nil, BadVersion, "only HTTP/1 is spoken here"
	default:
		return nil, nil, BadRequest, "the request line does not end in a version"
	}
	if !isToken(method) {
		return nil, nil, BadRequest, "the method is not a token"
	}
	if len(target) > maxTarget {
		return nil, nil, TargetTooLong, "the request target is too long"
	}
	return method, target, 0, ""
}

// isHTTP1 reports whether b is a version that is understood: any minor one of
// HTTP/1 is compatible (RFC 9110 2.5).
func isHTTP1(b []byte) bool {
	return len(b) == len("HTTP/1.x") && string(b[:7]) == "HTTP/1." && '0' <= b[7] && b[7] <= '9'
}

// parse parses and judges a request head, with the empty line that ends it.
// It answers 0 and fills h if the request may be forwarded, else why not. What
// two programs could read differently is refused, so that what is forwarded
// means the same to everybody.
func (h *head) parse(raw []byte) (Reason, string) {
	h.reset()
	n := bytes.IndexByte(raw, '\n') // there is one, after a CR: scanHead saw to it
	line := raw[:n-1]
	method, target, r, why := splitRequestLine(line, h.limits.maxTarget())
	if r != 0 {
		return r, why
	}
	h.http10 = line[len(line)-1] == '0'
	return h.check(method, target, raw[n+1:])
}

// check judges the parts of a head: the method, the target, and the header
// block with the empty line that ends it.
func (h *head) check(method, target, raw []byte) (Reason, string) {
	if equalFold(method, "connect") || equalFold(method, "trace") {
		return BadMethod, "CONNECT and TRACE are not allowed"
	}
	if equalFold(method, "head") && string(method) != "HEAD" {
		// What a server takes for HEAD has no body, and else one.
		return BadRequest, "the method is HEAD in another case"
	}
	h.method = method
	if r, why := h.parseFields(raw); r != 0 {
		return r, why
	}
	if r, why := h.interpret(); r != 0 {
		return r, why
	}
	return h.parseTarget(target)
}

// parseFields splits raw into h.fields.
func (h *head) parseFields(raw []byte) (Reason, string) {
	for len(raw) > 0 {
		n := bytes.IndexByte(raw, '\n')
		if n < 1 || raw[n-1] != '\r' {
			return BadRequest, "a header line does not end in CRLF"
		}
		line := raw[:n-1]
		raw = raw[n+1:]
		if len(line) == 0 {
			if len(raw) != 0 {
				return BadRequest, "there are bytes after the head"
			}
			return 0, ""
		}
		if line[0] == ' ' || line[0] == '\t' {
			return BadRequest, "a header line is folded"
		}
		f, ok := parseField(line)
		if !ok {
			return BadRequest, fieldFault(line)
		}
		if len(h.fields) >= h.limits.maxFields() {
			return HeadTooLarge, "there are too many header lines"
		}
		h.fields = append(h.fields, f)
	}
	return 0, "" // an HTTP/1.0 request may have no header at all
}

// parseField splits one line, without its line end, at the colon.
func parseField(line []byte) (field, bool) {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || !isToken(line[:colon]) {
		return field{}, false
	}
	value := trimSpace(line[colon+1:])
	if !isFieldValue(value) {
		return field{}, false
	}
	return field{name: line[:colon], value: value, kind: classify(line[:colon])}, true
}

// fieldFault says what is wrong with a line that parseField does not take.
func fieldFault(line []byte) string {
	name, _, ok := bytes.Cut(line, []byte(":"))
	switch {
	case !ok:
		return "a header line has no colon"
	case len(name) == 0:
		return "a header line has no name"
	case name[len(name)-1] == ' ' || name[len(name)-1] == '\t':
		return "a header line has a space before its colon"
	case !isToken(name):
		return "the name of a header has a byte that no name has"
	case bytes.IndexByte(line, 0) >= 0:
		return "the value of a header has a NUL"
	case bytes.IndexByte(line, '\r') >= 0:
		return "the value of a header has a bare CR"
	}
	return "the value of a header has a control byte"
}

// interpret draws from the fields what concerns framing and the connection.
func (h *head) interpret() (Reason, string) {
	var lengths, encodings, hosts int
	var keepAlive, upgrade bool
	h.length = noLength
	for i := range h.fields {
		f := &h.fields[i]
		switch f.kind {
		case kindPlain:
			if len(f.name) == len("authorization") && equalFold(f.name, "authorization") {
				h.binds = h.binds || bindsConnection(f.value)
			}
		case kindHost:
			hosts++
			h.host = f.value
		case kindContentLength:
			lengths++
			n, ok := parseLength(f.value)
			if !ok {
				return BadRequest, "Content-Length is not a number, or too large a one"
			}
			h.length = n
		case kindTransferEncoding:
			encodings++
			if !equalFold(f.value, "chunked") {
				return BadRequest, "Transfer-Encoding is not exactly chunked"
			}
		case kindConnection:
			for rest := f.value; rest != nil; {
				var token []byte
				token, rest = nextToken(rest)
				switch {
				case equalFold(token, "close"):
					h.close = true
				case equalFold(token, "keep-alive"):
					keepAlive = true
				case equalFold(token, "upgrade"):
					upgrade = true
				default:
					dropNamed(h.fields, token)
				}
			}
		case kindTE:
			for rest := f.value; rest != nil && !h.http10; {
				var token []byte
				token, rest = nextToken(rest)
				token, _, _ = bytes.Cut(token, []byte(";"))
				h.trailers = h.trailers || equalFold(trimSpace(token), "trailers")
			}
		case kindExpect:
			if h.http10 {
				continue // RFC 9110 10.1.1: ignored in HTTP/1.0
			}
			if !equalFold(f.value, "100-continue") {
				return BadExpectation, "only Expect: 100-continue is known"
			}
			h.expect = true
		}
	}
	switch {
	case hosts > 1:
		return BadRequest, "there is more than one Host"
	case hosts == 0 && !h.http10:
		return BadRequest, "there is no Host"
	case hosts == 1 && !validHost(h.host):
		return BadRequest, "Host is malformed"
	case lengths > 1:
		return BadRequest, "there is more than one Content-Length"
	case encodings > 1:
		return BadRequest, "there is more than one Transfer-Encoding"
	case encodings == 1 && h.http10:
		return BadRequest, "HTTP/1.0 has no Transfer-Encoding"
	case encodings == 1 && lengths == 1:
		return BadRequest, "there are both Content-Length and Transfer-Encoding"
	case encodings == 1:
		h.length = chunked
	}
	if h.http10 && !keepAlive {
		h.close = true
	}
	if upgrade && !h.http10 {
		h.upgr = upgradeOf(h.fields)
	}
	if h.length == noLength || h.length == 0 {
		h.expect = false
	}
	return 0, ""
}

// upgradeOf returns the value of Upgrade, or nil if there is none to forward:
// h2c would take the connection out of our sight and is never asked for.
func upgradeOf(fields []field) []byte {
	var value []byte
	for i := range fields {
		if fields[i].kind != kindUpgrade {
			continue
		}
		if value != nil {
			return nil
		}
		value = fields[i].value
	}
	for rest := value; rest != nil; {
		var token []byte
		token, rest = nextToken(rest)
		if equalFold(token, "h2c") || !isProtocol(token) {
			return nil
		}
	}
	return value
}

// isProtocol reports whether b is a protocol of Upgrade: a token, and maybe a
// version (RFC 9110 7.8).
func isProtocol(b []byte) bool {
	name, version, versioned := bytes.Cut(b, []byte("/"))
	return isToken(name) && (!versioned || isToken(version))
}

// dropNamed marks the fields that a Connection header names as belonging to
// this connection only. Fields that sluice itself understands cannot be named
// away: their kind is not plain.
func dropNamed(fields []field, name []byte) {
	for i := range fields {
		if fields[i].kind == kindPlain && bytes.EqualFold(fields[i].name, name) {
			fields[i].kind = kindHop
		}
	}
}

// idempotent reports whether the request may be sent twice (RFC 9110 9.2.2).
func (h *head) idempotent() bool {
	switch string(h.method) {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE":
		return true
	}
	return false
}

// nextToken cuts the first element off a comma-separated list. rest is nil
// after the last one.
func nextToken(list []byte) (token, rest []byte) {
	i := bytes.IndexByte(list, ',')
	if i < 0 {
		return trimSpace(list), nil
	}
	return trimSpace(list[:i]), list[i+1:]
}

// parseLength parses 1*DIGIT.
func parseLength(b []byte) (int64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' || n > (math.MaxInt64-9)/10 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// Bit sets of the bytes that a token may contain (RFC 9110 5.6.2), one for
// those below 64 and one for the rest of ASCII.
const (
	digits      = (1<<10 - 1) << '0'
	letters     = (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64)
	tokenBelow  = digits | 1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.'
	tokenAbove  = letters | 1<<('^'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('|'-64) | 1<<('~'-64)
	hostBelow   = digits | 1<<'!' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'(' | 1<<')' | 1<<'*' | 1<<'+' | 1<<',' | 1<<'-' | 1<<'.' | 1<<';' | 1<<'='
	hostAbove   = letters | 1<<('_'-64) | 1<<('~'-64)
	beyondASCII = 128
)

func inSet(c byte, below, above uint64) bool {
	if c < 64 {
		return below>>c&1 != 0
	}
	return c < beyondASCII && above>>(c-64)&1 != 0
}

// isToken reports whether b is a token of RFC 9110 5.6.2.
func isToken(b []byte) bool {
	for _, c := range b {
		if !inSet(c, tokenBelow, tokenAbove) {
			return false
		}
	}
	return len(b) > 0
}

// isFieldValue reports whether b has no control byte but HTAB.
func isFieldValue(b []byte) bool {
	for _, c := range b {
		if (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return true
}
