package l4_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/certificate"
	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/listen"
	"sluice/pkg/proxyproto"
	"sluice/pkg/proxyproto/proxyprototest"
)

// TestClientCertificate lets clients with a certificate in alone, and tells
// backends that want a PROXY header whose it is.
func TestClientCertificate(t *testing.T) { eachDriver(t, testClientCertificate) }

func testClientCertificate(t *testing.T) {
	ca := certificatetest.NewAuthority(t)
	backend := serveTCP(t, func(c *net.TCPConn) {
		_, header, _, err := proxyprototest.Read(c, proxyproto.V2)
		if err != nil {
			return
		}
		fmt.Fprintf(c, "%q\n", header[max(0, bytes.Index(header, []byte("!\x00"))):])
	})
	cfg := storeOf(t, ca, "a.example").Server()
	authorities, err := certificate.OpenAuthorities(slog.New(slog.DiscardHandler), ca.WriteCA(t))
	if err != nil {
		t.Fatal(err)
	}
	authorities.Demand(cfg, false)
	f := start(t, listen.Config{TLS: cfg}, l4.Config{Routes: []l4.Route{{Service: l4.Service{Balancer: balancerOf(t, "a", backend), ProxyOut: 2}}}})
	dial := func(certs ...tls.Certificate) (string, error) {
		nc := f.dial()
		_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
		return bufio.NewReader(tls.Client(nc, &tls.Config{RootCAs: ca.Pool(), ServerName: "a.example", Certificates: certs})).ReadString('\n')
	}
	if got, err := dial(ca.IssueClient(t, "amy", nil)); got != `"!\x00\aTLSv1.3\"\x00\x03amy"`+"\n" {
		t.Errorf("unexpected word on the client: %s, %v", got, err)
	}
	if got, err := dial(); err == nil {
		t.Errorf("unexpected success without a certificate: %q", got)
	}
}
