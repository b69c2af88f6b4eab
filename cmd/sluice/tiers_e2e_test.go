package main

import (
	"strings"
	"syscall"
	"testing"
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
