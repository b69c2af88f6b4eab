package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"sluice/pkg/preface"
	"sluice/pkg/tcp"
)

// Guest is a connection that is ready to be served.
type Guest struct {
	// Conn is the connection: a *Conn, or a *tls.Conn upon one.
	Conn net.Conn
	// Client is who connected and Local what to, as the PROXY header says if
	// there is one. IPv4 addresses are such.
	Client, Local netip.AddrPort
	// ProxyTLS reports that the PROXY header says that the client uses TLS with
	// the proxy.
	ProxyTLS bool
	// TLS is the state of the handshake; nil without TLS.
	TLS *tls.ConnectionState
	// Read is what the client has sent already, if TLS is nil.
	Read []byte
}

// SpeaksTLS reports whether connections begin with a TLS handshake.
func (l *Listener) SpeaksTLS() bool { return l.cfg.TLS != nil }

// HandshakeTimeout returns how long what comes before a connection can be
// served may take.
func (l *Listener) HandshakeTimeout() time.Duration { return l.cfg.HandshakeTimeout }

// Handshake reads the PROXY header and makes the TLS handshake that are due,
// within the listener's timeout. On an error the connection has been closed,
// and counted as rejected unless the client left without a word.
func (c *Conn) Handshake(ctx context.Context) (*Guest, error) {
	g, err := c.handshake(ctx)
	if err != nil {
		c.Close()
		return nil, err
	}
	return g, nil
}

func (c *Conn) handshake(ctx context.Context) (*Guest, error) {
	l := c.l
	g := &Guest{Conn: c, Client: c.client, Local: addrPortOf(c.LocalAddr())}
	header := l.ExpectsHeader(c.client.Addr())
	if !header && l.cfg.TLS == nil {
		return g, nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.HandshakeTimeout)
	defer cancel()
	if header {
		if err := c.readHeader(ctx, g); err != nil {
			return nil, err
		}
	}
	if l.cfg.TLS == nil {
		return g, nil
	}
	begun := &readConn{Line: tcp.NewLine(c, g.Read), heard: len(g.Read) > 0}
	g.Read = nil
	tc := tls.Server(begun, l.cfg.TLS)
	if err := tc.HandshakeContext(ctx); err != nil {
		switch {
		case begun.heard && spokeHTTP(err):
			l.Reject(TLSHandshake, g.Client.Addr(), errPlainHTTP)
			answerPlainHTTP(ctx, begun)
		case begun.heard && errors.Is(err, io.EOF):
			l.Reject(TLSHandshake, g.Client.Addr(), io.ErrUnexpectedEOF)
		case begun.heard || errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil:
			l.Reject(TLSHandshake, g.Client.Addr(), err)
		} // else it has left without a word, as probes do
		return nil, err
	}
	state := tc.ConnectionState()
	g.Conn, g.TLS = tc, &state
	return g, nil
}

// readHeader reads a PROXY header into g and enters its client.
func (c *Conn) readHeader(ctx context.Context, g *Guest) error {
	h := header{versions: c.l.cfg.Proxy.Versions}
	b, err := preface.Read(ctx, c, nil, c.l.headerLimits(), h.parse)
	if err != nil {
		if !errors.Is(err, preface.ErrLeft) {
			c.l.Reject(ProxyHeader, c.client.Addr(), err)
		}
		return err
	}
	g.Read = b[h.size:]
	if h.namesClient() {
		g.Client, g.Local = h.Source, h.Destination
		g.ProxyTLS = h.ClientTLS()
	}
	if !c.l.admitClient(&c.place, g.Client.Addr()) {
		return errors.New("too many connections of a client")
	}
	return nil
}

func addrPortOf(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := t.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// readConn is a Conn below TLS, which notes whether its client has said anything.
type readConn struct {
	*tcp.Line
	heard bool
}

func (c *readConn) Read(p []byte) (int, error) {
	n, err := c.Line.Read(p)
	if n > 0 {
		c.heard = true
	}
	return n, err
}
