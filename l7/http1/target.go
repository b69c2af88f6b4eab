package http1

import "bytes"

// parseTarget checks the request target against the rest of the head and
// brings it into the form in which it is forwarded.
func (h *Head) parseTarget(target []byte) (Fault, string) {
	for _, c := range target {
		if c <= ' ' || c == 0x7f || c == '#' {
			return BadHead, "the target has a byte that no target has"
		}
	}
	switch {
	case len(target) > 0 && target[0] == '/':
		h.Target = target
	case string(target) == "*":
		if string(h.Method) != "OPTIONS" {
			return BadHead, "the target * is for OPTIONS alone"
		}
		h.Target, h.Path = target, target
		return 0, ""
	default:
		if r, why := h.parseAbsolute(target); r != 0 {
			return r, why
		}
	}
	h.Path = h.Target // judged by Path
	if i := bytes.IndexByte(h.Target, '?'); i >= 0 {
		h.Path = h.Target[:i]
	}
	return 0, ""
}

// Query returns the target's query with its "?", or nothing.
func (h *Head) Query() []byte { return h.Target[len(h.Path):] }

// parseAbsolute takes the target out of its absolute form, whose authority
// must be what Host says.
func (h *Head) parseAbsolute(target []byte) (Fault, string) {
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok || !(EqualFold(scheme, "http") || EqualFold(scheme, "https")) {
		return BadHead, "the target has an unknown form"
	}
	n := bytes.IndexAny(rest, "/?")
	if n < 0 {
		n = len(rest)
	}
	authority := rest[:n]
	switch {
	case !ValidHost(authority):
		return BadHead, "the authority of the target is malformed"
	case len(h.Host) == 0: // HTTP/1.0
		h.Host, h.Implied = authority, true
	case !sameAuthority(authority, h.Host, len(scheme) == len("https")):
		return BadHead, "the authority of the target is not what Host says"
	}
	h.Target = rest[n:]
	switch {
	case len(h.Target) == 0 && string(h.Method) == "OPTIONS":
		h.Target = []byte("*") // RFC 9112 3.2.4
	case len(h.Target) == 0:
		h.Target = []byte("/")
	case h.Target[0] == '?':
		h.Target = append([]byte("/"), h.Target...)
	}
	return 0, ""
}

// sameAuthority reports whether two hosts are the same, of which a port that is
// missing or empty is that of their scheme.
func sameAuthority(a, b []byte, secure bool) bool {
	nameA, portA := SplitHost(a)
	nameB, portB := SplitHost(b)
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

// ValidHost reports whether b is uri-host [":" port] (RFC 9110 7.2). There is
// no user information: what a program takes for the host must not depend on
// how it reads an '@'.
func ValidHost(b []byte) bool {
	name, port := SplitHost(b)
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
	return len(b) <= MaxPortLen && n <= 65535
}

// SplitHost cuts the port off a host. Of what is malformed it makes something
// that ValidHost refuses.
func SplitHost(b []byte) (name, port []byte) {
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
