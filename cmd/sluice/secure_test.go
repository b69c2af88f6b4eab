package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"

	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/proxyproto"
)

// TestSecureListeners asks an HTTP listener that has TLS behind a PROXY
// header, and a TCP one that speaks TLS with its backend; the certificate of
// the first is renewed meanwhile.
func TestSecureListeners(t *testing.T) {
	t.Parallel()
	ca := certificatetest.NewAuthority(t)
	cert, key := ca.Write(t, "old.example", "web.example")
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", r.Host, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"))
	})
	plain := httptest.NewServer(handler)
	t.Cleanup(plain.Close)
	backCert, backKey := ca.Write(t, "back.example")
	pair, err := tls.LoadX509KeyPair(backCert, backKey)
	if err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewUnstartedServer(handler)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	secure.StartTLS()
	t.Cleanup(secure.Close)

	s := start(t, "sluice", nil, "--admin=127.0.0.1:0",
		"--l7=127.0.0.1:0,proxy-in=v1v2,tls-cert="+cert+",tls-key="+key, "--route=/=web", "--backend=web="+plain.Listener.Addr().String(),
		"--l4=127.0.0.1:0=back", "--service=back,tls=verify,tls-ca="+ca.WriteCA(t)+",tls-server-name=back.example", "--backend=back="+secure.Listener.Addr().String())
	l7, l4 := s.addr("l7"), s.addr("l4")

	ask := func() (answer, shown string) {
		t.Helper()
		nc, err := net.Dial("tcp", l7)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_, _ = nc.Write(proxyproto.Append(nil, 2, proxyproto.Proxy, netip.MustParseAddrPort("192.0.2.7:1"), netip.MustParseAddrPort("192.0.2.8:443")))
		c := tls.Client(nc, &tls.Config{RootCAs: ca.Pool(), ServerName: "web.example"})
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b), c.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	if answer, shown := ask(); answer != "web.example 192.0.2.7 https" || shown != "old.example" {
		t.Fatalf("unexpected answer %q, shown %q", answer, shown)
	}
	newCert, newKey := ca.Issue(t, "new.example", "web.example")
	for path, b := range map[string][]byte{cert: newCert, key: newKey} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the renewed certificate is shown", func() bool { _, shown := ask(); return shown == "new.example" })

	if status, body := get("http://" + l4 + "/"); status != http.StatusOK || !strings.HasPrefix(body, l4) {
		t.Fatalf("unexpected answer through TLS to the backend: %d, %q", status, body)
	}
}
