package http1

import (
	"bytes"
	"math"
)

// NextToken cuts the first element off a comma-separated list. rest is nil
// after the last one.
func NextToken(list []byte) (token, rest []byte) {
	i := bytes.IndexByte(list, ',')
	if i < 0 {
		return TrimSpace(list), nil
	}
	return TrimSpace(list[:i]), list[i+1:]
}

// ParseLength parses 1*DIGIT.
func ParseLength(b []byte) (int64, bool) {
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

// TrimSpace returns b without the spaces and tabs around it.
func TrimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func inSet(c byte, below, above uint64) bool {
	if c < 64 {
		return below>>c&1 != 0
	}
	return c < beyondASCII && above>>(c-64)&1 != 0
}

// IsToken reports whether b is a token of RFC 9110 5.6.2.
func IsToken(b []byte) bool {
	for _, c := range b {
		if !inSet(c, tokenBelow, tokenAbove) {
			return false
		}
	}
	return len(b) > 0
}

// IsFieldValue reports whether b has no control byte but HTAB.
func IsFieldValue(b []byte) bool {
	for _, c := range b {
		if (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return true
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

// EqualFold reports whether b is s, which is in lower case, in any case.
func EqualFold(b []byte, s string) bool {
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

// isUnreserved reports whether c is of RFC 3986's unreserved characters.
func isUnreserved(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '-' || c == '.' || c == '_' || c == '~'
}

func upperHex(n byte) byte { return "0123456789ABCDEF"[n] }
