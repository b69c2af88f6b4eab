package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
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
	for _, want := range []string{"cannot open a TCP listener that tags ask for", `"tag":"urlprefix-nopath"`} {
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
	s := start(t, "sluice", nil, "--consul-tags=urlprefix-", "--consul="+agent.Addr(), "--admin=127.0.0.1:0", "--l7=127.0.0.1:0",
		"--route=/fixed=web", "--backend=web="+addrs[0])
	url := "http://" + s.addr("l7")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	// ask returns the status and, of what is more, the backend or the location.
	ask := func(host, path string) string {
		req, err := http.NewRequest("GET", url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
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
