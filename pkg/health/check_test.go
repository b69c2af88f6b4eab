package health

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"testing"

	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/proxyproto"
	"sluice/pkg/proxyproto/proxyprototest"
)

// TestCheckVia checks a backend by HTTP behind TLS behind a PROXY header, in
// every combination.
func TestCheckVia(t *testing.T) {
	t.Parallel()
	ca := certificatetest.NewAuthority(t)
	cert, key := ca.Write(t, "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for version := range 3 {
		for _, secure := range []bool{false, true} {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ln.Close() })
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						nc, peer := net.Conn(c), c.RemoteAddr().String()
						if version > 0 {
							h, _, rest, err := proxyprototest.Read(c, proxyproto.Versions(version))
							if err != nil {
								return
							}
							nc = &prefixed{c, io.MultiReader(bytes.NewReader(rest), c)}
							// Version 1 has no word for a connection of the proxy's own.
							if version == 1 && h.Source != netip.MustParseAddrPort(peer) || version == 2 && h.Command != proxyproto.Local {
								t.Errorf("unexpected header of a check: %+v", h)
							}
						}
						if secure {
							nc = tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{pair}})
						}
						if _, err := nc.Read(make([]byte, 1000)); err == nil {
							_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
						}
					}()
				}
			}()
			via := Via{ProxyOut: version}
			if secure {
				via.TLS = &tls.Config{RootCAs: ca.Pool()}
			}
			check, err := ParseCheck("http:/healthz", via)
			if err != nil {
				t.Fatal(err)
			}
			if r, err := check.Probe(t.Context(), ln.Addr().String()); err != nil || r.Tested != Answer {
				t.Errorf("PROXY v%d, TLS %v: unexpected result %+v, %v", version, secure, r, err)
			}
			if _, err := mustParse(t, Via{}).Probe(t.Context(), ln.Addr().String()); (err == nil) != (version == 0 && !secure) {
				t.Errorf("PROXY v%d, TLS %v: unexpected result without: %v", version, secure, err)
			}
		}
	}
}

// prefixed is a connection of which something was read already.
type prefixed struct {
	net.Conn
	r io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) { return p.r.Read(b) }

func mustParse(t *testing.T, via Via) Check {
	t.Helper()
	check, err := ParseCheck("http:/healthz", via)
	if err != nil {
		t.Fatal(err)
	}
	return check
}
