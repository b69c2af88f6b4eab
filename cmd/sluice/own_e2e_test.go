package main

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/discovery/consul/consultest"
)

// TestOwnRegistration registers sluice under the name of the service that its
// listener leads to, and with a tag that asks for a route to itself: what would
// go round is left out, and everything else is served.
func TestOwnRegistration(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 1)
	register(t, agent, "web-1", "web", addrs[0])
	s := start(t, "sluice", nil, "--consul="+agent.Addr(), "--l4=127.0.0.1:0=web", "--register=web,addr=127.0.0.1", "--admin=127.0.0.1:0", "--drain-delay=0s")
	admin := s.addr("admin")
	eventually(t, "it is registered", func() bool { return metric(admin, `sluice_consul_registered{service="web"}`) == 1 })
	eventually(t, "it is left out", func() bool { return strings.Contains(s.text(), "left out a member that is this process itself") })
	up(t, admin, 1)
	if all := backends(t, admin); len(all) != 1 {
		t.Fatalf("unexpected members %v", all)
	}
	for range 10 {
		c, err := net.Dial("tcp", s.addr("l4"))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); err != nil || !strings.Contains(string(b), "200 OK") {
			t.Fatalf("unexpected answer %q, %v", b, err)
		}
		c.Close()
	}
	if got := accepted(t, admin); got < 10 || got > 20 {
		t.Fatalf("unexpected connections; got %v for 10", got)
	}

	s = start(t, "sluice", nil, "--consul="+agent.Addr(), "--l7=127.0.0.1:0", "--consul-tags=urlprefix-", "--register=lb,addr=127.0.0.1,tag=urlprefix-/", "--admin=127.0.0.1:0", "--drain-delay=0s")
	admin = s.addr("admin")
	eventually(t, "it is left out", func() bool { return strings.Contains(s.text(), "left out a member that is this process itself") })
	resp, err := http.Get("http://" + s.addr("l7") + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 503 && resp.StatusCode != 502 {
		t.Fatalf("unexpected status %d of a route to nobody but itself", resp.StatusCode)
	}
	if got := accepted(t, admin); got < 1 || got > 3 {
		t.Fatalf("unexpected connections; got %v for 1", got)
	}
}

// TestTwoRegistered has two sluices that both register themselves as the
// service that they balance: neither takes the other for a member, by TCP, HTTP
// or tags, and one in front of both does.
func TestTwoRegistered(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 1)
	register(t, agent, "web-1", "web", addrs[0])
	register(t, agent, "api-1", "api", addrs[0], consultest.WithTags("urlprefix-/"))
	run := func(args ...string) (s *process, admin string) {
		args = append(args, "--consul="+agent.Addr(), "--admin=127.0.0.1:0", "--drain-delay=0s", "--health-interval=100ms")
		s = start(t, "sluice", nil, args...)
		return s, s.addr("admin")
	}
	exchanges := func(what string, s *process, admin, front string) {
		t.Helper()
		before := accepted(t, admin)
		for range 20 {
			c, err := net.Dial("tcp", s.addr(front))
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(c); err != nil || !strings.Contains(string(b), "200 OK") {
				t.Fatalf("%s: unexpected answer %q, %v", what, b, err)
			}
			c.Close()
		}
		if got := accepted(t, admin) - before; got != 20 {
			t.Fatalf("%s: unexpected connections; got %v for 20", what, got)
		}
	}
	left := func(s *process) func() bool {
		return func() bool {
			return strings.Contains(s.text(), "left out a member that is another sluice, which balances the same service")
		}
	}
	for _, x := range []struct {
		front string
		args  []string
	}{
		{"l4", []string{"--l4=127.0.0.1:0=web", "--register=web,addr=127.0.0.1"}},
		{"l7", []string{"--l7=127.0.0.1:0", "--route=/=web", "--register=web,addr=127.0.0.1"}},
		{"l7", []string{"--l7=127.0.0.1:0", "--consul-tags=urlprefix-", "--register=lb,addr=127.0.0.1,tag=urlprefix-/"}},
	} {
		a, adminA := run(x.args...)
		b, adminB := run(x.args...)
		what := x.args[len(x.args)-1]
		eventually(t, what+": they leave each other out", func() bool { return left(a)() && left(b)() })
		exchanges(what, a, adminA, x.front)
		exchanges(what, b, adminB, x.front)
	}
	// One that leads there under another name is no loop.
	inner, adminInner := run("--l4=127.0.0.1:0=web", "--register=front,addr=127.0.0.1")
	outer, adminOuter := run("--l4=127.0.0.1:0=front")
	eventually(t, "the inner one is a member of the outer one", func() bool { return metric(adminOuter, `sluice_service_eligible_backends{service="front"}`) == 1 })
	eventually(t, "the inner one knows its members", func() bool { return metric(adminInner, `sluice_service_eligible_backends{service="web"}`) == 1 })
	exchanges("outer", outer, adminOuter, "l4")
	if left(outer)() {
		t.Fatalf("unexpected member left out:\n%s", inner.text())
	}
}

// accepted returns how many connections all listeners of the data path have
// accepted.
func accepted(t *testing.T, admin string) (n float64) {
	t.Helper()
	_, body := get("http://" + admin + "/metrics")
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "sluice_listener_accepted_total{") {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			if err != nil {
				t.Fatal(err)
			}
			n += v
		}
	}
	return n
}
