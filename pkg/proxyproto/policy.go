package proxyproto

import (
	"errors"
	"io"
	"net"
	"net/netip"
)

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

// Read reads a header of one of the accepted versions from c, whose deadline
// is the caller's business, and returns it with the bytes behind it that were
// read as well. io.EOF means that the peer closed without a word.
func Read(c net.Conn, accepted Versions) (h Header, rest []byte, err error) {
	b := make([]byte, 0, 512)
	for {
		n, err := c.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if n > 0 {
			switch h, size, parseErr := Parse(b, accepted); {
			case parseErr == nil:
				return h, b[size:], nil
			case !errors.Is(parseErr, ErrShort):
				return h, nil, parseErr
			}
		}
		if err != nil {
			if len(b) > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return h, nil, err
		}
		if len(b) == cap(b) {
			b = append(make([]byte, 0, 2*cap(b)), b...)
		}
	}
}
