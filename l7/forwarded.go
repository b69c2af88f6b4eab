package l7

import "net/netip"

// appendForwarded appends an element of the Forwarded header (RFC 7239), for
// one hop: the address of its peer, the host that was asked for, which may be
// empty, and the scheme.
func appendForwarded(dst []byte, peer netip.Addr, host []byte, proto string) []byte {
	dst = append(dst, "for="...)
	switch {
	case !peer.IsValid():
		dst = append(dst, "unknown"...)
	case peer.Is6() && !peer.Is4In6():
		dst = append(dst, `"[`...)
		dst = append(peer.WithZone("").AppendTo(dst), `]"`...)
	default:
		dst = peer.Unmap().AppendTo(dst)
	}
	if len(host) > 0 {
		dst = append(dst, ";host="...)
		if isToken(host) {
			dst = append(dst, host...)
		} else {
			// A valid host has neither quotes nor backslashes.
			dst = append(append(append(dst, '"'), host...), '"')
		}
	}
	return append(append(dst, ";proto="...), proto...)
}
