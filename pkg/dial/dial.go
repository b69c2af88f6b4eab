// Package dial makes one connection to a backend, for who may block: its name is
// looked up, its addresses are tried as RFC 8305 has it, and where TLS is spoken
// with it, a PROXY header is sent and hands are shaken. Which backend that is, and
// what becomes of a failure, is decided elsewhere (pkg/attempt).
package dial

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/tcp"
)

// Dialer makes connections. Its zero value does.
type Dialer struct {
	// UserTimeout is TCP's user timeout (RFC 5482) of the connections. 0 means
	// the system's own limits.
	UserTimeout time.Duration

	net net.Dialer
}

// TCP connects to b until ctx ends. The caller owns the connection. The error
// names every address that was tried.
func (d *Dialer) TCP(ctx context.Context, b *backend.Backend) (*net.TCPConn, error) {
	addrs, err := b.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	c, addr, err := backend.Race(ctx, addrs, func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
		return d.net.DialContext(ctx, "tcp", addr.String())
	}, func(c net.Conn) { c.Close() })
	if err != nil {
		b.Unreached()
		return nil, err
	}
	b.Reached(addr)
	tcp.SetUserTimeout(c, d.UserTimeout)
	return c.(*net.TCPConn), nil
}

// TLS connects to b, sends header, and shakes hands by cfg, until ctx ends. The
// caller owns the connection.
func (d *Dialer) TLS(ctx context.Context, b *backend.Backend, cfg *tls.Config, header []byte) (*tls.Conn, error) {
	c, err := d.TCP(ctx, b)
	if err != nil {
		return nil, err
	}
	if len(header) > 0 {
		if deadline, ok := ctx.Deadline(); ok {
			_ = c.SetWriteDeadline(deadline)
		}
		_, err = c.Write(header)
		_ = c.SetWriteDeadline(time.Time{})
	}
	tc := tls.Client(tcp.NewLine(c, nil), cfg)
	if err == nil {
		err = tc.HandshakeContext(ctx)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("cannot speak TLS with the backend: %w", err)
	}
	return tc, nil
}
