package proxyproto

import "net/netip"

// Policy says which connections begin with a header. Its zero value: none.
type Policy struct {
	// Versions are those that are accepted; none means that no connection
	// begins with a header.
	Versions Versions
	// From are the networks whose connections begin with a header; the others'
	// do not. Without any, all connections do.
	From []netip.Prefix
}

// Expects reports whether a connection from peer, an IPv4 address as such,
// must begin with a header.
func (p *Policy) Expects(peer netip.Addr) bool {
	if p.Versions == 0 || len(p.From) == 0 {
		return p.Versions != 0
	}
	for _, n := range p.From {
		if n.Contains(peer) {
			return true
		}
	}
	return false
}
