package consul

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/discovery"
	"sluice/pkg/backend"
)

func TestNewFailure(t *testing.T) {
	t.Parallel()
	f := func(config Config, want string) {
		t.Helper()
		_, err := New(config)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error of New(%+v); got %v; want one with %q", config, err, want)
		}
	}

	f(Config{Wait: -time.Second}, "cannot use wait -1s")
	f(Config{Wait: 11 * time.Minute}, "cannot use wait 11m0s")
	f(Config{MaxStale: -1}, "cannot use max stale")
	f(Config{Keep: -1}, "cannot keep members for -1ns")
	f(Config{Address: "ftp://consul"}, `cannot use Consul at "ftp://consul"`)
}

func TestQueryTimeoutExceedsWait(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{0, time.Millisecond, 8 * time.Second, 10 * time.Minute} {
		c := newClient(t, Config{Wait: wait})
		if longest := c.config.Wait * 17 / 16; c.queryTimeout <= longest {
			t.Fatalf("unexpected query timeout with wait %s; got %s; want more than %s", wait, c.queryTimeout, longest)
		}
	}
}

func TestMetricNames(t *testing.T) {
	t.Parallel()
	set := metrics.NewSet()
	c := newClient(t, Config{Metrics: set})
	c.Service(Query{Service: "web"})
	c.Service(Query{Service: "web", Tag: "v2"}) // shares them
	var want []string
	for _, name := range ServiceMetricNames() {
		if name != queriesMetric {
			want = append(want, name+`{service="web"}`)
			continue
		}
		for _, result := range []string{"changed", "unchanged", "doubtful", "error"} {
			want = append(want, fmt.Sprintf("%s{service=\"web\",result=%q}", name, result))
		}
	}
	slices.Sort(want)
	got := slices.DeleteFunc(set.ListMetricNames(), func(name string) bool { return !strings.Contains(name, "service=") })
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("unexpected metrics; got %q; want %q", got, want)
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	// Not t.TempDir, whose path may be too long for a socket.
	dir, err := os.MkdirTemp("", "sluice")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "consul.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reply(w, answered{index: 1, leader: true, body: entriesJSON(t, entry("n1", "web-1", "10.0.0.1", 80))})
	}))
	s.Listener.Close()
	s.Listener = ln
	s.Start()
	t.Cleanup(s.Close)
	readOnce(t, newClient(t, Config{Address: "unix://" + path}))
}

// TestEnvironment changes the environment, so it is not parallel.
func TestEnvironment(t *testing.T) {
	var got *http.Request
	served := make(chan struct{}, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		reply(w, answered{index: 1, leader: true, body: entriesJSON(t, entry("n1", "web-1", "10.0.0.1", 80))})
		select {
		case served <- struct{}{}:
		default:
		}
	}))
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONSUL_HTTP_ADDR", s.URL)
	t.Setenv("CONSUL_HTTP_TOKEN", "from-environment")
	t.Setenv("CONSUL_CACERT", ca)

	f := func(config Config, wantToken string) {
		t.Helper()
		c := newClient(t, config)
		if c.Address() != s.URL {
			t.Fatalf("unexpected address; got %q; want %q", c.Address(), s.URL)
		}
		readOnce(t, c)
		<-served
		if token := got.Header.Get("X-Consul-Token"); token != wantToken {
			t.Fatalf("unexpected token; got %q; want %q", token, wantToken)
		}
		if dc := got.URL.Query().Get("dc"); dc != config.Datacenter {
			t.Fatalf("unexpected datacenter; got %q; want %q", dc, config.Datacenter)
		}
	}
	f(Config{}, "from-environment")
	f(Config{Token: "from-config", Datacenter: "dc7"}, "from-config")
}

// readOnce watches until the first list arrives.
func readOnce(t *testing.T, c *Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got []backend.Target
	err := c.Service(Query{Service: "web"}).Watch(ctx, func(ms []discovery.Member) {
		got = discovery.Targets(ms)
		cancel()
	})
	if err != context.Canceled {
		t.Fatalf("unexpected end of the watch; got %v; want %v", err, context.Canceled)
	}
	if want := []backend.Target{target("n1/web-1", "10.0.0.1:80")}; !slices.Equal(got, want) {
		t.Fatalf("unexpected targets; got %+v; want %+v", got, want)
	}
}

func newClient(t *testing.T, config Config) *Client {
	t.Helper()
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
