package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestCanaryOfOwn leads a part of a service's clients to one of its own backends,
// and has that one, and the others, be changed meanwhile as any backend is.
func TestCanaryOfOwn(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 3)
	s := start(t, "sluice", nil, "--l7=127.0.0.1:0", "--route=/=web", "--l4=127.0.0.1:0=tcp", "--backend=tcp="+addrs[0], "--admin=127.0.0.1:0",
		"--backend=web="+addrs[0], "--backend=web="+addrs[1], "--backend=web="+addrs[2])
	admin := s.addr("admin")
	steady(t, s)
	for _, c := range []struct {
		args string
		code int
		has  string
	}{
		{"canary tcp " + addrs[0] + " 10", 2, "no HTTP route leads to service"},
		{"set tcp max-requests 5", 2, `max_requests: "5"`},
		{"canary web 127.0.0.1:1 10", 2, "no such backend"},
		{"canary web tag=v2 10", 3, "--force"},
		{"canary web " + addrs[2] + " 50", 0, "in force"},
		{"drain web " + addrs[2], 3, "canary"},
		{"drain web " + addrs[2] + " --force", 0, "in force"},
		{"backends", 0, "web@canary"},
		{"undrain web " + addrs[2], 0, "undone"},
		{"weight " + addrs[2] + " 3", 0, "in force"},
		{"reset web " + addrs[2] + " all", 0, "in force"},
		{"drain web " + addrs[0], 0, "in force"},
		{"drain web " + addrs[1], 3, "beside its canary"},
		{"canary web off", 0, "undone"},
		{"undo --all", 0, "undone"},
		{"maintenance web", 0, "in force"},
	} {
		if code, out, err := ctlAt(admin, strings.Fields(c.args)...); code != c.code || !strings.Contains(out+err, c.has) {
			t.Errorf("unexpected end of ctl %s: %d\n%s%s\nwant %d with %q", c.args, code, out, err, c.code, c.has)
		}
	}
	// Maintenance is of all of a service, its canary's part included.
	if code, out, err := ctlAt(admin, "canary", "web", addrs[2], "100"); code != exitOK {
		t.Fatalf("unexpected end: %d %s%s", code, out, err)
	}
	if status, body := get("http://" + s.addr("l7") + "/"); status != http.StatusServiceUnavailable || !strings.Contains(body, "maintenance") {
		t.Errorf("unexpected answer of a service in maintenance: %d %s", status, body)
	}
}

// steady waits until all members have been checked.
func steady(t *testing.T, s *process) {
	t.Helper()
	eventually(t, "all members are up", func() bool {
		_, out, _ := ctlAt(s.addr("admin"), "backends")
		return !strings.Contains(out, "unknown")
	})
}

// TestLastRemoved takes the last route and the last listener away, which is a
// mistake at a start and may be meant later, and brings them back.
func TestLastRemoved(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	s := start(t, "sluice", nil, "--l7=127.0.0.1:0", "--route=/=web", "--backend=web="+addrs[0], "--admin=127.0.0.1:0")
	l7, admin := s.addr("l7"), s.addr("admin")
	do := func(args ...string) {
		t.Helper()
		if code, out, err := ctlAt(admin, args...); code != exitOK {
			t.Errorf("unexpected end of %v: %d %s%s", args, code, out, err)
		}
	}
	do("route", "remove", "/")
	if status, _ := get("http://" + l7 + "/"); status != http.StatusNotFound {
		t.Errorf("unexpected status without a route: %d", status)
	}
	do("undo", "--all")
	if status, _ := get("http://" + l7 + "/"); status != http.StatusOK {
		t.Errorf("unexpected status with the route back: %d", status)
	}
	do("listener", "remove", l7) // by the address that it is bound to
	eventually(t, "nobody listens", func() bool { status, _ := get("http://" + l7 + "/"); return status == 0 })
	do("undo", "--all")
	_, out, _ := ctlAt(admin, "listeners")
	if !strings.Contains(out, "l7") {
		t.Errorf("the listener is not back: %s", out)
	}
}
