package l7

import (
	"bytes"
	"slices"
	"strings"
)

// A path is brought into one form before anything is decided by it, so that no
// other spelling of it gets round what hangs on a route (RFC 3986 6.2.2, and
// what nginx and Envoy do besides): unreserved bytes are decoded, hexadecimal
// digits are in upper case, dot segments are resolved and empty ones left out.
//
// Some bytes cannot be brought into any form, for servers read them
// differently: an encoded slash, a backslash, what follows a semicolon, an
// encoded question mark, a percent sign that was encoded itself. Each such
// reading is tried; if one of them would be another route's, the request is
// refused, unless PathPolicy says otherwise.

// PathRule says what becomes of a byte that servers read differently.
type PathRule uint8

// The rules. PathDecode is for slashes alone.
const (
	PathCheck  PathRule = iota // refused where a reading of it is another route's, or has a dot segment
	PathKeep                   // forwarded as it came, whatever servers make of it
	PathDecode                 // a slash, for routes and for backends
	PathReject                 // refused
)

// PathPolicy says how paths are read. Its zero value is safe with any backend.
type PathPolicy struct {
	// EncodedSlash is about %2F, Backslash about the byte and %5C, and Semicolon
	// about the byte and %3B, which begin a parameter in Java's servers.
	EncodedSlash, Backslash, Semicolon PathRule
	// AllowNUL lets %00 pass, at which some programs cut a path off.
	AllowNUL bool
}

// PathForm is a form in which a path is forwarded.
type PathForm uint8

// The forms. Dot segments are resolved in each of them, and a path that as it
// came is another route's is always forwarded in its normal form.
const (
	PathAuto       PathForm = iota // PathNormalized where the route has conditions or bounds who may use it, else PathRaw
	PathNormalized                 // the form by which it was routed
	PathRaw                        // as it came
)

// ambiguity is a set of ways in which servers read a path differently.
type ambiguity uint8

const (
	slashes    ambiguity = 1 << iota // %2F is a slash
	backslash                        // so are \ and %5C
	semicolons                       // what follows ; in a segment is no part of its name
	questions                        // the path ends at %3F or %23
	twice                            // what was decoded is decoded again
	nul                              // NUL; never read, only refused
)

// ambiguousPath is why a path is refused that has a reading which it must not
// have.
const ambiguousPath = "servers read the path differently: as another route's, or with a dot segment"

// maxReading is how many bytes are read at most to try the readings of a path.
const maxReading = 64 << 10

// path is a request's path in the forms that are needed of it.
type path struct {
	raw     []byte // as it came
	normal  []byte // what is forwarded, if not raw: RFC 3986's normal form
	plain   []byte // what routes are found by: normal, decoded but for %2F and %25
	forward []byte // raw or normal
	joined  bool   // raw has other segments than normal: dots, or slashes that were none
	odd     ambiguity
	mem     []byte // of normal and plain, used again
}

// set makes p that of raw, which begins with "/" and has no "?", or is "*". If
// the request is to be refused, it says why.
func (p *path) set(raw []byte, policy *PathPolicy) (why string) {
	p.raw, p.normal, p.plain, p.forward, p.joined, p.odd = raw, raw, raw, raw, false, 0
	if isNormal(raw) {
		return ""
	}
	p.mem = slices.Grow(p.mem[:0], 2*len(raw)+2)
	normal, joined, why := appendNormal(p.mem, raw, policy)
	if why != "" {
		return why
	}
	plain, odd, why := appendPlain(normal[len(normal):], normal)
	if why != "" {
		return why
	}
	p.normal, p.plain, p.forward, p.joined, p.odd = normal, plain, normal, joined, odd
	for _, a := range [...]struct {
		odd  ambiguity
		rule PathRule
		why  string
	}{
		{slashes, policy.EncodedSlash, "the path has an encoded slash"},
		{backslash, policy.Backslash, "the path has a backslash"},
		{semicolons, policy.Semicolon, "the path has a semicolon"},
		{nul, nulRule(policy), "the path has an encoded NUL"},
	} {
		switch {
		case p.odd&a.odd == 0 || a.rule == PathCheck:
		case a.rule == PathReject:
			return a.why
		default:
			p.odd &^= a.odd
		}
	}
	return ""
}

func nulRule(p *PathPolicy) PathRule {
	if p.AllowNUL {
		return PathKeep
	}
	return PathReject
}

// isNormal reports whether a path is surely in its normal form, has nothing to
// decode, and reads the same everywhere.
func isNormal(raw []byte) bool {
	last := byte(0)
	for _, c := range raw {
		switch {
		case c == '%', c == '\\', c == ';', c >= 0x80:
			return false
		case last == '/' && (c == '/' || c == '.'):
			return false
		}
		last = c
	}
	return true
}

// appendNormal appends the normal form of raw. joined reports whether that has
// other segments, empty ones aside.
func appendNormal(dst, raw []byte, policy *PathPolicy) (_ []byte, joined bool, why string) {
	root := len(dst)
	dst = append(dst, '/')
	for i := 0; i < len(raw); {
		c, n := unescape(raw[i:])
		if isSeparator(c, n, policy) {
			joined = joined || n > 1 || c != '/'
			i += n
			continue
		}
		start, more := len(dst), false
		for ; i < len(raw); i += n {
			if c, n = unescape(raw[i:]); n == 1 && c == '%' {
				return dst, false, "a % in the path begins no percent-encoding"
			}
			if more = isSeparator(c, n, policy); more {
				break
			}
			if n == 1 || isUnreserved(c) {
				dst = append(dst, c)
			} else {
				dst = append(dst, '%', upperHex(c>>4), upperHex(c&15))
			}
		}
		switch string(dst[start:]) {
		case ".":
			dst, joined = dst[:start], true
		case "..":
			if joined = true; start == root+1 {
				return dst, true, "the path leads above its root"
			}
			dst = dst[:start-1]
			dst = dst[:bytes.LastIndexByte(dst, '/')+1]
		default:
			if more {
				dst = append(dst, '/')
			}
		}
	}
	return dst, joined, ""
}

// isSeparator reports whether c, of n bytes as it came, ends a segment.
func isSeparator(c byte, n int, policy *PathPolicy) bool {
	switch c {
	case '/':
		return n == 1 || policy.EncodedSlash == PathDecode
	case '\\':
		return policy.Backslash == PathDecode
	}
	return false
}

// appendPlain appends normal, a path in its normal form, with everything
// decoded but %2F and %25, so that different paths stay different. odd tells
// what in it servers read differently.
func appendPlain(dst, normal []byte) (_ []byte, odd ambiguity, why string) {
	begin := len(dst)
	for i := 0; i < len(normal); {
		c, n := unescape(normal[i:])
		switch {
		case n == 1:
			dst = append(dst, c)
		case c == '/':
			odd |= slashes
			dst = append(dst, "%2F"...)
		case c == '%':
			dst = append(dst, "%25"...)
			if again, m := unescapeAll(normal[i:]); m > n {
				odd |= twice | oddOf(again)
			}
		default:
			dst = append(dst, c)
		}
		odd |= oddOf(c)
		i += n
	}
	if isOverlong(dst[begin:]) {
		return dst, odd, "the path has an overlong UTF-8 sequence"
	}
	return dst, odd, ""
}

func oddOf(c byte) ambiguity {
	switch c {
	case '\\':
		return backslash
	case ';':
		return semicolons
	case '?', '#':
		return questions
	case 0:
		return nul
	}
	return 0
}

// unescapeAll is unescape again and again, as long as it yields an escape's
// beginning.
func unescapeAll(b []byte) (c byte, n int) {
	c, n = unescape(b)
	for c == '%' && n > 1 && len(b) >= n+2 && isHex(b[n]) && isHex(b[n+1]) {
		c = hexValue(b[n])<<4 | hexValue(b[n+1])
		n += 2
	}
	return c, n
}

// isOverlong reports whether b has a character that UTF-8 has a shorter form
// of, which careless decoders take for it.
func isOverlong(b []byte) bool {
	for i := 0; i+1 < len(b); i++ {
		c, next := b[i], b[i+1]
		switch {
		case c < 0xc0 || next < 0x80 || next > 0xbf:
		case c == 0xc0, c == 0xc1, c == 0xe0 && next < 0xa0, c == 0xf0 && next < 0x90, c == 0xf8 && next < 0x88, c == 0xfc && next < 0x84:
			return true
		}
	}
	return false
}

// appendReading appends plain as a server reads it that does what how says. ok
// is false if there is a dot segment in that.
func appendReading(dst, plain []byte, how ambiguity) (_ []byte, ok bool) {
	begin := len(dst)
	skip := false // what comes is a parameter
	start := begin
	for i := 0; i < len(plain); {
		c, n := plain[i], 1
		if c == '%' { // %2F or %25
			switch again, m := unescapeAll(plain[i:]); {
			case m == 3 && again == '/' && how&slashes != 0, m > 3 && how&twice != 0:
				c, n = again, m
			default:
				if !skip {
					dst = append(dst, plain[i:i+3]...)
				}
				i += 3
				continue
			}
		}
		i += n
		switch odd := oddOf(c); {
		case odd&how&questions != 0:
			i = len(plain)
			continue
		case odd&how&semicolons != 0:
			skip = true
			continue
		case odd&how&backslash != 0:
			c = '/'
		}
		if c == '/' {
			if isDots(dst[start:]) {
				return dst, false
			}
			skip = false
			if len(dst) > begin && dst[len(dst)-1] == '/' {
				continue
			}
			start = len(dst) + 1
		}
		if !skip {
			dst = append(dst, c)
		}
	}
	return dst, !isDots(dst[start:])
}

func isDots(segment []byte) bool { return string(segment) == "." || string(segment) == ".." }

// lookup finds the route that a request has with a path, in its plain form.
type lookup struct {
	r      *router
	h      *head
	secure bool // the client uses HTTPS
}

func (l lookup) find(path []byte) *route { return l.r.match(l.h, path, l.secure) }

// unambiguous reports whether every reading of p is rt's.
func (p *path) unambiguous(l lookup, rt *route) bool {
	readings := 0
	for how := ambiguity(1); how <= p.odd; how++ {
		if how&^p.odd == 0 {
			readings++
		}
	}
	if readings*len(p.plain) > maxReading {
		return false
	}
	var buf [256]byte
	mem := buf[:0]
	for how := ambiguity(1); how <= p.odd; how++ {
		if how&^p.odd != 0 {
			continue
		}
		reading, ok := appendReading(mem[:0], p.plain, how)
		if mem = reading; !ok || l.find(reading) != rt {
			return false
		}
		// What begins so names a host to browsers; see hidden.
		if how&backslash != 0 && bytes.HasPrefix(p.raw, []byte(`/\`)) && l.find(behindHost(reading)) != rt {
			return false
		}
	}
	return true
}

// hidden reports whether what parses URLs, as RFC 3986 4.2 and browsers have it,
// finds another route's path behind the first segment: of "//x/admin" it takes x
// for a host. PHP's parse_url and JavaScript's URL are such parsers.
func (p *path) hidden(l lookup, rt *route) bool {
	return len(p.raw) > 1 && p.raw[1] == '/' && (p.odd != 0 || l.find(behindHost(p.plain)) != rt)
}

// behindHost returns a path without its first segment.
func behindHost(path []byte) []byte {
	if i := bytes.IndexByte(path[1:], '/'); i >= 0 {
		return path[1+i:]
	}
	return path[:1]
}

// choose decides in which form p, whose route is rt, is forwarded.
func (p *path) choose(l lookup, rt *route, form PathForm) {
	if rt.form != PathAuto {
		form = rt.form
	}
	switch p.forward = p.normal; {
	case form == PathNormalized, form == PathAuto && rt.guarded(), p.joined, bytes.Equal(p.raw, p.normal), l.find(p.raw) != rt, p.hidden(l, rt):
	default:
		p.forward = p.raw
	}
}

// behind returns what follows in path the part that is n bytes long in its
// plain form.
func behind(path []byte, n int) []byte {
	for n > 0 && len(path) > 0 {
		c, size := unescape(path)
		if size > 1 && (c == '/' || c == '%') {
			n -= size
		} else {
			n--
		}
		path = path[size:]
	}
	return path
}

// plainPath returns the plain form of a path that a route is configured with,
// and whether it is one.
func plainPath(s string) (plain string, ok bool) {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f || s[i] == '?' || s[i] == '#' {
			return s, false
		}
	}
	var p path
	why := p.set([]byte(s), &PathPolicy{EncodedSlash: PathKeep, Backslash: PathKeep, Semicolon: PathKeep})
	return string(p.plain), why == "" && !p.joined && strings.HasPrefix(s, "/")
}

// isUnreserved reports whether c is of RFC 3986's unreserved characters.
func isUnreserved(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '-' || c == '.' || c == '_' || c == '~'
}

func upperHex(n byte) byte { return "0123456789ABCDEF"[n] }
