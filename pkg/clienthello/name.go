package clienthello

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
)

const (
	maxName  = 253 // without a dot at its end: 255 bytes in DNS (RFC 1035, 2.3.4)
	maxLabel = 63
)

// ParsePattern returns s as names are compared with, in lower case and without a dot at
// its end: a DNS name, or "*." and a DNS name. An IP address is not one, since
// no client may ask for it by name.
func ParsePattern(s string) (string, error) {
	rest, _ := strings.CutPrefix(s, "*.")
	if name, ok := hostName([]byte(rest)); !ok || name == "" || len(s) > maxName+1 {
		return "", fmt.Errorf("invalid server name %q; want a DNS name such as www.example.com, or *.example.com", s)
	}
	return strings.ToLower(strings.TrimSuffix(s, ".")), nil
}

// hostName returns raw, which it changes, as a name in lower case and without
// a dot at its end; "" for an IP address. It reports whether raw is either.
func hostName(raw []byte) (name string, ok bool) {
	raw = bytes.TrimSuffix(raw, []byte{'.'})
	if len(raw) > maxName {
		return "", false
	}
	label, digits := 0, true // the current label's length, and whether it is a number
	for i, c := range raw {
		switch {
		case c == '.':
			if label == 0 {
				return "", false
			}
			label, digits = 0, true
			continue
		case 'A' <= c && c <= 'Z':
			raw[i] = c + 'a' - 'A'
			digits = false
		case 'a' <= c && c <= 'z' || c == '-' || c == '_':
			digits = false
		case '0' <= c && c <= '9':
		case c == ':':
			return "", isAddr(raw)
		default:
			return "", false
		}
		label++
		if label > maxLabel {
			return "", false
		}
	}
	if label == 0 {
		return "", false
	}
	if digits && isAddr(raw) {
		return "", true
	}
	return string(raw), true
}

// isAddr is only asked about what looks like an address: its errors are
// allocated.
func isAddr(raw []byte) bool {
	_, err := netip.ParseAddr(string(raw))
	return err == nil
}
