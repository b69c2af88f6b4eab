package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"sluice/pkg/certificate/certificatetest"
)

// greet makes a TLS connection to a server with cfg and returns what the server
// says, and whether a session was resumed.
func greet(t *testing.T, cfg, client *tls.Config) (said string, resumed bool) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := io.WriteString(c, "hello"); err == nil { // after the handshake
			_, _ = io.Copy(io.Discard, c)
		}
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	c := tls.Client(nc, client)
	b := make([]byte, 5)
	n, _ := io.ReadFull(c, b)
	return string(b[:n]), c.ConnectionState().DidResume
}

func TestDemand(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	own, other := certificatetest.NewAuthority(t), certificatetest.NewAuthority(t)
	cert, key := own.Write(t, "127.0.0.1")
	store, err := Open(logger, Source{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	path := own.WriteCA(t)
	a, err := OpenAuthorities(logger, path)
	if err != nil {
		t.Fatal(err)
	}
	required, optional := store.Server(), store.Server()
	a.Demand(required, false)
	a.Demand(optional, true)
	good := own.IssueClient(t, "amy", nil)
	expired := own.IssueClient(t, "amy", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	server := own.IssueClient(t, "amy", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	stranger := other.IssueClient(t, "amy", nil)
	client := func(version uint16, certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: own.Pool(), ServerName: "127.0.0.1", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(0),
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(certs) == 0 {
					return &tls.Certificate{}, nil
				}
				return &certs[0], nil // whomever the server trusts
			}}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, x := range []struct {
			what     string
			certs    []tls.Certificate
			required string
			optional string
		}{
			{"a good one", []tls.Certificate{good}, "hello", "hello"},
			{"none", nil, "", "hello"},
			{"a stranger's", []tls.Certificate{stranger}, "", ""},
			{"an expired one", []tls.Certificate{expired}, "", ""},
			{"one of a server", []tls.Certificate{server}, "", ""},
		} {
			if got, _ := greet(t, required, client(version, x.certs...)); got != x.required {
				t.Errorf("TLS %x, %s, required: got %q; want %q", version, x.what, got, x.required)
			}
			if got, _ := greet(t, optional, client(version, x.certs...)); got != x.optional {
				t.Errorf("TLS %x, %s, optional: got %q; want %q", version, x.what, got, x.optional)
			}
		}
	}
	// A session does not outlive what it was based on.
	c := client(tls.VersionTLS12, good)
	for i, want := range []bool{false, true} {
		if got, resumed := greet(t, required, c); got != "hello" || resumed != want {
			t.Errorf("connection %d: unexpected %q, resumed %v", i, got, resumed)
		}
	}
	other.ReplaceCA(t, path)
	if changed, err := a.reload(); !changed || err != nil {
		t.Fatalf("unexpected result of a reload: %v, %v", changed, err)
	}
	if got, _ := greet(t, required, c); got != "" {
		t.Errorf("a session lives on after its authority: %q", got)
	}
	if got, _ := greet(t, required, client(tls.VersionTLS13, stranger)); got != "hello" {
		t.Errorf("unexpected greeting by the new authority: %q", got)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.reload(); err == nil {
		t.Error("unexpected success of a broken file")
	}
	if got, _ := greet(t, required, client(tls.VersionTLS13, stranger)); got != "hello" {
		t.Errorf("unexpected greeting with a broken file: %q", got)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	c := &x509.Certificate{Raw: []byte("x"), DNSNames: []string{"a.test", "b, URI:spiffe://evil"}, EmailAddresses: []string{"a@b"}, IPAddresses: []net.IP{{10, 0, 0, 1}}}
	c.Subject.CommonName, c.Subject.Organization = "amy\r\nX-Evil: \"é", []string{"Org, Inc"}
	own := certificatetest.NewAuthority(t)
	pair := own.IssueClient(t, "x", func(x *x509.Certificate) {
		x.Subject, x.DNSNames, x.EmailAddresses, x.IPAddresses = c.Subject, c.DNSNames[:1], c.EmailAddresses, c.IPAddresses
		x.URIs = []*url.URL{{Scheme: "spiffe", Host: "b", Path: "/c"}}
	})
	parsed, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	parsed.DNSNames = c.DNSNames // which a careless authority would sign
	id := IdentityOf(parsed)
	for what, x := range map[string][2]string{
		"subject": {id.Subject, `CN=amy\0D\0AX-Evil: \"\C3\A9,O=Org\, Inc`},
		"name":    {id.CommonName, `amy\0D\0AX-Evil: "\C3\A9`},
		"issuer":  {id.Issuer, "CN=test authority"},
		"serial":  {id.Serial, "beef"},
		"names":   {id.NameList(), "URI:spiffe://b/c, DNS:a.test, DNS:b%2C%20URI:spiffe://evil, email:a@b, IP:10.0.0.1"},
		"header":  {id.Forwarded(), "Hash=" + id.Fingerprint + `;Subject="CN=amy\\0D\\0AX-Evil: \\\"\\C3\\A9,O=Org\\, Inc";URI=spiffe://b/c;DNS=a.test;DNS=b%2C%20URI:spiffe://evil`},
	} {
		if x[0] != x[1] {
			t.Errorf("unexpected %s; got %s; want %s", what, x[0], x[1])
		}
	}
}
