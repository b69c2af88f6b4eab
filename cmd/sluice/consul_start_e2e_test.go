package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sluice/discovery/consul/consultest"
	"sluice/pkg/backend"
)

// TestConsul follows a service through its life in a real Consul.
func TestConsul(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	echos, addrs := startEchos(t, 2)
	s := startSluice(t, "--consul="+agent.Addr(), "--strategy=round_robin")
	l7, admin := "http://"+s.addr("l7")+"/", s.addr("admin")

	eventually(t, "ready without members, since Consul has answered", func() bool {
		status, _ := get("http://" + admin + "/readyz")
		return status == http.StatusOK
	})
	if status, _ := get(l7); status != http.StatusServiceUnavailable {
		t.Fatalf("unexpected answer without backends; got %d; want 503", status)
	}

	register := func(i int) {
		host, port, _ := net.SplitHostPort(addrs[i])
		n, _ := strconv.Atoi(port)
		agent.Register(t, fmt.Sprintf("echo-%d", i+1), "echo", host, n)
	}
	served := func(i int) func() bool {
		return func() bool {
			status, body := get(l7)
			return status == http.StatusOK && strings.HasPrefix(body, fmt.Sprintf("echo-%d ", i+1))
		}
	}
	lives := func(string) {} // checks an established connection
	// never checks that no answer comes from backend i once it is out.
	never := func(i int, why string) {
		t.Helper()
		took := eventually(t, why+" takes it out", func() bool { return !backends(t, admin)[addrs[i]].Eligible })
		t.Logf("%s: out after %v", why, took)
		for range 50 {
			if status, body := get(l7); status != http.StatusOK || strings.HasPrefix(body, fmt.Sprintf("echo-%d ", i+1)) {
				t.Fatalf("unexpected answer after %s; got %d: %s", why, status, body)
			}
		}
		lives(why)
	}
	register(0)
	t.Logf("first traffic after %v", eventually(t, "the first gets traffic", served(0)))
	long, err := net.Dial("tcp", s.addr("l4")) // to the first, and outlives what happens to it
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	lives = func(after string) {
		t.Helper()
		if _, err := long.Write([]byte("x")); err != nil {
			t.Fatalf("an established connection ended after %s: %v", after, err)
		}
		if _, err := io.ReadFull(long, make([]byte, 1)); err != nil {
			t.Fatalf("an established connection ended after %s: %v", after, err)
		}
	}
	lives("connecting")
	register(1)
	t.Logf("first traffic after %v", eventually(t, "the second gets traffic", served(1)))
	agent.SetStatus(t, "echo-1", "critical")
	never(0, "critical")
	agent.SetStatus(t, "echo-1", "passing")
	eventually(t, "it is back", served(0))
	agent.Maintenance(t, "echo-1", true)
	never(0, "maintenance")
	agent.Maintenance(t, "echo-1", false)
	eventually(t, "it is back", served(0))
	agent.Deregister(t, "echo-1")
	never(0, "deregistration")
	register(0)
	eventually(t, "it is back", served(0))

	// Consul goes: traffic goes on, and a backend that dies is still noticed.
	agent.Stop()
	eventually(t, "the loss is noticed", func() bool { return strings.Contains(s.text(), "lost contact with Consul") })
	for range 50 {
		if status, body := get(l7); status != http.StatusOK {
			t.Fatalf("unexpected answer without Consul; got %d: %s", status, body)
		}
	}
	echos[1].signal(syscall.SIGKILL)
	echos[1].wait()
	for range 50 {
		if status, body := get(l7); status != http.StatusOK {
			t.Fatalf("unexpected answer without Consul and one backend; got %d: %s", status, body)
		}
	}
	eventually(t, "the dead backend is out", func() bool { return backends(t, admin)[addrs[1]].State == backend.Down.String() })
	if b := backends(t, admin)[addrs[0]]; !b.Eligible {
		t.Fatalf("unexpected backend: %+v", b)
	}

	// Consul is back: it is followed again.
	agent.Restart()
	register(0)
	agent.Maintenance(t, "echo-1", true)
	t.Logf("followed again after %v", eventually(t, "what Consul says counts again", func() bool {
		return backends(t, admin)[addrs[0]].Status == "maintenance"
	}))
	lives("all that")
}

// TestConsulAbsentAtStart checks that a start without Consul says so, is not
// ready, and becomes so when Consul comes.
func TestConsulAbsentAtStart(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	agent.Stop()
	s := startSluice(t, "--consul="+agent.Addr())
	admin := s.addr("admin")
	s.addr("l7") // listening all the same
	if status, body := get("http://" + admin + "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "echo are not known yet") {
		t.Fatalf("unexpected readiness; got %d: %s", status, body)
	}
	agent.Restart()
	t.Logf("ready after %v", eventually(t, "it is ready", func() bool {
		status, _ := get("http://" + admin + "/readyz")
		return status == http.StatusOK
	}))
}
