package gate

import (
	"bytes"
	"net/netip"

	"sluice/l7/http1"
)

// element is one hop of a Forwarded header (RFC 7239 4): what the proxy that
// wrote it said of its peer.
type element struct{ node, host, proto []byte }

// client returns the address of the element's peer, if that is one.
func (e *element) client() (netip.Addr, bool) { return parseHop(e.node) }

// parseForwarded appends the elements of all Forwarded fields. If there are more
// than the memory holds, or a field is malformed, there are none.
func parseForwarded(elements []element, fields []http1.Field) []element {
	for i := range fields {
		if fields[i].Kind != http1.KindForwarded {
			continue
		}
		rest := fields[i].Value
		for more := true; more; {
			var e element
			var ok bool
			if e, rest, more, ok = cutElement(rest); !ok || len(elements) == cap(elements) {
				return elements[:0]
			}
			if e.node != nil || e.host != nil || e.proto != nil {
				elements = append(elements, e)
			}
		}
	}
	return elements
}

// cutElement takes the first element off a Forwarded field. more reports whether
// there is another one in rest.
func cutElement(b []byte) (e element, rest []byte, more, ok bool) {
	for {
		b = http1.TrimSpace(b)
		switch {
		case len(b) == 0:
			return e, nil, false, true
		case b[0] == ',':
			return e, b[1:], true, true
		case b[0] == ';':
			b = b[1:]
			continue
		}
		name, after, found := bytes.Cut(b, []byte("="))
		if !found || !http1.IsToken(name) {
			return e, nil, false, false
		}
		var value []byte
		if len(after) > 0 && after[0] == '"' {
			end := bytes.IndexByte(after[1:], '"')
			if end < 0 || bytes.IndexByte(after[1:1+end], '\\') >= 0 { // no address or host has one
				return e, nil, false, false
			}
			value, b = after[1:1+end], after[end+2:]
		} else {
			end := bytes.IndexAny(after, ";, \t")
			if end < 0 {
				end = len(after)
			}
			value, b = after[:end], after[end:]
		}
		b = http1.TrimSpace(b)
		if len(b) > 0 && b[0] != ';' && b[0] != ',' {
			return e, nil, false, false
		}
		switch {
		case http1.EqualFold(name, "for"):
			e.node = value
		case http1.EqualFold(name, "host"):
			e.host = value
		case http1.EqualFold(name, "proto"):
			e.proto = value
		}
	}
}

// clientElement returns the index of the element about the client: the last
// one that is not about a trusted proxy, or the first if all are.
func clientElement(elements []element, proxies []netip.Prefix) int {
	for i := len(elements) - 1; i > 0; i-- {
		if a, ok := elements[i].client(); !ok || !contains(proxies, a) {
			return i
		}
	}
	return 0
}

// appendForwarded appends an element of the Forwarded header (RFC 7239): the
// address of a client, the host that it asked for, which may be empty, and the
// scheme.
func appendForwarded(dst []byte, client netip.Addr, host []byte, proto string) []byte {
	dst = appendNode(append(dst, "for="...), client)
	if len(host) > 0 {
		dst = append(dst, ";host="...)
		if http1.IsToken(host) {
			dst = append(dst, host...)
		} else {
			// A valid host has neither quotes nor backslashes.
			dst = append(append(append(dst, '"'), host...), '"')
		}
	}
	return append(append(dst, ";proto="...), proto...)
}

// appendNode appends an address as Forwarded has it.
func appendNode(dst []byte, a netip.Addr) []byte {
	switch {
	case !a.IsValid():
		return append(dst, "unknown"...)
	case a.Is6() && !a.Is4In6():
		dst = append(dst, `"[`...)
		return append(a.WithZone("").AppendTo(dst), `]"`...)
	}
	return a.Unmap().AppendTo(dst)
}
