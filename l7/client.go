package l7

import (
	"bytes"
	"net/netip"
	"unsafe"
)

// A request's client is whom limits, stickiness and the access log are about:
// the peer of its connection, unless that is a trusted proxy that says for whom
// it speaks.

// maxHops is how many addresses of X-Forwarded-For are looked at.
const maxHops = 32

// clientOf returns the client of a request that came from peer: the last
// address in X-Forwarded-For that is not a trusted proxy's, as nginx finds it
// with real_ip_recursive. What is left of it could have been made up. If the
// peer is not trusted, it is the client.
func clientOf(fields []field, peer netip.Addr, trusted []netip.Prefix) netip.Addr {
	client := peer
	if !contains(trusted, peer) {
		return client
	}
	hops := 0
	for i := len(fields) - 1; i >= 0; i-- { // several lines are one list
		if fields[i].kind != kindForwardedFor {
			continue
		}
		for rest := fields[i].value; len(rest) > 0; {
			var hop []byte
			if j := bytes.LastIndexByte(rest, ','); j >= 0 {
				hop, rest = rest[j+1:], rest[:j]
			} else {
				hop, rest = rest, nil
			}
			a, ok := parseHop(trimSpace(hop))
			if hops++; !ok || hops > maxHops {
				return client // whoever wrote this, the last one known is to blame
			}
			if client = a; !contains(trusted, a) {
				return client
			}
		}
	}
	return client
}

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

// secure reports whether the client speaks HTTPS: with sluice, or with a
// trusted proxy that says so.
func secure(fields []field, tls, trusted bool) bool {
	if tls || !trusted {
		return tls
	}
	for i := range fields {
		if f := &fields[i]; f.kind == kindForwardedProto {
			return equalFold(f.value, "https")
		}
	}
	return false
}
