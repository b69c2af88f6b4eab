package main

import (
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"sluice/discovery/consul/consultest"
)

// TestConsulStanding changes what Consul says of members: each change is one
// line, one entry in the history and one count, and says since when it holds.
func TestConsulStanding(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 2)
	onlyPassing := func(r *api.AgentServiceRegistration) { r.Weights = &api.AgentWeights{Passing: 10} }
	register(t, agent, "a", "echo", addrs[0], onlyPassing)
	register(t, agent, "b", "echo", addrs[1], onlyPassing)
	s := startSluice(t, "--consul="+agent.Addr(), "--health-interval=100ms", "--route=/nobody=ehco")
	admin := s.addr("admin")
	up(t, admin, 2)

	// A service that exists nowhere is named.
	eventually(t, "a service without members is named", func() bool {
		_, body := get("http://" + admin + "/readyz")
		return strings.Contains(body, "service ehco has no members") && strings.Contains(s.text(), "the service has no members")
	})

	status := func(addr, want string) {
		t.Helper()
		eventually(t, addr+" is "+want, func() bool { return backends(t, admin)[addr].Status == want })
	}
	counted := func(addr, to string) float64 {
		return metric(admin, `sluice_backend_transitions_total{service="echo",backend="`+addr+`",to="`+to+`"}`)
	}
	agent.SetStatus(t, "a", api.HealthCritical)
	status(addrs[0], "critical")
	agent.Maintenance(t, "a", true)
	status(addrs[0], "maintenance")
	agent.Maintenance(t, "a", false)
	status(addrs[0], "critical")
	if critical, maintenance := counted(addrs[0], "critical"), counted(addrs[0], "maintenance"); critical != 2 || maintenance != 1 {
		t.Errorf("unexpected counts; got %v critical and %v maintenance; want 2 and 1", critical, maintenance)
	}
	for to, want := range map[string]int{"critical": 2, "maintenance": 1} {
		if n := strings.Count(s.text(), `"to":"`+to+`","signal":"registry"`); n != want {
			t.Errorf("unexpected lines about %s; got %d; want %d", to, n, want)
		}
	}
	if _, body := get("http://" + admin + "/admin/backends?service=echo"); strings.Count(body, `"to": "critical"`) != 2 || !strings.Contains(body, `"signal": "registry"`) {
		t.Errorf("unexpected backends: %s", body)
	}

	// In warning, Consul's weight of 0, which nobody chose, is no reason to
	// refuse everybody.
	agent.SetStatus(t, "a", api.HealthWarning)
	status(addrs[0], "warning")
	if b := backends(t, admin)[addrs[0]]; b.Eligible || !strings.Contains(b.Reason, "warning") {
		t.Errorf("unexpected backend in warning: %+v", b)
	}
	agent.SetStatus(t, "b", api.HealthWarning)
	status(addrs[1], "warning")
	for range 8 {
		if got := said(s.addr("l4")); !strings.HasPrefix(got, "echo-") {
			t.Fatalf("unexpected answer with all in warning: %q", got)
		}
	}
	if got := metric(admin, `sluice_service_last_resort{service="echo"}`); got != 1 {
		t.Errorf("unexpected metric of the last resort; got %v; want 1", got)
	}
	// What is logged may come here later than what is shown.
	eventually(t, "the log tells of the last resort", func() bool { return strings.Contains(s.text(), "nobody is left but members in warning") })
	agent.Deregister(t, "a")
	eventually(t, "one is gone", func() bool { _, there := backends(t, admin)[addrs[0]]; return !there })
	eventually(t, "the log tells who left, once", func() bool { return strings.Count(s.text(), "a backend left the service") == 1 })
}

// TestConsulTwins registers one address on two nodes, under two names and as a
// sidecar: it is one backend, and the sidecar none.
func TestConsulTwins(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 2)
	put := func(node, service, id, addr string, kind api.ServiceKind, checks ...*api.HealthCheck) {
		t.Helper()
		host, port, _ := net.SplitHostPort(addr)
		n, _ := strconv.Atoi(port)
		r := &api.CatalogRegistration{Node: node, Address: "192.0.2.1", Service: &api.AgentService{ID: id, Service: service, Address: host, Port: n, Kind: kind, Tags: []string{"urlprefix-/"}}, Checks: checks}
		if kind != "" {
			r.Service.Proxy = &api.AgentServiceConnectProxyConfig{DestinationServiceName: "web"}
		}
		if _, err := agent.API().Catalog().Register(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("one", "web", "web", addrs[0], "")
	put("two", "web", "web", addrs[0], "")
	put("two", "Web", "other", addrs[1], "")
	put("two", "web-sidecar-proxy", "web-sidecar-proxy", "127.0.0.1:1", api.ServiceKindConnectProxy)
	s := start(t, "sluice", nil, "--l7=127.0.0.1:0", "--consul-tags=urlprefix-", "--consul="+agent.Addr(), "--admin=127.0.0.1:0", "--health-interval=100ms")
	admin := s.addr("admin")
	up(t, admin, 2)
	if _, body := get("http://" + admin + "/admin/backends"); strings.Count(body, `"address": "`) != 2 {
		t.Errorf("unexpected backends; want 2: %s", body)
	}
	for range 20 {
		if status, body := get("http://" + s.addr("l7") + "/"); status != http.StatusOK {
			t.Fatalf("unexpected answer; got %d %s", status, body)
		}
	}
	eventually(t, "it is said once", func() bool { return strings.Count(s.text(), "several entries have one address") == 1 })
	put("one", "web", "web", addrs[0], "", &api.HealthCheck{Node: "one", CheckID: "_service_maintenance:web", ServiceID: "web", Name: "m", Status: api.HealthCritical})
	eventually(t, "maintenance of one entry is that of the backend", func() bool { return backends(t, admin)[addrs[0]].Status == "maintenance" })
}

// TestConsulTagMoves moves the tag of a primary, as Patroni does: connections to
// the former one are closed, if that is asked for, by tag= and by tags alike.
func TestConsulTagMoves(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 2)
	listen := freeAddr(t)
	primary := []string{"primary", "urlprefix-" + listen + " proto=tcp"}
	register(t, agent, "a", "db", addrs[0], consultest.WithTags(primary...))
	register(t, agent, "b", "db", addrs[1], consultest.WithTags("replica"))
	s := start(t, "sluice", nil, "--l4=127.0.0.1:0=db", "--service=db,tag=primary,close-on-unhealthy=true,backend-drain-timeout=1h",
		"--consul-tags=urlprefix-", "--consul="+agent.Addr(), "--admin=127.0.0.1:0", "--health-interval=100ms")
	open := func(addr string) net.Conn {
		t.Helper()
		var nc net.Conn
		eventually(t, "a connection to the primary", func() bool {
			var err error
			if nc, err = net.Dial("tcp", addr); err != nil {
				return false
			}
			if _, err = nc.Write([]byte("x")); err == nil {
				_, err = nc.Read(make([]byte, 1))
			}
			if err != nil {
				nc.Close()
			}
			return err == nil
		})
		return nc
	}
	byKey, byTag := open(s.addr("l4")), open(listen)
	defer byKey.Close()
	defer byTag.Close()
	register(t, agent, "b", "db", addrs[1], consultest.WithTags(primary...))
	register(t, agent, "a", "db", addrs[0], consultest.WithTags("replica"))
	for name, nc := range map[string]net.Conn{"tag=": byKey, "a tag": byTag} {
		_ = nc.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := nc.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection by %s goes on: %v", name, err)
		}
	}
	eventually(t, "the new primary serves", func() bool {
		return strings.HasPrefix(said(s.addr("l4")), "echo-2 ") && strings.HasPrefix(said(listen), "echo-2 ")
	})
}
