package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/discovery/consul/consultest"
)

// TestFleet has three sluices share what operators change, over the death of one
// of them and of Consul.
func TestFleet(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 2)
	agent := consultest.Start(t)
	args := []string{"--l7=127.0.0.1:0", "--route=/=web", "--backend=web=" + addrs[0], "--backend=web=" + addrs[1], "--admin=127.0.0.1:0", "--consul=" + agent.Addr(), "--fleet=e2e"}
	var all []*process
	for range 3 {
		all = append(all, start(t, "sluice", nil, args...))
	}
	in := func(s *process, id string) bool {
		_, body := get("http://" + s.addr("admin") + "/admin/changes")
		return strings.Contains(body, `"`+id+`"`)
	}
	everywhere := func(what, id string, want bool) time.Duration {
		t.Helper()
		return eventually(t, what, func() bool {
			return !slices.ContainsFunc(all, func(s *process) bool { return in(s, id) != want })
		})
	}
	drain := func(b string) string { return "backend web " + b + " drain" }
	first := all[0].addr("admin")
	eventually(t, "all are listed and ready", func() bool {
		code, out, _ := ctlAt(first, "fleet", "-o", "json")
		return code == exitOK && strings.Contains(out, `"ready": 3`)
	})
	if code, out, err := ctlAt(first, "drain", "web", addrs[0], "--by", "maria"); code != exitOK {
		t.Fatalf("unexpected end: %d %s%s", code, out, err)
	}
	t.Logf("a drain was everywhere after %v", everywhere("the drain is everywhere", drain(addrs[0]), true))
	if code, out, err := ctlAt(first, "fleet", "--wait", "--timeout", "60s"); code != exitOK || !strings.Contains(out, "applied by all: true") {
		t.Fatalf("unexpected end of fleet --wait: %d %s%s", code, out, err)
	}
	// Another one judges by what was changed here.
	if code, _, err := ctlAt(all[1].addr("admin"), "drain", "web", addrs[1]); code != 3 {
		t.Fatalf("unexpected end of draining the last one elsewhere: %d %s", code, err)
	}
	if err := all[2].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-all[2].done
	all[2] = start(t, "sluice", nil, args...)
	everywhere("the drain is at who was started again", drain(addrs[0]), true)

	agent.Stop()
	eventually(t, "changes are refused without Consul", func() bool {
		status, body := post(t, "POST", first, "/admin/weight", "url", addrs[1], "value", "2")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "local=true")
	})
	if status, body := post(t, "POST", first, "/admin/weight", "url", addrs[1], "value", "3", "local", "true"); status != http.StatusOK || !strings.Contains(body, `"local": true`) {
		t.Fatalf("unexpected answer to a change here alone: %d %s", status, body)
	}
	if status, _ := get("http://" + all[0].addr("l7") + "/"); status != http.StatusOK {
		t.Fatalf("unexpected status without Consul: %d", status)
	}
	if _, body := get("http://" + first + "/readyz"); !strings.Contains(body, "on this sluice alone") {
		t.Fatalf("/readyz does not tell: %s", body)
	}
	agent.Restart() // wiped
	everywhere("what was changed here alone is everywhere", "backend web "+addrs[1]+" weight", true)
	everywhere("the drain is kept", drain(addrs[0]), true)
	if code, out, err := ctlAt(all[1].addr("admin"), "undo", "--all"); code != exitOK {
		t.Fatalf("unexpected end of undo: %d %s%s", code, out, err)
	}
	everywhere("nothing is in force", drain(addrs[0]), false)
}
