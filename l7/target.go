package l7

import "bytes"

// parseTarget checks the request target against the rest of the head and
// brings it into the form in which it is forwarded.
func (h *head) parseTarget(target []byte) (Reason, string) {
	for _, c := range target {
		if c <= ' ' || c == 0x7f || c == '#' {
			return BadRequest, "the target has a byte that no target has"
		}
	}
	switch {
	case len(target) > 0 && target[0] == '/':
		h.target = target
	case string(target) == "*":
		if string(h.method) != "OPTIONS" {
			return BadRequest, "the target * is for OPTIONS alone"
		}
		h.target, h.path = target, target
		return 0, ""
	default:
		if r, why := h.parseAbsolute(target); r != 0 {
			return r, why
		}
	}
	h.path = h.target // judged by path
	if i := bytes.IndexByte(h.target, '?'); i >= 0 {
		h.path = h.target[:i]
	}
	return 0, ""
}

// query returns the target's query with its "?", or nothing.
func (h *head) query() []byte { return h.target[len(h.path):] }

// parseAbsolute takes the target out of its absolute form, whose authority
// must be what Host says.
func (h *head) parseAbsolute(target []byte) (Reason, string) {
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok || !(equalFold(scheme, "http") || equalFold(scheme, "https")) {
		return BadRequest, "the target has an unknown form"
	}
	n := bytes.IndexAny(rest, "/?")
	if n < 0 {
		n = len(rest)
	}
	authority := rest[:n]
	switch {
	case !validHost(authority):
		return BadRequest, "the authority of the target is malformed"
	case len(h.host) == 0: // HTTP/1.0
		h.host, h.implied = authority, true
	case !sameAuthority(authority, h.host, len(scheme) == len("https")):
		return BadRequest, "the authority of the target is not what Host says"
	}
	h.target = rest[n:]
	switch {
	case len(h.target) == 0 && string(h.method) == "OPTIONS":
		h.target = []byte("*") // RFC 9112 3.2.4
	case len(h.target) == 0:
		h.target = []byte("/")
	case h.target[0] == '?':
		h.target = append([]byte("/"), h.target...)
	}
	return 0, ""
}

// sameAuthority reports whether two hosts are the same, of which a port that is
// missing or empty is that of their scheme.
func sameAuthority(a, b []byte, secure bool) bool {
	nameA, portA := splitHost(a)
	nameB, portB := splitHost(b)
	port := []byte("80")
	if secure {
		port = []byte("443")
	}
	if len(portA) == 0 {
		portA = port
	}
	if len(portB) == 0 {
		portB = port
	}
	return bytes.EqualFold(nameA, nameB) && bytes.Equal(portA, portB)
}

// validHost reports whether b is uri-host [":" port] (RFC 9110 7.2). There is
// no user information: what a program takes for the host must not depend on
// how it reads an '@'.
func validHost(b []byte) bool {
	name, port := splitHost(b)
	if len(name) == 0 || !validPort(port) {
		return false
	}
	if name[0] != '[' {
		for _, c := range name {
			if !inSet(c, hostBelow, hostAbove) {
				return false
			}
		}
		return true
	}
	if len(name) < 4 || name[len(name)-1] != ']' {
		return false
	}
	for _, c := range name[1 : len(name)-1] {
		if c != ':' && c != '.' && !isHex(c) {
			return false
		}
	}
	return true
}

// validPort reports whether b is a port, or nothing, as in "host:".
func validPort(b []byte) bool {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return len(b) <= maxPortLen && n <= 65535
}

// splitHost cuts the port off a host. Of what is malformed it makes something
// that validHost refuses.
func splitHost(b []byte) (name, port []byte) {
	if len(b) > 0 && b[0] == '[' {
		i := bytes.IndexByte(b, ']')
		if i < 0 || i+1 == len(b) {
			return b, nil
		}
		if b[i+1] != ':' {
			return nil, nil
		}
		return b[:i+1], b[i+2:]
	}
	if i := bytes.IndexByte(b, ':'); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// unescape returns the first byte that b stands for and its length in b.
func unescape(b []byte) (c byte, n int) {
	if b[0] == '%' && len(b) >= 3 && isHex(b[1]) && isHex(b[2]) {
		return hexValue(b[1])<<4 | hexValue(b[2]), 3
	}
	return b[0], 1
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// hexValue returns the value of a hexadecimal digit.
func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
