package l4_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"sluice/l4"
	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/listen"
	"sluice/pkg/proxyproto"
)

// TestTLSEnds takes TLS off in front of backends without it, chosen by name,
// with a PROXY header before it and one behind.
func TestTLSEnds(t *testing.T) { eachDriver(t, testTLSEnds) }

func testTLSEnds(t *testing.T) {
	ca := certificatetest.NewAuthority(t)
	routes := []l4.Route{
		{Name: "a.example", Service: l4.Service{Balancer: balancerOf(t, "a", serveGreeting(t, "a", proxyproto.V2)), ProxyOut: 2}},
		{Name: "*.b.example", Service: l4.Service{Balancer: balancerOf(t, "b", serveGreeting(t, "b", 0))}},
	}
	f := start(t, listen.Config{
		TLS: storeOf(t, ca, "a.example", "*.b.example").Server(), Proxy: proxyproto.Policy{Versions: proxyproto.V1},
	}, l4.Config{Routes: routes})
	dial := func(name string, versions ...uint16) (*tls.Conn, error) {
		nc := f.dial()
		_, _ = nc.Write(proxyproto.Append(nil, 1, proxyproto.Proxy, proxied, target))
		cfg := &tls.Config{RootCAs: ca.Pool(), ServerName: name}
		if len(versions) > 0 {
			cfg.MinVersion, cfg.MaxVersion = versions[0], versions[0]
		}
		c := tls.Client(nc, cfg)
		return c, c.Handshake()
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c, err := dial("a.example", version)
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		if got, want := line(t, r)+" "+line(t, r), fmt.Sprintf("a %v %v", proxied, target); got != want {
			t.Fatalf("unexpected greeting; got %q; want %q", got, want)
		}
		// More than fits in any buffer, both ways, then half-closed.
		sent := make([]byte, 8<<20)
		_, _ = rand.NewChaCha8([32]byte{2}).Read(sent)
		go func() {
			_, _ = c.Write(sent)
			_ = c.CloseWrite()
		}()
		h := sha256.New()
		if n, err := io.Copy(h, r); n != int64(len(sent)) || err != nil {
			t.Fatalf("unexpected echo of %d bytes, error %v", n, err)
		}
		if want := sha256.Sum256(sent); !bytes.Equal(h.Sum(nil), want[:]) {
			t.Fatal("unexpected bytes")
		}
		c.Close()
	}
	if _, err := dial("a.example", tls.VersionTLS11); err == nil {
		t.Fatal("unexpected handshake with TLS 1.1")
	}
	for _, name := range []string{"x.b.example", "X.B.Example"} {
		c, err := dial(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := line(t, bufio.NewReader(c)); got != "b" {
			t.Fatalf("unexpected backend %q", got)
		}
		c.Close()
	}
	f.shutdown()
}

// TestTLSToBackends speaks TLS with backends that prove their name, or not.
func TestTLSToBackends(t *testing.T) { eachDriver(t, testTLSToBackends) }

func testTLSToBackends(t *testing.T) {
	ca := certificatetest.NewAuthority(t)
	for _, x := range []struct {
		names string
		cfg   *tls.Config
		want  string // prefix of what is read
	}{
		{"127.0.0.1", &tls.Config{RootCAs: ca.Pool()}, "a "},
		{"db.example", &tls.Config{RootCAs: ca.Pool(), ServerName: "db.example"}, "a db.example"},
		{"db.example", &tls.Config{RootCAs: ca.Pool()}, ""},
		{"db.example", &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "db.example"}, ""},
		{"db.example", &tls.Config{InsecureSkipVerify: true}, "a "},
	} {
		f := start(t, listen.Config{}, l4.Config{Routes: []l4.Route{{Service: l4.Service{
			Balancer: balancerOf(t, "a", serveTLS(t, "a", storeOf(t, ca, x.names).Server())), TLS: x.cfg,
		}}}})
		var got []byte
		nc, err := net.Dial("tcp", f.addr)
		if err == nil { // it may be reset before that returns
			c := nc.(*net.TCPConn)
			go func() { _, _ = io.WriteString(c, "hello"); _ = c.CloseWrite() }()
			got, err = io.ReadAll(c)
			c.Close()
		}
		if x.want == "" && (len(got) > 0 || err == nil) {
			t.Fatalf("unexpected answer of a backend that proves nothing: %q", got)
		}
		if x.want != "" && (err != nil || !strings.HasPrefix(string(got), x.want) || !strings.HasSuffix(string(got), "\nhello")) {
			t.Fatalf("unexpected answer %q, error %v", got, err)
		}
		f.shutdown()
		want := map[l4.Reason]int{l4.ClientEOF: 1}
		if x.want == "" {
			want = map[l4.Reason]int{l4.DialFailed: 1}
		}
		f.wantEnds(want)
	}
}

// TestTLSResets passes a reset of a TLS client on.
func TestTLSResets(t *testing.T) { eachDriver(t, testTLSResets) }

func testTLSResets(t *testing.T) {
	ca := certificatetest.NewAuthority(t)
	ends := make(chan error, 1)
	f := start(t, listen.Config{TLS: storeOf(t, ca, "a.example").Server()}, l4.Config{Routes: []l4.Route{{Service: l4.Service{
		Balancer: balancerOf(t, "a", serveTCP(t, func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "hello\n")
			_, err := io.Copy(io.Discard, c)
			ends <- err
		})),
	}}}})
	nc := f.dial()
	c := tls.Client(nc, &tls.Config{RootCAs: ca.Pool(), ServerName: "a.example"})
	line(t, bufio.NewReader(c))
	_ = nc.SetLinger(0)
	nc.Close()
	if err := <-ends; err == nil {
		t.Fatal("the backend saw an end instead of a reset")
	}
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.ClientReset: 1})
}
