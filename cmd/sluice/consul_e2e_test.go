package main

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"sluice/discovery/consul/consultest"
)

// register registers a backend in Consul under an ID.
func register(t *testing.T, a *consultest.Agent, id, service, addr string, options ...consultest.Option) {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	a.Register(t, id, service, host, n, options...)
}

// up waits until n backends are used and pass sluice's own check.
func up(t *testing.T, admin string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d backends are up", n), func() bool {
		count := 0
		for _, b := range backends(t, admin) {
			if b.State == "up" && b.Eligible {
				count++
			}
		}
		return count == n
	})
}

// TestConsulEmptied restarts Consul without its data under load: what still
// works is kept and said to be kept, what dies goes, and what is registered
// again is as before.
func TestConsulEmptied(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	echos, addrs := startEchos(t, 3)
	for i, addr := range addrs {
		register(t, agent, fmt.Sprintf("echo-%d", i), "echo", addr)
	}
	s := startSluice(t, "--consul="+agent.Addr(), "--health-interval=200ms")
	admin := s.addr("admin")
	up(t, admin, 3)
	l := startLoad(100, s.addr("l4"), s.addr("l7"))
	agent.Restart()
	eventually(t, "members are said to be kept", func() bool { return metric(admin, `sluice_consul_kept_members{service="echo"}`) == 3 })
	status, body := get("http://" + admin + "/readyz")
	if status != http.StatusOK || !strings.Contains(body, "service echo, consul "+agent.Addr()+": Consul lost these members all at once") || !strings.Contains(body, "3 members kept") {
		t.Errorf("unexpected readiness; got %d: %s", status, body)
	}
	if _, body = get("http://" + admin + "/admin/backends"); !strings.Contains(body, `"status": "absent"`) || !strings.Contains(body, `"kept": 3`) {
		t.Errorf("unexpected backends; got %s", body)
	}
	if !strings.Contains(s.text(), "Consul lost members all at once") {
		t.Errorf("unexpected log, nothing of a loss:\n%s", s.text())
	}
	served := l.count("get")
	eventually(t, "traffic goes on", func() bool { return l.count("get") > served+50 })

	// One that dies now goes, and for good.
	l.excuse(time.Now().Add(time.Hour))
	echos[2].signal(syscall.SIGKILL)
	echos[2].wait()
	l.excuse(time.Now())
	t.Logf("out after %v", eventually(t, "the dead one is not used", func() bool { return !backends(t, admin)[addrs[2]].Eligible }))
	eventually(t, "the dead one is forgotten", func() bool { return metric(admin, `sluice_consul_kept_members{service="echo"}`) == 2 })

	for i, addr := range addrs[:2] {
		register(t, agent, fmt.Sprintf("echo-%d", i), "echo", addr)
	}
	eventually(t, "nothing is kept", func() bool { return metric(admin, `sluice_consul_kept_members{service="echo"}`) == 0 })
	if _, body := get("http://" + admin + "/readyz"); strings.Contains(body, "details") {
		t.Errorf("unexpected readiness: %s", body)
	}
	all := backends(t, admin)
	for _, addr := range addrs[:2] {
		if b := all[addr]; b.Status != "passing" || !b.Eligible || b.Connections == 0 {
			t.Errorf("unexpected backend after it was registered again: %+v", b)
		}
	}
	agent.Deregister(t, "echo-0") // on purpose, alone: at once
	eventually(t, "one that is deregistered goes", func() bool { _, there := backends(t, admin)[addrs[0]]; return !there })
	l.wantClean(t, 100)
}

// TestConsulMetadata checks what instances say of themselves in Consul.
func TestConsulMetadata(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 3)
	register(t, agent, "a", "echo", addrs[0], consultest.WithMeta(map[string]string{
		"sluice-weight": "7", "sluice-zone": "z1", "sluice-check": "http:/status/500", "version": "3",
	}))
	register(t, agent, "b", "echo", addrs[1], consultest.WithMeta(map[string]string{"sluice-check": "http:/", "sluice-weight": "heavy"}))
	register(t, agent, "c", "echo", addrs[2], consultest.WithMeta(map[string]string{"sluice-protocol": "tcp"}))
	s := start(t, "sluice", nil, "--l7=127.0.0.1:0", "--route=/=echo", "--admin=127.0.0.1:0", "--consul="+agent.Addr(), "--health-interval=100ms")
	admin := s.addr("admin")
	eventually(t, "each is checked as it asks", func() bool {
		all := backends(t, admin)
		return all[addrs[0]].State == "down" && strings.Contains(all[addrs[0]].Reason, "status 500") && all[addrs[1]].State == "up"
	})
	if _, body := get("http://" + admin + "/admin/backends"); !strings.Contains(body, `"weight": 7`) || !strings.Contains(body, `"zone": "z1"`) {
		t.Errorf("unexpected backends: %s", body)
	}
	if _, there := backends(t, admin)[addrs[2]]; there {
		t.Error("unexpected backend that speaks TCP behind an HTTP route")
	}
	for _, want := range []string{"ignored a bad setting of an entry", `sluice-weight=\"heavy\"`, "does not speak HTTP"} {
		if n := strings.Count(s.text(), want); n != 1 {
			t.Errorf("unexpected log; got %d lines with %s; want 1", n, want)
		}
	}
}

// TestRegister follows sluice itself in Consul: registered when ready, again
// when the agent has lost it, and gone first thing on SIGTERM.
func TestRegister(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 1)
	s := startSluice(t, append(backendArgs(addrs), "--consul="+agent.Addr(), "--health-addr=127.0.0.1:0", "--drain-delay=1h",
		"--register=lb,port=4711,tag=a,tag=b", "--register=web,port=80,check=http,addr=10.1.2.3,id=web-1")...)
	admin := s.addr("admin")
	passing := func(service string) (entries []*api.ServiceEntry) {
		entries, _, err := agent.API().Health().Service(service, "", true, nil)
		if err != nil {
			return nil
		}
		return entries
	}
	eventually(t, "both are registered", func() bool { return len(passing("lb")) == 1 && len(passing("web")) == 1 })
	lb, web := passing("lb")[0].Service, passing("web")[0].Service
	if lb.Address != "127.0.0.1" || lb.Port != 4711 || !slices.Equal(lb.Tags, []string{"a", "b"}) || !strings.HasPrefix(lb.ID, "lb-") {
		t.Errorf("unexpected registration: %+v", lb)
	}
	if web.Address != "10.1.2.3" || web.Port != 80 || web.ID != "web-1" {
		t.Errorf("unexpected registration: %+v", web)
	}
	eventually(t, "its metric says so", func() bool { return metric(admin, `sluice_consul_registered{service="lb"}`) == 1 })

	agent.Restart() // which forgets everything
	t.Logf("registered again after %v", eventually(t, "both are registered again", func() bool { return len(passing("lb")) == 1 && len(passing("web")) == 1 }))

	s.signal(syscall.SIGTERM)
	t.Logf("gone after %v", eventually(t, "both are gone", func() bool { return len(passing("lb")) == 0 && len(passing("web")) == 0 }))
	if status, _ := get("http://" + s.addr("l7") + "/"); status != http.StatusOK {
		t.Errorf("unexpected answer during the delay; got %d; want 200", status)
	}
}

// TestConsulACLs gives sluice a token that Consul does not know, one that may
// see nothing, and one that is good.
func TestConsulACLs(t *testing.T) {
	t.Parallel()
	const management = "11111111-2222-3333-4444-555555555555"
	agent := consultest.Start(t, "-hcl", `primary_datacenter = "dc1" acl { enabled = true default_policy = "deny" tokens { initial_management = "`+management+`" default = "`+management+`" } }`)
	_, addrs := startEchos(t, 1)
	register(t, agent, "a", "echo", addrs[0])
	blind, _, err := agent.API().ACL().TokenCreate(&api.ACLToken{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	run := func(token string) (s *process, admin string) {
		s = start(t, "sluice", []string{"CONSUL_HTTP_TOKEN=" + token}, "--l7=127.0.0.1:0", "--route=/=echo", "--admin=127.0.0.1:0", "--consul="+agent.Addr())
		return s, s.addr("admin")
	}
	for name, token := range map[string]string{"unknown": "66666666-2222-3333-4444-555555555555", "blind": blind.SecretID} {
		_, admin := run(token)
		eventually(t, "a token is told to be "+name, func() bool {
			status, body := get("http://" + admin + "/readyz")
			return status == http.StatusServiceUnavailable && strings.Contains(body, "ACL token") && strings.Contains(body, "service:read")
		})
	}
	s, admin := run(management)
	up(t, admin, 1)
	if status, _ := get("http://" + s.addr("l7") + "/"); status != http.StatusOK {
		t.Errorf("unexpected answer with a good token; got %d; want 200", status)
	}
}

// TestRegistrationMoves has the agent that sluice is registered at hang: it is
// registered at the other one, and once only when the first answers again.
func TestRegistrationMoves(t *testing.T) {
	t.Parallel()
	first, second := consultest.Start(t), consultest.Start(t)
	s := start(t, "sluice", nil, "--consul="+first.Addr()+","+second.Addr(), "--l4=127.0.0.1:0=web", "--register=lb,id=lb-1,addr=127.0.0.1", "--admin=127.0.0.1:0", "--drain-delay=0s")
	admin := s.addr("admin")
	at := func(agent *consultest.Agent) bool {
		all, err := agent.API().Agent().Services()
		return err == nil && all["lb-1"] != nil
	}
	kept := func() bool { return metric(admin, `sluice_consul_registered{service="lb"}`) == 1 }
	eventually(t, "it is registered", func() bool { return kept() && at(first) })
	if at(second) {
		t.Fatal("unexpected registration at the second agent")
	}
	first.Freeze()
	eventually(t, "it is registered at the second agent", func() bool { return at(second) && kept() })
	first.Thaw()
	eventually(t, "the first one lets go of it", func() bool { return !at(first) })
	if !at(second) || !kept() {
		t.Fatal("unexpected: it is registered nowhere")
	}
	s.signal(syscall.SIGTERM)
	s.wait()
	if at(first) || at(second) {
		t.Fatal("unexpected registration after the end")
	}
}
