package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"sluice/discovery/consul/consultest"
)

// TestConsulManyServices has more services than an agent allows connections:
// all have their routes, and the agent has room for the registration and for
// other programs.
func TestConsulManyServices(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 1)
	const services = 300
	name := func(i int) string { return fmt.Sprintf("s%d", i) }
	for i := range services {
		register(t, agent, name(i), name(i), addrs[0], consultest.WithTags("urlprefix-/"+name(i)))
	}
	s := start(t, "sluice", nil, "--l7=127.0.0.1:0", "--consul-tags=urlprefix-", "--consul="+agent.Addr(), "--register=lb",
		"--admin=127.0.0.1:0", "--health-interval=1h", "--drain-delay=0s")
	admin, l7 := s.addr("admin"), s.addr("l7")
	t.Logf("ready after %v", eventually(t, "it is ready", func() bool { status, _ := get("http://" + admin + "/readyz"); return status == http.StatusOK }))
	eventually(t, "every route is there", func() bool {
		for i := range services {
			if status, _ := get("http://" + l7 + "/" + name(i)); status != http.StatusOK {
				return false
			}
		}
		return true
	})
	eventually(t, "it is registered", func() bool { return metric(admin, `sluice_consul_registered{service="lb"}`) == 1 })
	if n := metric(admin, `sluice_consul_connections{agent="`+agent.Addr()+`"}`); n < 1 || n > 128 {
		t.Errorf("unexpected connections to the agent; got %v; want 128 at most", n)
	}
	agent.Register(t, "s77", "s77", "127.0.0.1", 1, consultest.WithTags("urlprefix-/elsewhere"))
	t.Logf("followed after %v", eventually(t, "a change is followed", func() bool { status, _ := get("http://" + l7 + "/s77"); return status == http.StatusNotFound }))

	// What becomes of the registration is said, too.
	agent.Stop()
	eventually(t, "it is said that the registration cannot be kept", func() bool {
		_, body := get("http://" + admin + "/readyz")
		return strings.Contains(body, "cannot keep lb registered in Consul") && strings.Contains(body, "connection refused")
	})
}

// TestSilentService has one service that Consul never answers for: the others
// are served, and it is named.
func TestSilentService(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: agent.Addr()})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/silent") {
			<-r.Context().Done()
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { front.CloseClientConnections(); front.Close() })
	_, addrs := startEchos(t, 1)
	register(t, agent, "silent", "silent", addrs[0], consultest.WithTags("urlprefix-/silent"))
	register(t, agent, "web", "web", addrs[0], consultest.WithTags("urlprefix-/web"))
	s := start(t, "sluice", nil, "--l7=127.0.0.1:0", "--route=/echo=web", "--route=/quiet=silent", "--consul-tags=urlprefix-", "--consul="+front.URL, "--admin=127.0.0.1:0", "--health-interval=1h")
	admin, l7 := s.addr("admin"), s.addr("l7")
	eventually(t, "the other one is served", func() bool { status, _ := get("http://" + l7 + "/web"); return status == http.StatusOK })
	eventually(t, "the other one is served by its configured route", func() bool { status, _ := get("http://" + l7 + "/echo"); return status == http.StatusOK })
	eventually(t, "it is ready, and says who is not known", func() bool {
		status, body := get("http://" + admin + "/readyz")
		return status == http.StatusOK && strings.Contains(body, "the members of silent are not known yet")
	})
}
