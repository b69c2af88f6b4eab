package http1

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

// Ambiguity is a set of ways in which servers read a path differently.
type Ambiguity uint8

const (
	Slashes     Ambiguity = 1 << iota // %2F is a slash
	Backslashes                       // so are \ and %5C
	Semicolons                        // what follows ; in a segment is no part of its name
	Questions                         // the path ends at %3F or %23
	Twice                             // what was decoded is decoded again
	NUL                               // NUL; never read, only refused
)

// Path is a request's path in the forms that are needed of it.
type Path struct {
	Raw     []byte // as it came
	Normal  []byte // what is forwarded, if not raw: RFC 3986's normal form
	Plain   []byte // what routes are found by: normal, decoded but for %2F and %25
	Forward []byte // raw or normal
	Joined  bool   // raw has other segments than normal: dots, or slashes that were none
	Odd     Ambiguity
	Mem     []byte // of normal and plain, used again
}

// Set makes p that of raw, which begins with "/" and has no "?", or is "*". If
// the request is to be refused, it says why.
func (p *Path) Set(raw []byte, policy *PathPolicy) (why string) {
	p.Raw, p.Normal, p.Plain, p.Forward, p.Joined, p.Odd = raw, raw, raw, raw, false, 0
	if isNormal(raw) {
		return ""
	}
	p.Mem = slices.Grow(p.Mem[:0], 2*len(raw)+2)
	normal, joined, why := appendNormal(p.Mem, raw, policy)
	if why != "" {
		return why
	}
	plain, odd, why := appendPlain(normal[len(normal):], normal)
	if why != "" {
		return why
	}
	p.Normal, p.Plain, p.Forward, p.Joined, p.Odd = normal, plain, normal, joined, odd
	for _, a := range [...]struct {
		odd  Ambiguity
		rule PathRule
		why  string
	}{
		{Slashes, policy.EncodedSlash, "the path has an encoded slash"},
		{Backslashes, policy.Backslash, "the path has a backslash"},
		{Semicolons, policy.Semicolon, "the path has a semicolon"},
		{NUL, nulRule(policy), "the path has an encoded NUL"},
	} {
		switch {
		case p.Odd&a.odd == 0 || a.rule == PathCheck:
		case a.rule == PathReject:
			return a.why
		default:
			p.Odd &^= a.odd
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
func appendPlain(dst, normal []byte) (_ []byte, odd Ambiguity, why string) {
	begin := len(dst)
	for i := 0; i < len(normal); {
		c, n := unescape(normal[i:])
		switch {
		case n == 1:
			dst = append(dst, c)
		case c == '/':
			odd |= Slashes
			dst = append(dst, "%2F"...)
		case c == '%':
			dst = append(dst, "%25"...)
			if again, m := unescapeAll(normal[i:]); m > n {
				odd |= Twice | oddOf(again)
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

func oddOf(c byte) Ambiguity {
	switch c {
	case '\\':
		return Backslashes
	case ';':
		return Semicolons
	case '?', '#':
		return Questions
	case 0:
		return NUL
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

// AppendReading appends plain as a server reads it that does what how says. ok
// is false if there is a dot segment in that.
func AppendReading(dst, plain []byte, how Ambiguity) (_ []byte, ok bool) {
	begin := len(dst)
	skip := false // what comes is a parameter
	start := begin
	for i := 0; i < len(plain); {
		c, n := plain[i], 1
		if c == '%' { // %2F or %25
			switch again, m := unescapeAll(plain[i:]); {
			case m == 3 && again == '/' && how&Slashes != 0, m > 3 && how&Twice != 0:
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
		case odd&how&Questions != 0:
			i = len(plain)
			continue
		case odd&how&Semicolons != 0:
			skip = true
			continue
		case odd&how&Backslashes != 0:
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

// Behind returns what follows in path the part that is n bytes long in its
// plain form.
func Behind(path []byte, n int) []byte {
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

// PlainPath returns the plain form of a path that a route is configured with,
// and whether it is one.
func PlainPath(s string) (plain string, ok bool) {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f || s[i] == '?' || s[i] == '#' {
			return s, false
		}
	}
	var p Path
	why := p.Set([]byte(s), &PathPolicy{EncodedSlash: PathKeep, Backslash: PathKeep, Semicolon: PathKeep})
	return string(p.Plain), why == "" && !p.Joined && strings.HasPrefix(s, "/")
}

// BehindHost returns a path without its first segment.
func BehindHost(path []byte) []byte {
	if i := bytes.IndexByte(path[1:], '/'); i >= 0 {
		return path[1+i:]
	}
	return path[:1]
}
