package gate

import (
	"bytes"
	"net/netip"
	"strconv"

	"sluice/l7/http1"
)

// origin is what sluice knows of where a request came from. It is found once,
// and everything that is said of it, to backends in headers, to clients in
// redirects, HSTS and cookies, is said by this.
type origin struct {
	// Of the connection, or of its PROXY header:
	peer    netip.Addr
	trusted bool // the peer's own word is believed

	// As find finds them; before that, what the connection alone says:
	client netip.Addr
	hops   []netip.Addr // trusted proxies between the client and the peer, the nearest to us first
	secure bool         // the client uses HTTPS
	asked  []byte       // the host that it asks for, with a port if it named one; empty if it named none
	port   uint16       // and the port

	requestID []byte // the client's own if it is kept, or one made for it
	trace     trace
	forwarded bool   // Forwarded is said as well
	host      string // in place of the client's Host; empty means that
	mark      string // of this process and the service, in CDN-Loop
}

// maxHops is how many proxies on a request's way are looked at.
const maxHops = 32

// find finds the client of a request and by which scheme, host and port it
// asked. A peer that is not trusted is the client. What a trusted one says in
// X-Forwarded-* counts, then what it says in Forwarded, then X-Real-IP, then
// what its connection shows: most proxies manage the first and pass on what
// clients make up of the others.
func (o *origin) find(fields []http1.Field, proxies []netip.Prefix) {
	o.client = o.peer
	if !o.trusted {
		return
	}
	said := uint32(0)
	for i := range fields {
		said |= 1 << fields[i].Kind
	}
	var at place
	var memory [maxHops]element
	elements := memory[:0]
	if said&(1<<http1.KindForwarded) != 0 {
		elements = parseForwarded(elements, fields)
	}
	near := clientElement(elements, proxies) // and what follows it
	switch {
	case said&(1<<http1.KindForwardedFor) != 0:
		at = o.walk(fields, proxies)
	case len(elements) > 0:
		for i := len(elements) - 1; i >= near; i-- {
			o.pass(elements[i].client())
		}
	case said&(1<<http1.KindRealIP) != 0:
		o.pass(parseHop(listed(fields, http1.KindRealIP, place{})))
	}
	o.findScheme(fields, at, elements[near:])
	o.findHost(fields, at, elements[near:])
}

// pass goes one hop towards the client, if it is known.
func (o *origin) pass(a netip.Addr, ok bool) {
	if !ok {
		return
	}
	if o.client != o.peer {
		o.hops = append(o.hops, o.client)
	}
	o.client = a
}

// place is where in a list with an element for each hop, of n hops, the
// client's is, counted from the end. Without n it is not known.
type place struct{ n, fromEnd int }

// walk finds the client in X-Forwarded-For: the last address that is not a
// trusted proxy's, as nginx finds it with real_ip_recursive. What is left of it
// could have been made up.
func (o *origin) walk(fields []http1.Field, proxies []netip.Prefix) (at place) {
	hops, found := 0, false
	for i := len(fields) - 1; i >= 0; i-- { // several lines are one list
		if fields[i].Kind != http1.KindForwardedFor {
			continue
		}
		at.n += 1 + bytes.Count(fields[i].Value, []byte(","))
		for rest := fields[i].Value; len(rest) > 0 && !found; {
			var hop []byte
			if j := bytes.LastIndexByte(rest, ','); j >= 0 {
				hop, rest = rest[j+1:], rest[:j]
			} else {
				hop, rest = rest, nil
			}
			a, ok := parseHop(http1.TrimSpace(hop))
			if hops++; !ok || hops > maxHops {
				found = true // whoever wrote this, the last one known is to blame
				break
			}
			o.pass(a, true)
			at.fromEnd = hops - 1
			found = !contains(proxies, a)
		}
	}
	if o.client == o.peer {
		return place{}
	}
	return at
}

// listed returns that element of the fields of a kind, which are one list, that
// was written by whoever wrote the client's in X-Forwarded-For: the one at the
// same place if both are as long, else the first.
func listed(fields []http1.Field, k http1.Kind, at place) []byte {
	n := 0
	for i := range fields {
		if fields[i].Kind == k {
			n += 1 + bytes.Count(fields[i].Value, []byte(","))
		}
	}
	want := 0
	if n == at.n && n > 0 {
		want = n - 1 - at.fromEnd
	}
	for i := range fields {
		if fields[i].Kind != k {
			continue
		}
		for rest := fields[i].Value; rest != nil; want-- {
			var element []byte
			if element, rest = http1.NextToken(rest); want == 0 {
				return element
			}
		}
	}
	return nil
}

// findScheme finds out whether the client uses HTTPS.
func (o *origin) findScheme(fields []http1.Field, at place, elements []element) {
	secure, known := parseScheme(listed(fields, http1.KindForwardedProto, at))
	for i := 0; i < len(elements) && !known; i++ {
		secure, known = parseScheme(elements[i].proto)
	}
	if !known {
		secure, known = otherScheme(fields)
	}
	if !known {
		return
	}
	if o.secure, o.port = secure, 80; secure {
		o.port = 443
	}
}

// otherScheme reads the scheme out of other headers than the usual ones.
func otherScheme(fields []http1.Field) (secure, known bool) {
	for i := range fields {
		f := &fields[i]
		if f.Kind != http1.KindForwardedOther {
			continue
		}
		switch {
		case http1.EqualFold(f.Name, "x-forwarded-scheme"), http1.EqualFold(f.Name, "x-forwarded-protocol"):
			secure, known = parseScheme(f.Value)
		case http1.EqualFold(f.Name, "x-forwarded-ssl"):
			secure, known = http1.EqualFold(f.Value, "on"), http1.EqualFold(f.Value, "on") || http1.EqualFold(f.Value, "off")
		}
		if known {
			return secure, known
		}
	}
	return false, false
}

// parseScheme reports whether a scheme is a secure one.
func parseScheme(b []byte) (secure, known bool) {
	switch {
	case http1.EqualFold(b, "https"), http1.EqualFold(b, "wss"):
		return true, true
	case http1.EqualFold(b, "http"), http1.EqualFold(b, "ws"):
		return false, true
	}
	return false, false
}

// findHost finds the host and the port that the client asks for.
func (o *origin) findHost(fields []http1.Field, at place, elements []element) {
	host := listed(fields, http1.KindForwardedHost, at)
	for i := 0; i < len(elements) && !http1.ValidHost(host); i++ {
		host = elements[i].host
	}
	if http1.ValidHost(host) {
		o.asked = host
		_, port := http1.SplitHost(host)
		if p, ok := parsePort(port); ok {
			o.port = p
		}
	}
	if p, ok := parsePort(listed(fields, http1.KindForwardedPort, at)); ok {
		o.port = p
	}
}

// parsePort reads a number from 1 to 65535.
func parsePort(b []byte) (uint16, bool) {
	n, ok := http1.ParseLength(b)
	return uint16(n), ok && len(b) <= http1.MaxPortLen && n > 0 && n <= 65535
}

// proto returns the scheme that the client uses.
func (o *origin) proto() string {
	if o.secure {
		return "https"
	}
	return "http"
}

// appendOrigin appends what is said of the origin to backends. said tells, by
// the bits of their kinds, which fields a trusted peer sent.
func (o *origin) appendOrigin(dst []byte, h *http1.Head, said uint32) []byte {
	dst = append(dst, "X-Forwarded-For: "...)
	switch {
	case said&(1<<http1.KindForwardedFor) != 0:
		dst = appendValues(dst, h, http1.KindForwardedFor)
	case o.client != o.peer:
		dst = append(o.client.AppendTo(dst), ", "...)
		for i := len(o.hops) - 1; i >= 0; i-- {
			dst = append(o.hops[i].AppendTo(dst), ", "...)
		}
	}
	dst = append(o.peer.AppendTo(dst), "\r\n"...)
	dst = http1.AppendLine(dst, "X-Forwarded-Proto", o.proto())
	if len(o.asked) > 0 {
		dst = append(dst, "X-Forwarded-Host: "...)
		dst = append(append(dst, o.asked...), "\r\n"...)
	}
	dst = append(dst, "X-Forwarded-Port: "...)
	dst = strconv.AppendUint(dst, uint64(o.port), 10)
	dst = append(dst, "\r\nX-Real-IP: "...)
	dst = append(o.client.AppendTo(dst), "\r\n"...)
	if !o.forwarded {
		return dst
	}
	dst = append(dst, "Forwarded: "...)
	dst = appendForwarded(dst, o.client, o.asked, o.proto())
	if o.client != o.peer {
		for i := len(o.hops) - 1; i >= 0; i-- {
			dst = appendNode(append(dst, ", for="...), o.hops[i])
		}
		dst = appendNode(append(dst, ", for="...), o.peer)
	}
	return append(dst, "\r\n"...)
}
