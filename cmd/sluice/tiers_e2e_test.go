package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/discovery/consul/consultest"
)

// TestTiers kills members of one tier after the other: the next ones serve, a
// later priority and then another service, until one of the former is back.
func TestTiers(t *testing.T) {
	t.Parallel()
	echos, addrs := startEchos(t, 3)
	s := startSluice(t, "--health-interval=100ms", "--health-down-interval=50ms",
		"--backend=echo="+addrs[0], "--backend=echo="+addrs[1]+",priority=1", "--service=echo,failover=spare", "--backend=spare="+addrs[2])
	admin := s.addr("admin")
	eventually(t, "all are checked", func() bool {
		all, up := backends(t, admin), 0
		for _, b := range all {
			if b.State == "up" {
				up++
			}
		}
		return len(all) == 3 && up == 3
	})
	serves := func(name string, tier float64) {
		t.Helper()
		eventually(t, name+" serves", func() bool { return metric(admin, `sluice_service_tier{service="echo"}`) == tier })
		for range 10 {
			for _, front := range []string{"l4", "l7"} {
				if got := said(s.addr(front)); !strings.HasPrefix(got, name+" ") {
					t.Fatalf("unexpected answer by %s in tier %v: %q; want %s", front, tier, got, name)
				}
			}
		}
	}
	kill := func(i int) {
		echos[i].signal(syscall.SIGKILL)
		echos[i].wait()
	}
	serves("echo-1", 0)
	kill(0)
	serves("echo-2", 1)
	kill(1)
	serves("echo-3", 2)
	if _, body := get("http://" + admin + "/admin/backends"); !strings.Contains(body, `"tier": 2`) || !strings.Contains(body, `"tiers": 3`) {
		t.Errorf("unexpected view: %s", body)
	}
	start(t, "echo", nil, "--listen", addrs[0], "--name", "echo-1")
	serves("echo-1", 0)
	if _, body := get("http://" + admin + "/admin/backends"); !strings.Contains(body, "it is in reserve") {
		t.Errorf("unexpected view, nobody in reserve: %s", body)
	}
	if n := strings.Count(s.text(), "no member of an earlier tier can serve"); n != 2 || !strings.Contains(s.text(), "members of an earlier tier can serve again") {
		t.Errorf("unexpected log, %d times over to the next tier:\n%s", n, s.text())
	}
}

// TestTierKilledUnderLoad kills the only member of the first tier again and
// again under load, with each driver: until that is found out, who cannot
// connect to it is served by the next tier, and nobody fails.
func TestTierKilledUnderLoad(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"epoll", "copy"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			echos, addrs := startEchos(t, 2)
			s := startSluice(t, "--l4-driver="+driver, "--health-interval=1s", "--health-down-interval=50ms", "--health-fast-interval=200ms",
				"--backend=echo="+addrs[0], "--service=echo,failover=spare", "--backend=spare="+addrs[1])
			admin := s.addr("admin")
			up := func() bool {
				all := backends(t, admin)
				return all[addrs[0]].State == "up" && all[addrs[1]].State == "up"
			}
			tier := func(n float64) func() bool {
				return func() bool { return metric(admin, `sluice_service_tier{service="echo"}`) == n }
			}
			eventually(t, "all are checked", up)
			l := startLoad(200, s.addr("l4"), s.addr("l7"))
			first := echos[0]
			for range 2 {
				eventually(t, "the first tier serves", tier(0))
				before := l.count("tcp")
				eventually(t, "connections have been served", func() bool { return l.count("tcp") > before+20 })
				l.excuse(time.Now().Add(time.Hour))
				first.signal(syscall.SIGKILL)
				first.wait()
				l.excuse(time.Now())
				eventually(t, "the next tier serves", tier(1))
				first = start(t, "echo", nil, "--listen", addrs[0], "--name", "echo-1")
			}
			eventually(t, "the first tier serves again", tier(0))
			l.wantClean(t, 50)
		})
	}
}

// TestFailoverChecks has a service and the one that it fails over to be checked
// each by its own settings, and refuses what would be spoken to otherwise.
func TestFailoverChecks(t *testing.T) {
	t.Parallel()
	sick := func(path string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path && r.URL.Path != "/" {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	own, first, second, third := sick("/own"), sick("/first"), sick("/own"), sick("/none")
	s := start(t, "sluice", nil, "--l7=127.0.0.1:0", "--route=/=web", "--admin=127.0.0.1:0", "--drain-delay=0s", "--health-interval=50ms",
		"--backend=web="+own, "--backend=first="+first, "--backend=second="+second, "--backend=third="+third,
		"--service=web,check=http:/own,failover=first,failover=second,failover=third", "--service=first,check=http:/first", "--service=second,check=http:/second")
	admin := s.addr("admin")
	eventually(t, "each is checked by its own check", func() bool {
		all := backends(t, admin)
		return all[own].State == "up" && all[first].State == "up" && all[second].State == "down" && all[third].State == "up"
	})
	for _, extra := range []string{"tls=skip-verify", "proxy-out=v2"} {
		_, err := parseCommand([]string{"--l4=127.0.0.1:0=web", "--backend=web=127.0.0.1:1", "--backend=spare=127.0.0.1:2", "--service=web,failover=spare", "--service=spare," + extra}, nil)
		if err == nil || !strings.Contains(err.Error(), "spoken to otherwise") {
			t.Errorf("unexpected verdict on %s of one of the two: %v", extra, err)
		}
		if _, err = parseCommand([]string{"--l4=127.0.0.1:0=web", "--backend=web=127.0.0.1:1", "--backend=spare=127.0.0.1:2", "--service=web,failover=spare," + extra, "--service=spare," + extra}, nil); err != nil {
			t.Errorf("unexpected verdict on %s of both: %v", extra, err)
		}
	}
}

// TestFailoverDatacenter has a service fail over to another datacenter of Consul
// under load, as its own members die, are critical, or are deregistered: each
// time it is served from there, and back again, without a flap and without a
// failed connection.
func TestFailoverDatacenter(t *testing.T) {
	t.Parallel()
	agents := consultest.StartFederated(t, "dc1", "dc2")
	near, far := agents[0], agents[1]
	echos, addrs := startEchos(t, 2)
	register(t, near, "echo-1", "echo", addrs[0])
	register(t, far, "echo-2", "echo", addrs[1])
	s := startSluice(t, "--consul="+near.Addr(), "--service=echo,failover=dc2", "--health-interval=200ms", "--health-down-interval=50ms")
	admin := s.addr("admin")
	tier := func(n float64) func() bool {
		return func() bool { return metric(admin, `sluice_service_tier{service="echo"}`) == n }
	}
	eventually(t, "members of both are checked", func() bool {
		all := backends(t, admin)
		return all[addrs[0]].State == "up" && all[addrs[1]].State == "up"
	})
	l := startLoad(100, s.addr("l4"), s.addr("l7"))
	serves := func(name string) {
		t.Helper()
		for _, front := range []string{"l4", "l7"} {
			for range 10 {
				if got := said(s.addr(front)); !strings.HasPrefix(got, name+" ") {
					t.Fatalf("unexpected answer by %s: %q; want %s", front, got, name)
				}
			}
		}
	}
	for _, x := range []struct {
		what       string
		fail, mend func()
	}{
		{"its only member is killed", func() {
			l.excuse(time.Now().Add(time.Hour))
			echos[0].signal(syscall.SIGKILL)
			echos[0].wait()
			l.excuse(time.Now())
		}, func() { start(t, "echo", nil, "--listen", addrs[0], "--name", "echo-1") }},
		{"its only member is critical", func() { near.SetStatus(t, "echo-1", "critical") }, func() { near.SetStatus(t, "echo-1", "passing") }},
		{"its only member is in maintenance", func() { near.Maintenance(t, "echo-1", true) }, func() { near.Maintenance(t, "echo-1", false) }},
		{"its only member is deregistered", func() { near.Deregister(t, "echo-1") }, func() { register(t, near, "echo-1", "echo", addrs[0]) }},
	} {
		eventually(t, "its own datacenter serves", tier(0))
		serves("echo-1")
		log := len(s.text())
		x.fail()
		t.Logf("%s: the other datacenter serves after %v", x.what, eventually(t, x.what+", and the other datacenter serves", func() bool {
			return strings.HasPrefix(said(s.addr("l4")), "echo-2 ") && strings.HasPrefix(said(s.addr("l7")), "echo-2 ")
		}))
		eventually(t, "it is shown", func() bool { return !backends(t, admin)[addrs[0]].Eligible && backends(t, admin)[addrs[1]].Eligible })
		serves("echo-2")
		x.mend()
		t.Logf("its own serves again after %v", eventually(t, "its own serves again", func() bool {
			return strings.HasPrefix(said(s.addr("l4")), "echo-1 ") && strings.HasPrefix(said(s.addr("l7")), "echo-1 ")
		}))
		serves("echo-1")
		text := s.text()[log:]
		if there, back := strings.Count(text, "no member of an earlier tier can serve"), strings.Count(text, "members of an earlier tier can serve again"); there != back || there > 1 {
			t.Errorf("%s: unexpected changes of tiers: %d and %d back", x.what, there, back)
		}
	}
	l.wantClean(t, 20)
}
