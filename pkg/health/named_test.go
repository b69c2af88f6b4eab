package health

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sluice/pkg/backend"
)

// TestCheckByName checks a backend given by a name at the addresses that
// traffic uses, and leaves the one first that passed; the name stays what the
// request asks for.
func TestCheckByName(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host, _, _ := net.SplitHostPort(r.Host); host != "web.example" {
			w.WriteHeader(http.StatusMisdirectedRequest)
		}
		_, _ = io.WriteString(w, "ok")
	}))
	defer s.Close()
	good := netip.MustParseAddrPort(s.Listener.Addr().String())
	bad := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), good.Port()) // where nobody listens
	_, port, _ := net.SplitHostPort(good.String())
	for _, spec := range []string{"http:/", "tcp", "tcp port=" + port, "http:/ port=" + port} {
		check, err := ParseCheck(spec, Via{})
		if err != nil {
			t.Fatal(err)
		}
		address := "web.example:" + port
		if strings.Contains(spec, "port=") {
			address = "web.example:1"
		}
		p := backend.NewPool("web")
		p.SetLookup(func(context.Context, string) ([]netip.AddrPort, error) { return []netip.AddrPort{bad, good}, nil })
		m := NewMonitor(Config{Check: check, Rise: 1, Interval: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
		added, _ := p.Set([]backend.Target{{ID: "a", Address: address, Weight: 1}})
		m.Follow(added, nil)
		for deadline := time.Now().Add(20 * time.Second); added[0].State() != backend.Up; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: never up: %+v", spec, added[0].Condition())
			}
		}
		if known, ok := added[0].Known(); !ok || known[0] != good {
			t.Fatalf("%s: unexpected addresses to use %v, %v; want %v first", spec, known, ok, good)
		}
		m.Close()
	}
}
