package main

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/discovery/consul/consultest"
)

// TestFleet has three sluices share what operators change, over the death of one
// of them and of Consul, while requests and connections come. SLUICE_TEST_OUTAGE
// says for how long Consul is away; it is wiped then.
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

	// Those that stay serve from here on.
	loads := []*load{startLoad(20, "", all[0].addr("l7")), startLoad(20, "", all[1].addr("l7"))}
	race(t, all[0].addr("admin"), all[1].addr("admin"), addrs[1])
	agent.Stop()
	away := time.Now()
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
	if outage, err := time.ParseDuration(os.Getenv("SLUICE_TEST_OUTAGE")); err == nil {
		time.Sleep(outage - time.Since(away))
		if _, body := get("http://" + first + "/admin/changes"); !strings.Contains(body, drain(addrs[0])) {
			t.Fatalf("the drain did not outlast an outage: %s", body)
		}
	}
	agent.Restart() // wiped
	t.Logf("Consul was away for %v", time.Since(away).Round(time.Millisecond))
	everywhere("what was changed here alone is everywhere", "backend web "+addrs[1]+" weight", true)
	everywhere("the drain is kept", drain(addrs[0]), true)
	if code, out, err := ctlAt(all[1].addr("admin"), "undo", "--all"); code != exitOK {
		t.Fatalf("unexpected end of undo: %d %s%s", code, out, err)
	}
	everywhere("nothing is in force", drain(addrs[0]), false)
	eventually(t, "the figures of those that serve are shown", func() bool {
		_, body := get("http://" + first + "/admin/fleet")
		return len(regexp.MustCompile(`"requests_total": [1-9]`).FindAllString(body, -1)) == 2
	})
	for _, l := range loads {
		eventually(t, "there was some load", func() bool { return l.count("get") >= 20 })
		l.wantClean(t, 20)
		t.Logf("%d requests", l.count("get"))
	}
}

// race has two operators at two sluices change one thing at once, half of them upon
// a condition. Each change that was done is in the journal of both, and none that
// was not.
func race(t *testing.T, one, other, backend string) {
	t.Helper()
	each := 20
	if os.Getenv("SLUICE_TEST_OUTAGE") != "" {
		each = 100
	}
	var mu sync.Mutex
	done, stale := make(map[string]bool), make(map[string]bool)
	var wg sync.WaitGroup
	for op, admin := range []string{one, other} {
		wg.Go(func() {
			for n := range each {
				by := fmt.Sprintf("operator-%d-%d", op, n)
				params := []string{"url", backend, "value", fmt.Sprint(2 + op*each + n), "by", by}
				if n%2 == 0 {
					_, body := post(t, "GET", admin, "/admin/changes")
					version := regexp.MustCompile(`"version": "([^"]*)"`).FindStringSubmatch(body)
					if version == nil {
						t.Errorf("no version: %s", body)
						return
					}
					params = append(params, "if_match", version[1])
				}
				status, body := post(t, "POST", admin, "/admin/weight", params...)
				mu.Lock()
				switch status {
				case http.StatusOK:
					done[by] = true
				case http.StatusPreconditionFailed:
					stale[by] = true
				default:
					t.Errorf("unexpected answer: %d %s", status, body)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(done)+len(stale) != 2*each {
		t.Fatalf("%d done, %d stale; want %d together", len(done), len(stale), 2*each)
	}
	for _, admin := range []string{one, other} {
		eventually(t, "the journal has each change that was done", func() bool {
			_, body := post(t, "GET", admin, "/admin/events", "kind", "change", "limit", "1000")
			for by := range stale {
				if strings.Contains(body, `"`+by+`"`) {
					t.Errorf("the journal has a change that was refused: %s", by)
				}
			}
			for by := range done {
				if !strings.Contains(body, `"`+by+`"`) {
					return false
				}
			}
			return true
		})
	}
	t.Logf("of %d changes %d were done and %d refused", 2*each, len(done), len(stale))
}

// TestNewService leads routes and listeners, at run time, to a service that only
// Consul knows.
func TestNewService(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 2)
	agent := consultest.Start(t)
	register(t, agent, "new-1", "new", addrs[1])
	s := start(t, "sluice", nil, "--l7=127.0.0.1:0", "--route=/=web", "--backend=web="+addrs[0], "--admin=127.0.0.1:0", "--consul="+agent.Addr())
	l7, admin := s.addr("l7"), s.addr("admin")
	for _, args := range [][]string{{"route", "add", "/new=new,strip=/new"}, {"listener", "add", "l4 localhost:0=new"}} {
		if code, out, err := ctlAt(admin, args...); code != exitOK {
			t.Fatalf("unexpected end of %v: %d %s%s", args, code, out, err)
		}
	}
	eventually(t, "the new service serves", func() bool { status, _ := get("http://" + l7 + "/new/"); return status == http.StatusOK })
	if code, out, err := ctlAt(admin, "undo", "--all"); code != exitOK {
		t.Fatalf("unexpected end of undo: %d %s%s", code, out, err)
	}
	eventually(t, "it is forgotten", func() bool { _, out, _ := ctlAt(admin, "services"); return !strings.Contains(out, "new") })
}
