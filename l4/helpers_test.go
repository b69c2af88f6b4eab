package l4_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/proxyproto"
	"sluice/pkg/proxyproto/proxyprototest"
)

// balancerOf returns a balancer over backends of a service.
func balancerOf(t *testing.T, service string, backends ...string) *balance.Balancer {
	t.Helper()
	pool := backend.NewPool(service)
	var targets []backend.Target
	for _, addr := range backends {
		targets = append(targets, backend.Target{ID: addr, Address: addr, Weight: 1})
	}
	pool.Set(targets)
	b, err := balance.New(pool, "round_robin")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serveGreeting serves connections that are told name and then hear themselves.
// If versions is not 0 they begin with a PROXY header, whose client is told
// next.
func serveGreeting(t *testing.T, name string, versions proxyproto.Versions) (addr string) {
	return serveTCP(t, func(c *net.TCPConn) {
		greeting := name + "\n"
		var in io.Reader = c
		if versions != 0 {
			h, _, rest, err := proxyprototest.Read(c, versions)
			if err != nil {
				return
			}
			greeting += h.Source.String() + " " + h.Destination.String() + "\n"
			in = io.MultiReader(bytes.NewReader(rest), c)
		}
		if _, err := io.WriteString(c, greeting); err == nil {
			_, _ = io.Copy(c, in)
		}
	})
}

// line reads a line from c.
func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	s, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("cannot read a line: %v after %q", err, s)
	}
	return s[:len(s)-1]
}

// serveTLS serves connections by TLS that are told name, and the name that they
// asked for, and then hear themselves.
func serveTLS(t *testing.T, name string, cfg *tls.Config) (addr string) {
	return serveTCP(t, func(c *net.TCPConn) {
		tc := tls.Server(c, cfg)
		if tc.Handshake() != nil {
			return
		}
		if _, err := io.WriteString(tc, name+" "+tc.ConnectionState().ServerName+"\n"); err == nil {
			_, _ = io.Copy(tc, tc)
			_ = tc.CloseWrite()
		}
	})
}
