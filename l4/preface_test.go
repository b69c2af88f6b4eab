package l4_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/certificate"
	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/listen"
	"sluice/pkg/proxyproto"
)

// addrPortOf returns an address of a connection, an IPv4 one as such.
func addrPortOf(a net.Addr) netip.AddrPort {
	p := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

var (
	proxied = netip.MustParseAddrPort("192.0.2.7:4711")
	target  = netip.MustParseAddrPort("192.0.2.8:443")
)

// TestProxyHeaders passes every version in and out, whole and byte by byte,
// with bytes of the client right behind.
func TestProxyHeaders(t *testing.T) { eachDriver(t, testProxyHeaders) }

func testProxyHeaders(t *testing.T) {
	for in := range 3 {
		for out := range 3 {
			var lc listen.Config
			if in > 0 {
				lc.Proxy.Versions = proxyproto.V1 | proxyproto.V2
			}
			var versions proxyproto.Versions
			if out > 0 {
				versions = proxyproto.Versions(out)
			}
			f := start(t, lc, l4.Config{Routes: []l4.Route{{Service: l4.Service{
				Balancer: balancerOf(t, "db", serveGreeting(t, "a", versions)), ProxyOut: out,
			}}}})
			for _, step := range []int{1, 1000} {
				c := f.dial()
				sent := []byte("hello\n")
				client, local := addrPortOf(c.LocalAddr()), addrPortOf(c.RemoteAddr())
				if in > 0 {
					client, local = proxied, target
					sent = append(proxyproto.Append(nil, in, proxyproto.Proxy, proxied, target), sent...)
				}
				for i := 0; i < len(sent); i += step {
					if _, err := c.Write(sent[i:min(i+step, len(sent))]); err != nil {
						t.Fatal(err)
					}
				}
				_ = c.CloseWrite()
				got, err := io.ReadAll(c)
				want := "a\n"
				if out > 0 {
					want += fmt.Sprintf("%v %v\n", client, local)
				}
				if want += "hello\n"; err != nil || string(got) != want {
					t.Fatalf("in v%d, out v%d, by %d: unexpected answer %q, error %v; want %q", in, out, step, got, err, want)
				}
			}
			f.shutdown()
		}
	}
}

// TestBadPrefaces sends what no header and no ClientHello is: nothing of it
// reaches a backend, and the connection ends.
func TestBadPrefaces(t *testing.T) { eachDriver(t, testBadPrefaces) }

func testBadPrefaces(t *testing.T) {
	for _, x := range []struct {
		name, sni, send string
		proxy           proxyproto.Versions
		reason          string
	}{
		{"no header", "", "GET / HTTP/1.1\r\n\r\n", proxyproto.V1, "proxy_header"},
		{"nothing instead of a header", "", "", proxyproto.V1, "proxy_header"},
		{"half a header", "", "PROXY TCP4 192.0.2.1 ", proxyproto.V1, "proxy_header"},
		{"no TLS", "a.example", "GET / HTTP/1.1\r\n\r\n", 0, "no_route"},
		{"broken TLS", "a.example", "\x16\x03\x01\x00\x04\x01\x00\x00\x00", 0, "tls_handshake"},
		{"half a ClientHello", "a.example", "\x16\x03\x01\x02\x00\x01\x00", 0, "tls_handshake"},
	} {
		reached := make(chan struct{}, 10)
		timeout := 30 * time.Second
		if strings.HasPrefix(x.name, "half") || x.send == "" { // which only time can tell
			timeout = 200 * time.Millisecond
		}
		f := start(t, listen.Config{HandshakeTimeout: timeout, Proxy: proxyproto.Policy{Versions: x.proxy}},
			l4.Config{Routes: []l4.Route{{Name: x.sni, Service: l4.Service{Balancer: balancerOf(t, "db", serveTCP(t, func(*net.TCPConn) { reached <- struct{}{} }))}}}})
		c := f.dial()
		if _, err := io.WriteString(c, x.send); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); len(b) > 0 {
			t.Fatalf("%s: unexpected answer %q, %v", x.name, b, err)
		}
		f.shutdown()
		var b bytes.Buffer
		f.set.WritePrometheus(&b)
		if !strings.Contains(b.String(), fmt.Sprintf("reason=%q} 1\n", x.reason)) {
			t.Fatalf("%s: not counted as %s:\n%s", x.name, x.reason, b.String())
		}
		if len(reached) > 0 {
			t.Fatalf("%s: a backend was reached", x.name)
		}
	}
}

// slowly writes byte by byte.
type slowly struct{ net.Conn }

func (s slowly) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := s.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// TestSNI routes by name without taking part in the handshake; PROXY headers
// may come before, in both directions.
func TestSNI(t *testing.T) { eachDriver(t, testSNI) }

func testSNI(t *testing.T) {
	ca := certificatetest.NewAuthority(t)
	certs := storeOf(t, ca, "a.example", "*.b.example", "x.b.example", "other.example")
	routes := []l4.Route{
		{Name: "a.example", Service: l4.Service{Balancer: balancerOf(t, "a", serveTLS(t, "a", certs.Server()))}},
		{Name: "*.b.example", Service: l4.Service{Balancer: balancerOf(t, "b", serveTLS(t, "b", certs.Server()))}},
		{Name: "x.b.example", Service: l4.Service{Balancer: balancerOf(t, "x", serveTLS(t, "x", certs.Server()))}},
		{Service: l4.Service{Balancer: balancerOf(t, "other", serveTLS(t, "other", certs.Server()))}},
	}
	f := start(t, listen.Config{}, l4.Config{Routes: routes})
	proxied := start(t, listen.Config{Proxy: proxyproto.Policy{Versions: proxyproto.V2}}, l4.Config{Routes: routes})
	strict := start(t, listen.Config{}, l4.Config{Routes: routes[:3]})
	for name, want := range map[string]string{
		"a.example": "a", "A.Example": "a", "1.b.example": "b", "x.b.example": "x", "1.2.b.example": "other", "b.example": "other", "other.example": "other",
	} {
		for _, slow := range []bool{false, true} {
			for _, g := range []*fixture{f, proxied} {
				var nc net.Conn = g.dial()
				if g == proxied {
					_, _ = nc.Write(proxyproto.Append(nil, 2, proxyproto.Proxy, target, target))
				}
				if slow {
					nc = slowly{nc}
				}
				c := tls.Client(nc, &tls.Config{RootCAs: ca.Pool(), ServerName: name, InsecureSkipVerify: want == "other"})
				got := line(t, bufio.NewReader(c))
				if got != want+" "+strings.ToLower(name) && got != want+" "+name {
					t.Fatalf("unexpected backend for %q: %q", name, got)
				}
				c.Close()
			}
		}
		if want != "other" {
			continue
		}
		c := tls.Client(strict.dial(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err := c.Handshake(); err == nil {
			t.Fatalf("unexpected handshake for %q, which has no route", name)
		}
	}
	f.shutdown()
}

func storeOf(t *testing.T, ca *certificatetest.Authority, names ...string) *certificate.Store {
	t.Helper()
	cert, key := ca.Write(t, names...)
	s, err := certificate.Open(slog.New(slog.DiscardHandler), certificate.Source{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
