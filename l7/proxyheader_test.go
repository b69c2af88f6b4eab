package l7

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"sluice/pkg/listen"
	"sluice/pkg/proxyproto"
)

// TestProxyHeader tries what the header of the PROXY protocol says of the
// client: its scheme and the port that it is connected to.
func TestProxyHeader(t *testing.T) { eachDriver(t, testProxyHeader) }

func testProxyHeader(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		fmt.Fprint(w, h.Get("X-Forwarded-Proto"), " ", h.Get("X-Forwarded-Port"), " ", h.Get("X-Forwarded-For"), " ", h.Get("Forwarded"))
	})
	f := newFrontOn(t, listen.Config{Proxy: proxyproto.Policy{Versions: proxyproto.V1 | proxyproto.V2}}, func(c *Config) {
		c.Forwarded, c.HSTS = true, time.Hour
	}, b)
	_, listens, _ := net.SplitHostPort(f.addr)
	src, dst := netip.MustParseAddrPort("192.0.2.1:1000"), netip.MustParseAddrPort("192.0.2.2:443")
	v2 := func(tlvs string) string {
		h := proxyproto.Append(nil, 2, proxyproto.Proxy, src, dst)
		h[15] += byte(len(tlvs))
		return string(h) + tlvs
	}
	ask := func(header, want string, hsts bool) {
		t.Helper()
		c := f.raw()
		c.write(header + "GET / HTTP/1.1\r\nHost: a.test:9999\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n")
		resp, body := c.response("GET")
		if body != want || (resp.Header.Get("Strict-Transport-Security") != "") != hsts {
			t.Errorf("unexpected answer behind %q; got %q, %v; want %q, %v", header, body, resp.Header, want, hsts)
		}
	}
	const forwarded = `for=192.0.2.1;host="a.test:9999";proto=`
	ask(string(proxyproto.Append(nil, 1, proxyproto.Proxy, src, dst)), "http 443 192.0.2.1 "+forwarded+"http", false)
	ask(v2(""), "http 443 192.0.2.1 "+forwarded+"http", false)
	ask(v2("\x04\x00\x01x\x20\x00\x0d\x01\x00\x00\x00\x00\x21\x00\x05TLSv1"), "https 443 192.0.2.1 "+forwarded+"https", true)
	ask(v2("\x20\x00\x05\x00\x00\x00\x00\x00"), "http 443 192.0.2.1 "+forwarded+"http", false) // not by TLS
	ask(v2("\x20\x00\x01\x01"), "http 443 192.0.2.1 "+forwarded+"http", false)                 // cut short
	ask(string(proxyproto.Append(nil, 2, proxyproto.Local, src, dst)), "http "+listens+` 127.0.0.1 for=127.0.0.1;host="a.test:9999";proto=http`, false)
}
