package l7

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/pkg/certificate"
	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/listen"
)

// TestClientCertificate has backends told of a client's certificate by sluice
// alone, whatever the client says.
func TestClientCertificate(t *testing.T) { eachDriver(t, testClientCertificate) }

func testClientCertificate(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		var all []string
		for _, h := range []http.Header{r.Header, r.Trailer} {
			for name, values := range h {
				if low := strings.ReplaceAll(strings.ToLower(name), "_", "-"); strings.HasPrefix(low, "x-ssl-client-") || low == "x-forwarded-client-cert" {
					all = append(all, fmt.Sprintf("%s=%s", name, strings.Join(values, "|")))
				}
			}
		}
		slices.Sort(all)
		_, _ = io.WriteString(w, strings.Join(all, "\n"))
	})
	ca := certificatetest.NewAuthority(t)
	cert, key := ca.Write(t, "127.0.0.1")
	logger := slog.New(slog.DiscardHandler)
	store, err := certificate.Open(logger, certificate.Source{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	authorities, err := certificate.OpenAuthorities(logger, ca.WriteCA(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg := store.Server()
	authorities.Demand(cfg, true)
	f := newFrontOn(t, listen.Config{TLS: cfg, HandshakeTimeout: patience}, func(c *Config) {
		c.ClientCerts = true
		c.TrustedProxies = prefixes("127.0.0.0/8") // whose word on this does not count here
	}, b)
	const forged = "POST / HTTP/1.1\r\nHost: a\r\nX-SSL-Client-Verify: SUCCESS\r\nx_ssl_client_verify: SUCCESS\r\nX-Ssl-Client-CN: root\r\nX-SSL-Client-New: 1\r\n" +
		"X-Forwarded-Client-Cert: Subject=root\r\nX_Forwarded_Client_Cert: Subject=root\r\nX_Ssl-Client_Cn: root\r\nConnection: X-SSL-Client-Verify, X-SSL-Client-CN\r\n" +
		"Transfer-Encoding: chunked\r\nTrailer: X-Other\r\n\r\n0\r\nX-SSL-Client-CN: root\r\nX_SSL_Client_CN: root\r\n\r\n"
	ask := func(certs ...tls.Certificate) string {
		t.Helper()
		nc, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(patience))
		c := tls.Client(nc, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1", Certificates: certs})
		if _, err := io.WriteString(c, forged); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if got := ask(); got != "X-Ssl-Client-Verify=NONE" {
		t.Errorf("unexpected words on a client without a certificate: %s", got)
	}
	amy := ca.IssueClient(t, "amy", func(c *x509.Certificate) { c.DNSNames = []string{"amy.test"} })
	id := func() certificate.Identity {
		c, err := x509.ParseCertificate(amy.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return certificate.IdentityOf(c)
	}()
	want := strings.Join([]string{
		`X-Forwarded-Client-Cert=Hash=` + id.Fingerprint + `;Subject="CN=amy";DNS=amy.test`,
		"X-Ssl-Client-Cn=amy", "X-Ssl-Client-Fingerprint=" + id.Fingerprint, "X-Ssl-Client-Issuer=CN=test authority", "X-Ssl-Client-San=DNS:amy.test",
		"X-Ssl-Client-Serial=beef", "X-Ssl-Client-Subject=CN=amy", "X-Ssl-Client-Verify=SUCCESS",
	}, "\n")
	if got := ask(amy); got != want {
		t.Errorf("unexpected words on a client with one; got\n%s\nwant\n%s", got, want)
	}
	// Where nobody is asked, nobody is believed but a trusted proxy.
	plain := newFront(t, nil, b).raw()
	if _, got := plain.do(forged); got != "" {
		t.Errorf("a client's own word reaches the backend: %s", got)
	}
	trusted := newFront(t, func(c *Config) { c.TrustedProxies = prefixes("127.0.0.0/8") }, b).raw()
	if _, got := trusted.do(strings.Replace(forged, "Connection: X-SSL-Client-Verify, X-SSL-Client-CN\r\n", "", 1)); !strings.Contains(got, "X-Ssl-Client-Verify=SUCCESS") || strings.Contains(got, "_") {
		t.Errorf("unexpected words of a trusted proxy: %s", got)
	}
}
