package listen

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/certificate"
	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/proxyproto"
)

// greet connects to a new listener, sends bytes and returns what Handshake
// says of the connection.
func greet(t *testing.T, cfg Config, send func(net.Conn)) (*Listener, *Guest, error) {
	t.Helper()
	cfg.Kind, cfg.Name, cfg.Address = "l4", "db", "127.0.0.1:0"
	cfg.Logger, cfg.Metrics = slog.New(slog.DiscardHandler), metrics.NewSet()
	l, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	go send(far)
	c, err := l.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	g, err := c.Handshake(t.Context())
	if err == nil {
		t.Cleanup(func() { g.Conn.Close() })
	}
	return l, g, err
}

var (
	theClient = netip.MustParseAddrPort("192.0.2.1:1000")
	theTarget = netip.MustParseAddrPort("192.0.2.2:443")
)

func serverConfig(t *testing.T) *tls.Config {
	t.Helper()
	cert, key := certificatetest.NewAuthority(t).Write(t, "db.example")
	s, err := certificate.Open(slog.New(slog.DiscardHandler), certificate.Source{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return s.Server()
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	both := proxyproto.V1 | proxyproto.V2
	here := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	elsewhere := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	header := proxyproto.Append(nil, 2, proxyproto.Proxy, theClient, theTarget)
	local := proxyproto.Append(nil, 2, proxyproto.Local, netip.AddrPort{}, netip.AddrPort{})
	for _, c := range []struct {
		name   string
		policy proxyproto.Policy
		tls    bool
		send   string
		client bool // the header's is the client
		read   string
	}{
		{"no header", proxyproto.Policy{}, false, "hello", false, ""},
		{"header", proxyproto.Policy{Versions: both}, false, string(header), true, ""},
		{"header and more", proxyproto.Policy{Versions: both}, false, string(header) + "hello", true, "hello"},
		{"trusted", proxyproto.Policy{Versions: both, From: here}, false, string(header), true, ""},
		{"untrusted", proxyproto.Policy{Versions: both, From: elsewhere}, false, string(header), false, ""},
		{"local", proxyproto.Policy{Versions: both}, false, string(local), false, ""},
		{"tls", proxyproto.Policy{}, true, "", false, ""},
		{"header and tls", proxyproto.Policy{Versions: both}, true, string(header), true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{Proxy: c.policy}
			if c.tls {
				cfg.TLS = serverConfig(t)
			}
			var peer netip.AddrPort
			sent := make(chan struct{})
			l, g, err := greet(t, cfg, func(far net.Conn) {
				defer close(sent)
				peer = addrPortOf(far.LocalAddr())
				_, _ = far.Write([]byte(c.send))
				if c.tls {
					tc := tls.Client(far, &tls.Config{InsecureSkipVerify: true, ServerName: "db.example"})
					_, _ = tc.Write([]byte("secret"))
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			<-sent
			want, wantLocal := peer, addrPortOf(l.Addr())
			if c.client {
				want, wantLocal = theClient, theTarget
			}
			if g.Client != want || g.Local != wantLocal || string(g.Read) != c.read || (g.TLS != nil) != c.tls {
				t.Fatalf("unexpected guest %+v; want client %v, local %v", g, want, wantLocal)
			}
			if c.tls {
				b := make([]byte, 6)
				if _, err := io.ReadFull(g.Conn, b); err != nil || string(b) != "secret" || g.TLS.ServerName != "db.example" {
					t.Fatalf("unexpected bytes %q for %q, error %v", b, g.TLS.ServerName, err)
				}
			}
			g.Conn.Close()
			if l.Open() != 0 {
				t.Fatal("the connection's place was not given back")
			}
		})
	}
}

func TestHandshakeFails(t *testing.T) {
	t.Parallel()
	both := proxyproto.Policy{Versions: proxyproto.V1 | proxyproto.V2}
	for _, c := range []struct {
		name   string
		policy proxyproto.Policy
		tls    bool
		send   string
		leave  bool
		reason Rejection // rejections: none
	}{
		{"no header", both, false, "GET / HTTP/1.1\r\n", false, ProxyHeader},
		{"version not accepted", proxyproto.Policy{Versions: proxyproto.V2}, false, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", false, ProxyHeader},
		{"half a header", both, false, "PROXY TCP4 192.0", true, ProxyHeader},
		{"nothing in time", both, false, "", false, ProxyHeader},
		{"nothing at all", both, false, "", true, rejections},
		{"no TLS", proxyproto.Policy{}, true, "GET / HTTP/1.1\r\n\r\n", false, TLSHandshake},
		{"no TLS in time", proxyproto.Policy{}, true, "", false, TLSHandshake},
		{"leaves without TLS", proxyproto.Policy{}, true, "", true, rejections},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{Proxy: c.policy, HandshakeTimeout: 300 * time.Millisecond}
			if c.tls {
				cfg.TLS = serverConfig(t)
			}
			l, _, err := greet(t, cfg, func(far net.Conn) {
				_, _ = far.Write([]byte(c.send))
				if c.leave {
					far.Close()
				}
			})
			if err == nil {
				t.Fatal("no error")
			}
			for r := range rejections {
				want := uint64(0)
				if r == c.reason {
					want = 1
				}
				if got := l.rejected[r].Get(); got != want {
					t.Errorf("unexpected rejections by %v; got %d; want %d (%v)", r, got, want, err)
				}
			}
			l.Close()
			if err := l.Wait(t.Context()); err != nil { // for its place, which may be given back elsewhere
				t.Fatal(err)
			}
		})
	}
}

// TestHandshakeLimits counts connections by the client that the header names.
func TestHandshakeLimits(t *testing.T) {
	t.Parallel()
	l, err := Listen(Config{
		Kind: "l4", Name: "db", Address: "127.0.0.1:0", MaxConnsPerClient: 1,
		Proxy: proxyproto.Policy{Versions: proxyproto.V2}, Logger: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	enter := func(client string) error {
		t.Helper()
		far, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { far.Close() })
		_, _ = far.Write(proxyproto.Append(nil, 2, proxyproto.Proxy, netip.MustParseAddrPort(client), theTarget))
		c, err := l.AcceptConn()
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Handshake(t.Context())
		return err
	}
	if err := errors.Join(enter("192.0.2.1:1"), enter("192.0.2.2:1")); err != nil {
		t.Fatal(err)
	}
	if err := enter("192.0.2.1:2"); err == nil {
		t.Fatal("no error for a client's second connection")
	}
	if got := l.rejected[ClientConns].Get(); got != 1 || l.Open() != 2 {
		t.Fatalf("unexpected state; %d rejected, %d open", got, l.Open())
	}
}
