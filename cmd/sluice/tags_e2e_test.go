package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sluice/discovery/consul/consultest"
)

// freeAddr returns an address on which nothing listens now, below the ports
// that systems give out by themselves.
func freeAddr(t *testing.T) string {
	t.Helper()
	for port := 20_000 + rand.IntN(5_000); port < 30_000; port++ {
		addr := "127.0.0.1:" + strconv.Itoa(port)
		if ln, err := net.Listen("tcp", addr); err == nil {
			ln.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// said returns what a backend says of itself at addr, or why there is nothing.
func said(addr string) string {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "error: " + err.Error()
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return "error: " + err.Error()
	}
	b, err := io.ReadAll(c)
	if err != nil {
		return "error: " + err.Error()
	}
	_, body, _ := strings.Cut(string(b), "\r\n\r\n")
	return body
}

// TestTagsTCP opens and closes TCP listeners as tags in a real Consul ask.
func TestTagsTCP(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 3)
	s := start(t, "sluice", nil, "--consul-tags=urlprefix-", "--consul="+agent.Addr(), "--admin=127.0.0.1:0", "--health-interval=100ms")
	admin := s.addr("admin")
	eventually(t, "ready without services", func() bool { status, _ := get("http://" + admin + "/readyz"); return status == 200 })

	one, two := freeAddr(t), freeAddr(t)
	register(t, agent, "a", "db", addrs[0], consultest.WithTags("urlprefix-"+one+" proto=tcp"))
	t.Logf("first traffic after %v", eventually(t, "the listener is there", func() bool { return strings.HasPrefix(said(one), "echo-1 ") }))
	long, err := net.Dial("tcp", one)
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	exchange := func() error {
		if _, err := long.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(long, make([]byte, 1))
		return err
	}
	if err := exchange(); err != nil {
		t.Fatal(err)
	}

	// Another service, another listener, and one that cannot be opened: nothing
	// happens to the first.
	register(t, agent, "b", "queue", addrs[1], consultest.WithTags("v1", "urlprefix-"+two+" proto=tcp", "urlprefix-"+admin+" proto=tcp", "urlprefix-nopath"))
	eventually(t, "the second listener is there", func() bool { return strings.HasPrefix(said(two), "echo-2 ") })
	if err := exchange(); err != nil {
		t.Fatalf("a connection of another service was touched: %v", err)
	}
	for _, want := range []string{"cannot open a TCP listener that tags ask for", `"tag":"nopath/"`} {
		eventually(t, "it is said: "+want, func() bool { return strings.Count(s.text(), want) == 1 })
	}
	if got := metric(admin, "sluice_consul_tags_skipped"); got != 2 {
		t.Errorf("unexpected number of skipped tags; got %v; want 2", got)
	}

	// A second instance shares, the first goes into maintenance.
	register(t, agent, "c", "db", addrs[2], consultest.WithTags("urlprefix-"+one+" proto=tcp"))
	eventually(t, "the second instance is used", func() bool { return strings.HasPrefix(said(one), "echo-3 ") })
	agent.Maintenance(t, "a", true)
	eventually(t, "the first is not used any more", func() bool { return !backends(t, admin)[addrs[0]].Eligible })
	for range 20 {
		if got := said(one); !strings.HasPrefix(got, "echo-3 ") {
			t.Fatalf("unexpected answer after maintenance: %s", got)
		}
	}
	if err := exchange(); err != nil {
		t.Fatalf("an established connection was cut: %v", err)
	}

	// The tag goes with a new registration: the listener goes, connections stay.
	agent.Maintenance(t, "a", false)
	register(t, agent, "a", "db", addrs[0])
	register(t, agent, "c", "db", addrs[2])
	eventually(t, "the listener is closed", func() bool { return strings.HasPrefix(said(one), "error: dial") })
	if err := exchange(); err != nil {
		t.Fatalf("an established connection was cut: %v", err)
	}
	if _, body := get("http://" + admin + "/metrics"); !strings.Contains(body, fmt.Sprintf("addr=%q", one)) || !strings.Contains(body, `sluice_l4_connections{service="db"}`) {
		t.Error("its metrics are gone before its last connection")
	}
	long.Close()
	eventually(t, "its metrics are gone", func() bool {
		_, body := get("http://" + admin + "/metrics")
		return !strings.Contains(body, fmt.Sprintf("addr=%q", one)) && !strings.Contains(body, `service="db"`)
	})
	register(t, agent, "a", "db", addrs[0], consultest.WithTags("urlprefix-"+one+" proto=tcp"))
	eventually(t, "the listener is back", func() bool { return strings.HasPrefix(said(one), "echo-1 ") })
	if !strings.HasPrefix(said(two), "echo-2 ") {
		t.Error("the other service is gone")
	}
}

// TestTagsHTTP has routes come, change and go as tags in a real Consul ask.
func TestTagsHTTP(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 2)
	users, user := filepath.Join(t.TempDir(), "users"), ""
	if err := os.WriteFile(users, []byte("joe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"), 0o600); err != nil { // secret
		t.Fatal(err)
	}
	s := start(t, "sluice", nil, "--consul-tags=urlprefix-", "--consul="+agent.Addr(), "--admin=127.0.0.1:0", "--l7=127.0.0.1:0",
		"--route=/fixed=web", "--backend=web="+addrs[0], "--auth=staff="+users)
	url := "http://" + s.addr("l7")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	// ask returns the status and, of what is more, the backend or the location.
	ask := func(host, path string) string {
		req, err := http.NewRequest("GET", url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		if user != "" {
			req.SetBasicAuth(user, "secret")
		}
		resp, err := client.Do(req)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Location"), string(body)))
	}
	is := func(host, path, want string) {
		t.Helper()
		eventually(t, host+path+" is answered with "+want, func() bool { return ask(host, path) == want })
	}
	is("a.test", "/fixed", "200 echo-1 GET /fixed")
	tags := func(more ...string) consultest.Option {
		return consultest.WithTags(append([]string{
			"urlprefix-www.a.test/api strip=/api prepend=/inner", "urlprefix-*.b.test/", "urlprefix-/fixed",
			"urlprefix-a.test/old redirect=301,https://new.test$path", "urlprefix-a.test/none deny=ip:127.0.0.0/8",
		}, more...)...)
	}
	register(t, agent, "a", "api", addrs[1], tags())
	is("www.a.test", "/api/x", "200 echo-2 GET /inner/x")
	is("x.b.test", "/y", "200 echo-2 GET /y")
	is("a.test", "/old/x", "301 https://new.test/old/x")
	if got := ask("a.test", "/none"); !strings.HasPrefix(got, "403") {
		t.Errorf("unexpected answer to a client that is denied: %s", got)
	}
	if got := ask("a.test", "/fixed"); got != "200 echo-1 GET /fixed" {
		t.Errorf("a tag has taken a configured route: %s", got)
	}
	register(t, agent, "a", "api", addrs[1], tags("urlprefix-/more"))
	is("a.test", "/more", "200 echo-2 GET /more")
	// Who may use a route is not to be guessed, and a route that asks for what
	// there is not must not be left to a wider one.
	register(t, agent, "a", "api", addrs[1], tags("urlprefix-c.test/", "urlprefix-c.test/staff auth=staff", "urlprefix-c.test/nobody auth=nobody",
		"urlprefix-c.test/inside allow=10.0.0.0/8"))
	is("c.test", "/", "200 echo-2 GET /")
	for path, want := range map[string]string{"/staff": "401", "/nobody": "403", "/inside": "403"} {
		if got := ask("c.test", path); !strings.HasPrefix(got, want) {
			t.Errorf("unexpected answer for %s: %s; want %s", path, got, want)
		}
	}
	user = "joe"
	is("c.test", "/staff", "200 echo-2 GET /staff")
	user = ""
	register(t, agent, "a", "api", addrs[1])
	eventually(t, "the routes are gone", func() bool {
		return strings.HasPrefix(ask("www.a.test", "/api/x"), "404") && strings.HasPrefix(ask("a.test", "/old"), "404")
	})
	is("a.test", "/fixed", "200 echo-1 GET /fixed")
	eventually(t, "their metrics are gone", func() bool {
		_, body := get("http://" + s.addr("admin") + "/metrics")
		return !strings.Contains(body, `service="api"`) && !strings.Contains(body, "www.a.test")
	})
}

// TestTagsHTTPLoad makes and takes away HTTP routes as tags in a real Consul ask,
// while a route of the configuration is under load.
func TestTagsHTTPLoad(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 4)
	s := start(t, "sluice", nil, "--l7=127.0.0.1:0", "--route=/load=static", "--backend=static="+addrs[0],
		"--consul-tags=urlprefix-", "--consul="+agent.Addr(), "--admin=127.0.0.1:0", "--health-interval=100ms", "--consul-datacenter=dc1")
	admin, l7 := s.addr("admin"), s.addr("l7")
	l := startLoad(100, "", l7)
	ask := func(host, path string) (status int, body, location string) {
		req, err := http.NewRequest(http.MethodGet, "http://"+l7+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		resp, err := c.Do(req)
		if err != nil {
			return 0, err.Error(), ""
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), resp.Header.Get("Location")
	}
	answers := func(host, path, want string) func() bool {
		return func() bool { _, body, _ := ask(host, path); return strings.HasPrefix(body, want) }
	}
	register(t, agent, "web-1", "web", addrs[1], consultest.WithTags("urlprefix-/", "urlprefix-$DC.example.com/", "urlprefix-/api strip=/api prepend=/v1",
		"urlprefix-/old redirect=301,https://$host/new$path", "urlprefix-/in allow=ip:10.0.0.0/8", "urlprefix-/load", "urlprefix-/bad redirect=301,http:///$path$path"))
	t.Logf("first traffic after %v", eventually(t, "the route is there", answers("x", "/x", "echo-2 GET /x")))
	for _, c := range []struct {
		host, path, body, location string
		status                     int
	}{
		{"dc1.example.com", "/y", "echo-2 GET /y", "", 200},
		{"x", "/api/z", "echo-2 GET /v1/z", "", 200},
		{"x", "/apix", "echo-2 GET /apix", "", 200},
		{"x", "/old/a", "", "https://x/new/old/a", 301},
		{"x", "/in", "", "", 403},
		{"x", "/load", "echo-1 GET /load", "", 200}, // as configured
	} {
		if status, body, location := ask(c.host, c.path); status != c.status || c.body != "" && !strings.HasPrefix(body, c.body) || location != c.location {
			t.Errorf("unexpected answer to %s%s; got %d, %q, %q; want %+v", c.host, c.path, status, body, location, c)
		}
	}
	for _, want := range []string{`--route has the same route`, `"tag":"urlprefix-/bad redirect=301,http:///$path$path"`} {
		if n := strings.Count(s.text(), want); n != 1 {
			t.Errorf("unexpected log; got %d lines with %s; want 1", n, want)
		}
	}

	// Another service takes a fixed part of the same route.
	register(t, agent, "next-1", "next", addrs[2], consultest.WithTags("urlprefix-/ weight=.2"))
	eventually(t, "it is used", answers("x", "/x", "echo-3 "))
	count := 0
	for range 300 {
		switch _, body, _ := ask("x", "/x"); {
		case strings.HasPrefix(body, "echo-3 "):
			count++
		case !strings.HasPrefix(body, "echo-2 "):
			t.Fatalf("unexpected answer: %s", body)
		}
	}
	if count < 25 || count > 110 {
		t.Errorf("unexpected part of the traffic; got %d of 300; want some 60", count)
	}
	agent.Deregister(t, "next-1")
	eventually(t, "it is not used any more", func() bool {
		_, body := get("http://" + admin + "/metrics")
		return !strings.Contains(body, "next+web@/")
	})
	for range 50 {
		if _, body, _ := ask("x", "/x"); !strings.HasPrefix(body, "echo-2 ") {
			t.Fatalf("unexpected answer after a deregistration: %s", body)
		}
	}

	// Consul loses everything: the routes stay as long as their members work.
	agent.Restart()
	eventually(t, "the members are kept", func() bool { return metric(admin, `sluice_consul_kept_members{service="web"}`) == 1 })
	if status, body, _ := ask("x", "/api/z"); status != 200 || !strings.HasPrefix(body, "echo-2 GET /v1/z") {
		t.Errorf("unexpected answer without a catalogue; got %d: %s", status, body)
	}
	register(t, agent, "web-2", "web", addrs[3], consultest.WithTags("urlprefix-/ "))
	eventually(t, "a new instance takes over", func() bool { return answers("x", "/x", "echo-4 ")() && len(backends(t, admin)) == 2 })
	if status, _, _ := ask("x", "/old/a"); status != 200 {
		t.Errorf("unexpected answer of a route that is gone; got %d; want 200 by the catch-all", status)
	}
	l.wantClean(t, 100)
}
