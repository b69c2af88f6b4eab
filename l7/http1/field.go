package http1

import "bytes"

// A field is one header line. Its slices alias the buffer it was parsed from.
type Field struct {
	Name, Value []byte
	Kind        Kind
}

// ParseField splits one line, without its line end, at the colon.
func ParseField(line []byte) (Field, bool) {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || !IsToken(line[:colon]) {
		return Field{}, false
	}
	value := TrimSpace(line[colon+1:])
	if !IsFieldValue(value) {
		return Field{}, false
	}
	return Field{Name: line[:colon], Value: value, Kind: Classify(line[:colon])}, true
}

// fieldFault says what is wrong with a line that ParseField does not take.
func fieldFault(line []byte) string {
	name, _, ok := bytes.Cut(line, []byte(":"))
	switch {
	case !ok:
		return "a header line has no colon"
	case len(name) == 0:
		return "a header line has no name"
	case name[len(name)-1] == ' ' || name[len(name)-1] == '\t':
		return "a header line has a space before its colon"
	case !IsToken(name):
		return "the name of a header has a byte that no name has"
	case bytes.IndexByte(line, 0) >= 0:
		return "the value of a header has a NUL"
	case bytes.IndexByte(line, '\r') >= 0:
		return "the value of a header has a bare CR"
	}
	return "the value of a header has a control byte"
}

// dropNamed marks the fields that a Connection header names as belonging to
// this connection only. Fields that sluice itself understands cannot be named
// away: their kind is not plain.
func dropNamed(fields []Field, name []byte) {
	for i := range fields {
		if fields[i].Kind == KindPlain && bytes.EqualFold(fields[i].Name, name) {
			fields[i].Kind = KindHop
		}
	}
}

// Kind is what sluice does with a header field.
type Kind uint8

const (
	KindPlain Kind = iota // forwarded as it is
	KindHop               // for this connection only: dropped
	KindHost
	KindContentLength
	KindTransferEncoding
	KindConnection
	KindUpgrade
	KindExpect
	KindForwardedFor
	KindForwardedProto
	KindForwardedHost
	KindForwardedPort
	KindForwarded // RFC 7239's
	KindRealIP
	KindForwardedOther // other words on where a request came from
	KindRequestID
	KindTraceparent
	KindTracestate
	KindTrailer // which fields follow a chunked body
	KindTE
	KindOwn // what sluice says to clients: X-Sluice-*
)

// Classify returns the kind of the field called name.
//
// A name with "_" where one that sluice understands has "-" is dropped:
// servers that hand headers on as environment variables cannot tell them
// apart, so it would say what the real one must not.
func Classify(name []byte) Kind {
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
	if kindOf(dashed) != KindPlain {
		return KindHop
	}
	return KindPlain
}

// ClientCertPrefix begins the names of headers that say what a client's
// certificate says, in lower case. From others than trusted proxies they are
// dropped, on any listener.
const ClientCertPrefix = "x-ssl-client-"

func kindOf(name []byte) Kind {
	switch len(name) {
	case 2:
		return kindIf(name, "te", KindTE)
	case 4:
		return kindIf(name, "host", KindHost)
	case 6:
		return kindIf(name, "expect", KindExpect)
	case 7:
		if EqualFold(name, "trailer") {
			return KindTrailer
		}
		return kindIf(name, "upgrade", KindUpgrade)
	case 9:
		if EqualFold(name, "x-real-ip") {
			return KindRealIP
		}
		return kindIf(name, "forwarded", KindForwarded)
	case 10:
		if EqualFold(name, "keep-alive") {
			return KindHop
		}
		if EqualFold(name, "tracestate") {
			return KindTracestate
		}
		return kindIf(name, "connection", KindConnection)
	case 11:
		return kindIf(name, "traceparent", KindTraceparent)
	case 12:
		if EqualFold(name, "x-request-id") {
			return KindRequestID
		}
	case 14:
		if EqualFold(name, "http2-settings") {
			return KindHop
		}
		if EqualFold(name, "content-length") {
			return KindContentLength
		}
	case 15:
		if EqualFold(name, "x-forwarded-for") {
			return KindForwardedFor
		}
	case 16:
		if EqualFold(name, "proxy-connection") {
			return KindHop
		}
		if EqualFold(name, "x-forwarded-host") {
			return KindForwardedHost
		}
		if EqualFold(name, "x-forwarded-port") {
			return KindForwardedPort
		}
	case 17:
		if EqualFold(name, "x-forwarded-proto") {
			return KindForwardedProto
		}
		if EqualFold(name, "transfer-encoding") {
			return KindTransferEncoding
		}
	case 18:
		if EqualFold(name, "proxy-authenticate") {
			return KindHop
		}
	case 19:
		if EqualFold(name, "proxy-authorization") {
			return KindHop
		}
	}
	if len(name) >= len("x-sluice-") && EqualFold(name[:len("x-sluice-")], "x-sluice-") {
		return KindOwn
	}
	if len(name) >= len("x-forwarded-") && EqualFold(name[:len("x-forwarded-")], "x-forwarded-") {
		return KindForwardedOther
	}
	if len(name) >= len(ClientCertPrefix) && EqualFold(name[:len(ClientCertPrefix)], ClientCertPrefix) {
		return KindForwardedOther
	}
	return KindPlain
}

func kindIf(name []byte, lower string, k Kind) Kind {
	if EqualFold(name, lower) {
		return k
	}
	return KindPlain
}

// mayTrail reports whether the field may be passed on in a trailer section:
// nothing that frames, routes, authenticates or says what a body is
// (RFC 9110 6.5.1), but for its digest, which is made to be there (RFC 9530 2).
func (f *Field) mayTrail() bool {
	if f.Kind != KindPlain {
		return false
	}
	if EqualFold(f.Name, "content-digest") {
		return true
	}
	for _, name := range [...]string{
		"age", "authorization", "cache-control", "cookie", "date", "expires", "location", "max-forwards",
		"pragma", "range", "retry-after", "set-cookie", "vary", "www-authenticate",
	} {
		if EqualFold(f.Name, name) {
			return false
		}
	}
	for _, prefix := range [...]string{"content-", "if-"} {
		if len(f.Name) >= len(prefix) && EqualFold(f.Name[:len(prefix)], prefix) {
			return false
		}
	}
	return true
}

// AppendField appends a field as a line of a head.
func AppendField(dst []byte, f *Field) []byte {
	dst = append(append(dst, f.Name...), ": "...)
	return append(append(dst, f.Value...), "\r\n"...)
}

// AppendLine appends a line of a head.
func AppendLine(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

// AppendAnnounced appends a Trailer field with those of its names whose fields
// are passed on, if there are any.
func AppendAnnounced(dst []byte, f *Field) []byte {
	begin := len(dst)
	for rest := f.Value; rest != nil; {
		var name []byte
		name, rest = NextToken(rest)
		if !IsToken(name) {
			continue
		}
		if t := (Field{Name: name, Kind: Classify(name)}); !t.mayTrail() {
			continue
		}
		if len(dst) == begin {
			dst = append(append(dst, f.Name...), ": "...)
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

// Value returns the value of the first field of that name, which is in lower
// case, or nil.
func Value(fields []Field, name string) []byte {
	for i := range fields {
		if f := &fields[i]; EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return nil
}

// HasLine reports whether a head has a field of that name, which is in lower
// case.
func HasLine(head []byte, name string) bool {
	for rest := head; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		if len(line) > len(name) && line[len(name)] == ':' && EqualFold(line[:len(name)], name) {
			return true
		}
		rest = after
	}
	return false
}
