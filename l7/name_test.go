package l7

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"testing"
)

// TestNames sends requests to a backend that is given by a name with several
// addresses, of which one has a server, as localhost has on many systems.
func TestNames(t *testing.T) { eachDriver(t, testNames) }

func testNames(t *testing.T) {
	t.Parallel()
	_, port, _ := net.SplitHostPort(newBackend(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }))
	for _, hosts := range [][]string{{"::1", "127.0.0.1"}, {"127.0.0.1"}, {"127.0.0.7", "127.0.0.8", "127.0.0.1"}, {"::1", "127.0.0.7"}} {
		f := newFront(t, func(c *Config) {
			c.Routes[0].Balancer.Pool().SetLookup(func(_ context.Context, hostport string) (all []netip.AddrPort, err error) {
				_, port, err := net.SplitHostPort(hostport)
				for _, h := range hosts {
					all = append(all, netip.MustParseAddrPort(net.JoinHostPort(h, port)))
				}
				return all, err
			})
		}, "web.example:"+port)
		want := 200
		if hosts[len(hosts)-1] != "127.0.0.1" {
			want = 502
		}
		for range 3 {
			resp, err := f.client().Get(f.url("/"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Fatalf("unexpected status with addresses %v; got %d; want %d", hosts, resp.StatusCode, want)
			}
		}
	}
}
