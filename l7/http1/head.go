package http1

import (
	"bytes"
	"cmp"
)

// Lengths of bodies that are not known from the head.
const (
	Chunked  int64 = -1 // framed by Transfer-Encoding: chunked
	NoLength int64 = -2 // a request without a body, a response that ends with its connection
)

// What bounds a head, unless Limits says otherwise.
const (
	MaxFields = 200      // header lines
	MaxTarget = 16 << 10 // bytes of a request target; RFC 9112 3 asks for 8000 at least
)

// MaxPortLen is the length of the longest port.
const MaxPortLen = 5

// Version is that of a message, which any minor one of HTTP/1 but 0 is compatible
// with (RFC 9110 2.5).
type Version uint8

// The versions.
const (
	HTTP11 Version = iota // or a later one
	HTTP10
)

// Head is a request head that passed every check. Its slices alias the bytes
// it was parsed from.
type Head struct {
	Method   []byte
	Target   []byte // origin-form, or "*"; what is forwarded, byte for byte
	Path     []byte // target up to '?'; what is routed on
	Host     []byte // as received; empty only for HTTP/1.0
	Fields   []Field
	Length   int64 // of the body: its length, Chunked, or NoLength
	Version  Version
	Close    bool   // the client wants no second request on its connection
	Expect   bool   // the client waits for 100 Continue before it sends the body
	Trailers bool   // the client takes a trailer section
	Implied  bool   // host is from the target: there is no Host, as HTTP/1.0 allows
	Upgrade  []byte // the protocols it asks to switch to, nil if none
	Binds    bool   // its credentials authenticate the connection
	Limits   Limits // that Parse keeps to; whoever parses sets them
}

// Reset empties h but keeps its memory.
func (h *Head) Reset() {
	clear(h.Fields)
	*h = Head{Fields: h.Fields[:0], Limits: h.Limits}
}

// ScanHead looks for the end of the request head that p begins with; the
// first from bytes were looked at before. It returns the head's length, the
// empty line included, or 0 if there is more to come. A line that does not end
// in CRLF is no line, and never becomes one.
func ScanHead(p []byte, from int) (n int, ok bool) {
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

// CheckStart judges what there is of a head that is not complete, so that
// what cannot become a request is not waited for.
func CheckStart(p []byte, maxTarget int) (Fault, string) {
	line, _, whole := bytes.Cut(p, []byte("\r\n"))
	if whole {
		_, _, r, why := splitRequestLine(line, maxTarget)
		return r, why
	}
	method, _, _ := bytes.Cut(line, []byte(" "))
	if method = bytes.TrimSuffix(method, []byte("\r")); len(method) > 0 && !IsToken(method) {
		return BadHead, "the method is not a token"
	}
	if len(line) > len(method)+1+maxTarget+len(" HTTP/1.1\r") {
		return TargetTooLong, "the request target is too long"
	}
	return 0, ""
}

// splitRequestLine takes the first line of a request apart.
func splitRequestLine(line []byte, maxTarget int) (method, target []byte, r Fault, why string) {
	i, j := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ' ')
	if i < 0 || i == j {
		return nil, nil, BadHead, "the request line has not three parts"
	}
	method, target = line[:i], line[i+1:j]
	switch proto := line[j+1:]; {
	case isHTTP1(proto):
	case len(proto) == len("HTTP/x.y") && string(proto[:5]) == "HTTP/":
		return nil, nil, BadVersion, "only HTTP/1 is spoken here"
	default:
		return nil, nil, BadHead, "the request line does not end in a version"
	}
	if !IsToken(method) {
		return nil, nil, BadHead, "the method is not a token"
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

// Parse parses and judges a request head, with the empty line that ends it.
// It answers 0 and fills h if the request may be forwarded, else why not. What
// two programs could read differently is refused, so that what is forwarded
// means the same to everybody.
func (h *Head) Parse(raw []byte) (Fault, string) {
	h.Reset()
	n := bytes.IndexByte(raw, '\n') // there is one, after a CR: ScanHead saw to it
	line := raw[:n-1]
	method, target, r, why := splitRequestLine(line, h.Limits.maxTarget())
	if r != 0 {
		return r, why
	}
	if line[len(line)-1] == '0' {
		h.Version = HTTP10
	}
	return h.Check(method, target, raw[n+1:])
}

// Check judges the parts of a head: the method, the target, and the header
// block with the empty line that ends it.
func (h *Head) Check(method, target, raw []byte) (Fault, string) {
	if EqualFold(method, "connect") || EqualFold(method, "trace") {
		return BadMethod, "CONNECT and TRACE are not allowed"
	}
	if EqualFold(method, "head") && string(method) != "HEAD" {
		// What a server takes for HEAD has no body, and else one.
		return BadHead, "the method is HEAD in another case"
	}
	h.Method = method
	if r, why := h.parseFields(raw); r != 0 {
		return r, why
	}
	if r, why := h.interpret(); r != 0 {
		return r, why
	}
	return h.parseTarget(target)
}

// parseFields splits raw into h.fields.
func (h *Head) parseFields(raw []byte) (Fault, string) {
	for len(raw) > 0 {
		n := bytes.IndexByte(raw, '\n')
		if n < 1 || raw[n-1] != '\r' {
			return BadHead, "a header line does not end in CRLF"
		}
		line := raw[:n-1]
		raw = raw[n+1:]
		if len(line) == 0 {
			if len(raw) != 0 {
				return BadHead, "there are bytes after the head"
			}
			return 0, ""
		}
		if line[0] == ' ' || line[0] == '\t' {
			return BadHead, "a header line is folded"
		}
		f, ok := ParseField(line)
		if !ok {
			return BadHead, fieldFault(line)
		}
		if len(h.Fields) >= h.Limits.maxFields() {
			return HeadTooLarge, "there are too many header lines"
		}
		h.Fields = append(h.Fields, f)
	}
	return 0, "" // an HTTP/1.0 request may have no header at all
}

// interpret draws from the fields what concerns framing and the connection.
func (h *Head) interpret() (Fault, string) {
	var lengths, encodings, hosts int
	var keepAlive, upgrade bool
	h.Length = NoLength
	for i := range h.Fields {
		f := &h.Fields[i]
		switch f.Kind {
		case KindPlain:
			if len(f.Name) == len("authorization") && EqualFold(f.Name, "authorization") {
				h.Binds = h.Binds || BindsConnection(f.Value)
			}
		case KindHost:
			hosts++
			h.Host = f.Value
		case KindContentLength:
			lengths++
			n, ok := ParseLength(f.Value)
			if !ok {
				return BadHead, "Content-Length is not a number, or too large a one"
			}
			h.Length = n
		case KindTransferEncoding:
			encodings++
			if !EqualFold(f.Value, "chunked") {
				return BadHead, "Transfer-Encoding is not exactly chunked"
			}
		case KindConnection:
			for rest := f.Value; rest != nil; {
				var token []byte
				token, rest = NextToken(rest)
				switch {
				case EqualFold(token, "close"):
					h.Close = true
				case EqualFold(token, "keep-alive"):
					keepAlive = true
				case EqualFold(token, "upgrade"):
					upgrade = true
				default:
					dropNamed(h.Fields, token)
				}
			}
		case KindTE:
			for rest := f.Value; rest != nil && h.Version != HTTP10; {
				var token []byte
				token, rest = NextToken(rest)
				token, _, _ = bytes.Cut(token, []byte(";"))
				h.Trailers = h.Trailers || EqualFold(TrimSpace(token), "trailers")
			}
		case KindExpect:
			if h.Version == HTTP10 {
				continue // RFC 9110 10.1.1: ignored in HTTP/1.0
			}
			if !EqualFold(f.Value, "100-continue") {
				return BadExpectation, "only Expect: 100-continue is known"
			}
			h.Expect = true
		}
	}
	switch {
	case hosts > 1:
		return BadHead, "there is more than one Host"
	case hosts == 0 && h.Version != HTTP10:
		return BadHead, "there is no Host"
	case hosts == 1 && !ValidHost(h.Host):
		return BadHead, "Host is malformed"
	case lengths > 1:
		return BadHead, "there is more than one Content-Length"
	case encodings > 1:
		return BadHead, "there is more than one Transfer-Encoding"
	case encodings == 1 && h.Version == HTTP10:
		return BadHead, "HTTP/1.0 has no Transfer-Encoding"
	case encodings == 1 && lengths == 1:
		return BadHead, "there are both Content-Length and Transfer-Encoding"
	case encodings == 1:
		h.Length = Chunked
	}
	if h.Version == HTTP10 && !keepAlive {
		h.Close = true
	}
	if upgrade && h.Version != HTTP10 {
		h.Upgrade = upgradeOf(h.Fields)
	}
	if h.Length == NoLength || h.Length == 0 {
		h.Expect = false
	}
	return 0, ""
}

// upgradeOf returns the value of Upgrade, or nil if there is none to forward:
// h2c would take the connection out of our sight and is never asked for.
func upgradeOf(fields []Field) []byte {
	var value []byte
	for i := range fields {
		if fields[i].Kind != KindUpgrade {
			continue
		}
		if value != nil {
			return nil
		}
		value = fields[i].Value
	}
	for rest := value; rest != nil; {
		var token []byte
		token, rest = NextToken(rest)
		if EqualFold(token, "h2c") || !isProtocol(token) {
			return nil
		}
	}
	return value
}

// isProtocol reports whether b is a protocol of Upgrade: a token, and maybe a
// version (RFC 9110 7.8).
func isProtocol(b []byte) bool {
	name, version, versioned := bytes.Cut(b, []byte("/"))
	return IsToken(name) && (!versioned || IsToken(version))
}

// Idempotent reports whether the request may be sent twice (RFC 9110 9.2.2).
func (h *Head) Idempotent() bool {
	switch string(h.Method) {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE":
		return true
	}
	return false
}

// EmptyLines returns how many bytes at the beginning of p are empty lines, which
// are left over from the request before (RFC 9112 2.2). Behind a body, for which
// old clients send one too many, a line may end in LF alone.
func EmptyLines(p []byte, bodied bool) (n int) {
	for {
		switch rest := p[n:]; {
		case len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n':
			n += 2
		case bodied && len(rest) >= 1 && rest[0] == '\n':
			n++
		default:
			return n
		}
	}
}

// Limits bound a head. What is 0 is MaxFields, or MaxTarget.
type Limits struct {
	Fields int // header lines
	Target int // bytes of a request target
}

func (l Limits) maxFields() int { return cmp.Or(l.Fields, MaxFields) }

func (l Limits) maxTarget() int { return cmp.Or(l.Target, MaxTarget) }
