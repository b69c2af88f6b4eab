package health

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/proxyproto"
)

// Layer is how much of a backend a check tests.
type Layer uint8

const (
	Nothing Layer = iota
	Connect       // that a connection can be made
	Answer        // that a request is answered as it should be
)

// Result is what a check found beside that it passed.
type Result struct {
	// Tested is what has been tested.
	Tested Layer
	// Word is what the backend says of itself, and BadWord what it says that
	// cannot be understood.
	Word    backend.Word
	BadWord string
}

// Check is one way to find out whether a backend answers.
type Check interface {
	// Probe returns no error if the backend at addr, host:port, answers as it
	// should before ctx ends. It is safe for concurrent use.
	Probe(ctx context.Context, addr string) (Result, error)
	// String names the check for logs, for instance "tcp check".
	String() string
}

// Via is how backends are reached. The zero value is a bare connection.
type Via struct {
	// ProxyOut is the version of the PROXY header, 1 or 2, with which their
	// connections begin; 0 for none. A check stands for nobody (LOCAL).
	ProxyOut int
	// TLS, if not nil, is spoken with them.
	TLS *tls.Config
	// HTTP2 says that they speak HTTP/2 where they speak HTTP.
	HTTP2 bool
}

// dial connects and sends the header.
func (v Via) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, at(ctx, addr))
	if err != nil || v.ProxyOut == 0 {
		return c, err
	}
	header := proxyproto.Append(nil, v.ProxyOut, proxyproto.Local, addrPort(c.LocalAddr()), addrPort(c.RemoteAddr()))
	if _, err := c.Write(header); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort()
	}
	return netip.AddrPort{}
}

// TCPCheck passes if a TCP connection can be made.
type TCPCheck struct{}

// Probe begins a connection and abandons it before the handshake is complete,
// as HAProxy does: the SYN was answered, which is what is asked, and the process
// behind it never hears of a connection that nobody uses. Servers would log
// one, or count it (MariaDB blocks a host after a hundred), or fall over a reset
// that they do not expect. Where that cannot be had it ends by a FIN.
func (TCPCheck) Probe(ctx context.Context, addr string) (Result, error) {
	d := net.Dialer{KeepAlive: -1, Control: delayACK} // keep-alives would be four calls for nothing
	c, err := d.DialContext(ctx, "tcp", at(ctx, addr))
	if err != nil {
		return Result{}, err
	}
	abandon(c.(*net.TCPConn))
	return Result{Tested: Connect}, c.Close()
}

func (TCPCheck) String() string { return "tcp check" }

// goodbye is how long the other side may take to end a connection that we have
// ended.
const goodbye = time.Second

// hangUp ends a connection that was used politely: by our FIN, after a TLS alert
// if it speaks TLS, and by no reset for what the other side still says. It does
// not wait.
func hangUp(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(goodbye))
	go func() {
		defer c.Close()
		if tc, ok := c.(*tls.Conn); ok {
			_ = tc.CloseWrite()
			c = tc.NetConn()
		}
		if tc, ok := c.(*net.TCPConn); ok && tc.CloseWrite() == nil {
			_, _ = io.Copy(io.Discard, tc)
		}
	}()
}
