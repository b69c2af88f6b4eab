package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"sluice/discovery/consul/consultest"
)

// TestConsulHangs freezes Consul under load: nobody notices but whoever asks
// sluice, and what Consul says when it is back counts.
func TestConsulHangs(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 2)
	register(t, agent, "a", "echo", addrs[0])
	register(t, agent, "b", "echo", addrs[1])
	s := startSluice(t, "--consul="+agent.Addr())
	admin := s.addr("admin")
	up(t, admin, 2)
	l := startLoad(50, s.addr("l4"), s.addr("l7"))
	agent.Freeze()
	t.Logf("noticed after %v", eventually(t, "it is noticed", func() bool {
		status, body := get("http://" + admin + "/readyz")
		return status == http.StatusOK && strings.Contains(body, "does Consul hang") && strings.Contains(body, "2 members kept")
	}))
	agent.Thaw()
	agent.SetStatus(t, "b", api.HealthCritical)
	t.Logf("followed again after %v", eventually(t, "it is followed again", func() bool { return backends(t, admin)[addrs[1]].Status == "critical" }))
	l.wantClean(t, 100)
}

// TestConsulChurn registers and deregisters instances under load, 20 a second,
// and states what that costs. SLUICE_TEST_CHURN=200 has it done with so many
// for a minute.
func TestConsulChurn(t *testing.T) {
	t.Parallel()
	instances, length, perSecond := 40, 4*time.Second, 100
	if n, err := strconv.Atoi(os.Getenv("SLUICE_TEST_CHURN")); err == nil {
		instances, length, perSecond = n, time.Minute, 500
	}
	agent := consultest.Start(t)
	echo := start(t, "echo", nil, "--listen=0.0.0.0:0", "--name=echo")
	_, port, _ := net.SplitHostPort(echo.addr(""))
	// One backend, many addresses.
	addr := func(i int) string { return fmt.Sprintf("127.0.%d.%d:%s", 1+i/200, 1+i%200, port) }
	for i := range instances {
		register(t, agent, fmt.Sprint("echo-", i), "echo", addr(i))
	}
	s := startSluice(t, "--consul="+agent.Addr())
	admin := s.addr("admin")
	eventually(t, "all are members", func() bool { return metric(admin, `sluice_service_backends{service="echo"}`) == float64(instances) })
	l := startLoad(perSecond, s.addr("l4"), s.addr("l7"))
	queries := func() (n float64) {
		for _, result := range []string{"changed", "unchanged", "doubtful", "error"} {
			n += metric(admin, `sluice_consul_queries_total{service="echo",result="`+result+`"}`)
		}
		return n
	}
	before, busy, begin := queries(), cpuTime(t, s), time.Now()
	gone := make(map[int]bool)
	tick := time.NewTicker(time.Second / 20)
	defer tick.Stop()
	changes := 0
	for ; time.Since(begin) < length; <-tick.C {
		changes++
		i := rand.IntN(instances)
		id := fmt.Sprint("echo-", i)
		switch {
		case gone[i]:
			register(t, agent, id, "echo", addr(i))
			delete(gone, i)
		case len(gone) < instances/3:
			agent.Deregister(t, id)
			gone[i] = true
		default:
			agent.SetStatus(t, id, []string{api.HealthPassing, api.HealthWarning, api.HealthCritical}[rand.IntN(3)])
		}
	}
	took := time.Since(begin)
	t.Logf("%d changes of %d instances in %s under %d requests and %d connections a second: %.0f queries to Consul, %.1f %% of a core for all of sluice",
		changes, instances, took.Round(time.Second), perSecond, perSecond, queries()-before, 100*(cpuTime(t, s)-busy).Seconds()/took.Seconds())
	if n := queries() - before; n > 5*took.Seconds()+2*8 { // the token bucket's bound
		t.Errorf("unexpected queries: %.0f in %s", n, took)
	}
	eventually(t, "the list is that of Consul", func() bool {
		return metric(admin, `sluice_service_backends{service="echo"}`) == float64(instances-len(gone))
	})
	l.wantClean(t, 100)
}

// TestConsulGone takes Consul away under load for a while, 3 s or
// SLUICE_TEST_OUTAGE: nobody notices, a backend that dies meanwhile is out, and
// what Consul says when it is back counts.
func TestConsulGone(t *testing.T) {
	t.Parallel()
	length := 3 * time.Second
	if d, err := time.ParseDuration(os.Getenv("SLUICE_TEST_OUTAGE")); err == nil {
		length = d
	}
	agent := consultest.Start(t)
	echos, addrs := startEchos(t, 5)
	for i, addr := range addrs {
		register(t, agent, fmt.Sprint("echo-", i), "echo", addr)
	}
	s := startSluice(t, "--consul="+agent.Addr())
	admin := s.addr("admin")
	up(t, admin, 5)
	l := startLoad(100, s.addr("l4"), s.addr("l7"))
	agent.Stop()
	time.Sleep(length / 2) // an outage takes its time
	l.excuse(time.Now().Add(time.Hour))
	echos[0].signal(syscall.SIGKILL)
	echos[0].wait()
	l.excuse(time.Now())
	t.Logf("a dead backend is out after %v", eventually(t, "a dead backend is out", func() bool { return !backends(t, admin)[addrs[0]].Eligible }))
	time.Sleep(length / 2)
	agent.Restart()
	for i, addr := range addrs[1:3] {
		register(t, agent, fmt.Sprint("echo-", i+1), "echo", addr)
	}
	agent.Maintenance(t, "echo-2", true)
	t.Logf("followed again after %v", eventually(t, "what Consul says counts again", func() bool {
		all := backends(t, admin)
		_, dead := all[addrs[0]]
		return all[addrs[1]].Status == "passing" && all[addrs[2]].Status == "maintenance" && !dead
	}))
	for _, addr := range addrs[3:] { // not registered again yet, and working
		if b := backends(t, admin)[addr]; !b.Eligible || b.Status != "absent" {
			t.Errorf("unexpected backend that works and is not registered again: %+v", b)
		}
	}
	l.wantClean(t, 200)
}
