package h2

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"

	"sluice/l7/http1"
)

// request is what is known of a stream's request.
type request struct {
	declared int64  // its Content-Length; -1 if there is none
	accept   string // what a server of WebSockets answers to the key that it got
	protocol string // that is asked for
	grpc     bool   // it is a call of gRPC
	head     bool   // its method is HEAD
	tunnel   bool   // it asks for another protocol (RFC 8441)
	tooLarge bool   // its head is; there is nothing else of it
}

// setRequest makes of a header list the head of a request of HTTP/1.1, less its
// framing, or says what is wrong with it (RFC 9113 8.3.1). Nothing of a field
// can become a line of its own: names are tokens, and values have no line ends.
func (st *Stream) setRequest(l *list) (why string) {
	r := &st.req
	r.declared = -1
	method, host := l.method, l.authority
	switch {
	case l.bad != "":
		return l.bad
	case !http1.IsToken([]byte(method)):
		return "the method is not a token"
	case method == "CONNECT" && l.pseudo&hasProtocol != 0:
		if !l.has(hasMethod|hasScheme|hasAuthority|hasPath|hasProtocol, 0) || !http1.IsToken([]byte(l.protocol)) {
			return "an extended CONNECT without what it needs"
		}
		r.tunnel, method = true, "GET"
	case method == "CONNECT":
		if !l.has(hasMethod|hasAuthority, 0) {
			return "a CONNECT with more or less than a host"
		}
	case !l.has(hasMethod|hasScheme|hasPath, hasAuthority):
		return "a request without :method, :scheme or :path, or with more than those"
	case l.scheme != "http" && l.scheme != "https":
		return "a scheme that is neither http nor https"
	case !isTarget(l.path) || l.path == "*" && method != "OPTIONS":
		return "a :path that is no path"
	}
	var cookies, named string
	for i := range l.fields {
		switch f := &l.fields[i]; f.Name {
		case "host":
			if named != "" {
				return "several Hosts"
			}
			named = f.Value
		case "content-length":
			n, ok := http1.ParseLength([]byte(f.Value))
			if !ok || r.declared >= 0 {
				return "a Content-Length that is no number, or several"
			}
			r.declared = n
		case "cookie":
			if cookies != "" {
				cookies += "; "
			}
			cookies += f.Value // a list that is long is rare
		case "content-type":
			r.grpc = isGRPC(f.Value)
		}
	}
	if l.pseudo&hasAuthority == 0 {
		host = named
	} else if named != "" && !strings.EqualFold(named, host) {
		return "a Host that is not the authority"
	}
	if host != "" && !http1.ValidHost([]byte(host)) {
		return "a host that is none"
	}
	path := l.path
	if method == "CONNECT" {
		path = host
	}
	r.head = method == "HEAD"
	b := make([]byte, 0, l.size+64)
	b = append(append(append(append(b, method...), ' '), path...), " HTTP/1.1\r\n"...)
	if host != "" {
		b = appendLine(b, "host", host)
	}
	for i := range l.fields {
		switch f := &l.fields[i]; f.Name {
		case "host", "content-length", "cookie":
		case "sec-websocket-key":
			if !r.tunnel {
				b = appendLine(b, f.Name, f.Value)
			}
		default:
			b = appendLine(b, f.Name, f.Value)
		}
	}
	if cookies != "" {
		b = appendLine(b, "cookie", cookies)
	}
	if r.tunnel {
		b = st.appendUpgrade(b, l.protocol)
	}
	st.in.text = b
	return ""
}

// Switches reports whether the request is for another protocol.
func (st *Stream) Switches() bool { return st.req.tunnel }

// isTarget reports whether s is a path, or "*", as far as a line of HTTP/1.1 is
// concerned. http1 judges the rest.
func isTarget(s string) bool {
	if s == "*" {
		return true
	}
	if s == "" || s[0] != '/' {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func appendLine(b []byte, name, value string) []byte {
	return append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
}

// appendUpgrade appends what asks for another protocol in HTTP/1.1.
func (st *Stream) appendUpgrade(b []byte, protocol string) []byte {
	b = appendLine(appendLine(b, "connection", "Upgrade"), "upgrade", protocol)
	if !strings.EqualFold(protocol, "websocket") {
		return b
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	st.req.accept = acceptOf(key)
	return appendLine(b, "sec-websocket-key", key)
}

// acceptOf returns what a server of WebSockets answers to a key (RFC 6455 4.2.2).
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// makeReady ends the head of a request, whose framing depends on what has come
// of its body.
func (st *Stream) makeReady() {
	in, r := &st.in, &st.req
	switch {
	case r.tooLarge:
		return
	case r.tunnel:
		in.framing = raw
	case r.declared >= 0:
		in.framing = raw
		in.text = appendLine(in.text, "content-length", strconv.FormatInt(r.declared, 10))
	case st.recvEnd && in.trailer == nil:
		in.framing = raw
		if n := in.len(); n > 0 || !bodiless(in.text) {
			in.text = appendLine(in.text, "content-length", strconv.Itoa(n))
		}
	default:
		in.framing = chunked
		in.text = appendLine(in.text, "transfer-encoding", "chunked")
	}
	in.text = append(in.text, "\r\n"...)
	st.SetReadable(true)
	st.SetWritable(true)
}

// bodiless reports whether a request whose head begins so usually has no body,
// so that it says nothing of one.
func bodiless(head []byte) bool {
	method, _, _ := strings.Cut(string(head[:min(len(head), 8)]), " ")
	switch method {
	case "GET", "HEAD", "OPTIONS", "DELETE", "CONNECT":
		return true
	}
	return false
}

// takeTrailer takes a trailer section, of a request or of a response.
func (st *Stream) takeTrailer(b *block) *fault {
	s, l := st.s, &b.list
	if st.recvEnd {
		return s.strayFrame(st.id, st)
	}
	if !b.end || l.bad != "" || l.pseudo != 0 || l.tooLarge {
		return s.offends(st, ProtocolError)
	}
	st.in.trailer = appendFields([]byte{}, l.fields)
	s.useful()
	return st.takeData(nil, true)
}

// appendFields appends the fields of a trailer section as lines.
func appendFields(b []byte, fields []hpack.HeaderField) []byte {
	for i := range fields {
		b = appendLine(b, fields[i].Name, fields[i].Value)
	}
	return b
}
