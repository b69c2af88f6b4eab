package gate

import (
	"bytes"
	"net/netip"
	"unsafe"
)

// parseHop reads an address, which may have a port as some proxies add it.
func parseHop(b []byte) (netip.Addr, bool) {
	switch {
	case len(b) == 0 || len(b) > len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535") || bytes.IndexByte(b, '%') >= 0:
		return netip.Addr{}, false
	case b[0] == '[':
		end := bytes.IndexByte(b, ']')
		if end < 0 || end+1 < len(b) && b[end+1] != ':' {
			return netip.Addr{}, false
		}
		b = b[1:end]
	case bytes.Count(b, []byte(":")) == 1:
		b = b[:bytes.IndexByte(b, ':')]
	}
	if len(b) == 0 {
		return netip.Addr{}, false
	}
	// Only an error keeps the string, and that is dropped.
	a, err := netip.ParseAddr(unsafe.String(&b[0], len(b)))
	return a.Unmap(), err == nil
}

// contains reports whether a is in one of the networks.
func contains(networks []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
