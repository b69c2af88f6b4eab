package epoll

import (
	"crypto/tls"
	"net"
	"net/netip"

	"sluice/pkg/reactor"
)

// localAddr returns what the client connected to.
func (x *session) localAddr() netip.AddrPort {
	if x.local != nil {
		return *x.local
	}
	if s, ok := x.client.(*reactor.Socket); ok {
		return s.LocalAddr()
	}
	return netip.AddrPort{}
}

// clientTLS returns the state of the client's TLS with us, nil without any.
func (x *session) clientTLS() *tls.ConnectionState {
	if c, ok := x.client.(interface{ NetConn() net.Conn }); ok {
		if tc, ok := c.NetConn().(*tls.Conn); ok {
			state := tc.ConnectionState()
			return &state
		}
	}
	return nil
}
