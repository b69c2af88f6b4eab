package main

import (
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/discovery/consul/consultest"
)

// TestFleetLimits has three sluices share limits with fleet=true, and divide them
// anew when one leaves, by a limit of each kind.
func TestFleetLimits(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	agent := consultest.Start(t)
	var all []*process
	for range 3 {
		all = append(all, start(t, "sluice", nil, "--consul="+agent.Addr(), "--fleet=limits", "--admin=127.0.0.1:0", "--drain-delay=1s",
			"--l7=127.0.0.1:0,rate=3/h,rate-burst=30,fleet=true", "--route=/=web", "--l4=127.0.0.1:0=db,max-conns-per-client=6,fleet=true",
			"--service=web,max-requests=60,fleet=true", "--backend=web="+addrs[0], "--backend=db="+addrs[0]))
	}
	first, gone := all[0], all[2]
	limits := func(s *process, want ...string) func() bool {
		return func() bool {
			_, body := get("http://" + s.addr("admin") + "/admin/limits")
			for _, w := range want {
				if !strings.Contains(body, w) {
					return false
				}
			}
			return true
		}
	}
	for _, s := range all {
		eventually(t, "each takes a third", limits(s, `"fleet_tasks": 3`, `"value": "2"`, `"value": "20"`, `"fleet": "60"`))
	}
	for series, want := range map[string]float64{
		"sluice_fleet_ready_tasks": 3, `sluice_l7_requests_limit{service="web"}`: 20,
		`sluice_listener_client_limit{listener="l4",name="db",addr="` + first.addr("l4") + `",limit="max-conns-per-client"}`: 2,
	} {
		if got := metric(first.addr("admin"), series); got != want {
			t.Errorf("unexpected %s; got %v; want %v", series, got, want)
		}
	}
	if _, body := get("http://" + first.addr("admin") + "/admin/explain?path=/"); !strings.Contains(body, `"fleet": "60"`) {
		t.Fatalf("explain does not tell: %s", body)
	}
	served := 0
	for range 30 {
		if status, _ := get("http://" + first.addr("l7") + "/"); status == http.StatusOK {
			served++
		}
	}
	if served != 10 {
		t.Errorf("unexpected requests served by a third of a burst of 30; got %d; want 10", served)
	}
	// Two connections are a third of six.
	conns := []net.Conn{openTCP(t, first.addr("l4")), openTCP(t, first.addr("l4"))}
	for _, c := range conns {
		if !answersGet(c) {
			t.Fatal("a connection within the limit was not served")
		}
	}
	if answersGet(openTCP(t, first.addr("l4"))) {
		t.Error("a third connection was served, though two are the part of the limit")
	}

	gone.signal(syscall.SIGTERM)
	for _, s := range all[:2] {
		eventually(t, "each takes a half", limits(s, `"fleet_tasks": 2`, `"value": "3"`, `"value": "30"`))
	}
	if c := openTCP(t, first.addr("l4")); !answersGet(c) || !answersGet(conns[0]) {
		t.Error("a third connection was not served, or the first one was cut, once the limit was divided anew")
	}
	if !strings.Contains(first.text(), `"msg":"sluices of the fleet that are ready"`) {
		t.Error("the log does not tell")
	}
	// What an operator bounds is divided as well.
	if code, out, err := ctlAt(first.addr("admin"), "rate", "web", "10", "--fleet", "--burst", "4"); code != exitOK {
		t.Fatalf("unexpected end: %d %s%s", code, out, err)
	}
	for _, s := range all[:2] {
		eventually(t, "each takes a half of the operator's", limits(s, `"value": "5 requests a second of each client"`, `"fleet": "10 requests a second of each client"`))
	}
	gone.wait()
}

// openTCP opens a connection.
func openTCP(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// answersGet reports whether a connection answers a request.
func answersGet(c net.Conn) bool {
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		return false
	}
	b := make([]byte, 1024)
	n, _ := c.Read(b)
	return strings.HasPrefix(string(b[:n]), "HTTP/1.1 200")
}
