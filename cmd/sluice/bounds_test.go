package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// metric returns the value of a series of a process' metrics, or -1.
func metric(admin, series string) float64 {
	_, body := get("http://" + admin + "/metrics")
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(body)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return -1
	}
	return v
}

// descriptors returns how many files a process has open.
func (p *process) descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Skip("this system does not tell of open files")
	}
	return len(entries)
}

// TestNothingLeft opens, uses and closes thousands of connections: goroutines,
// descriptors and memory are then where they were.
func TestNothingLeft(t *testing.T) {
	t.Parallel()
	const batch, batches = 500, 20
	for _, driver := range []string{"epoll", "copy"} {
		_, addrs := startEchos(t, 3)
		s := startSluice(t, append(backendArgs(addrs), "--l4-driver="+driver)...)
		addr, admin := s.addr("l4"), s.addr("admin")
		round := func() {
			var wg sync.WaitGroup
			for range batch {
				wg.Go(func() {
					if err := exchangeTCP(addr); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		settled := func() (goroutines, files int) {
			eventually(t, "no connection is open", func() bool { return metric(admin, `sluice_l4_connections{service="echo"}`) == 0 })
			return int(metric(admin, "go_goroutines")), s.descriptors()
		}
		round()
		goroutines, files := settled()
		rss := metric(admin, "process_resident_memory_bytes")
		for range batches - 1 {
			round()
		}
		// Connections of the control plane and checks come and go.
		eventually(t, "goroutines and descriptors are where they were", func() bool {
			g, f := settled()
			return g <= goroutines+10 && f <= files+10
		})
		if now := metric(admin, "process_resident_memory_bytes"); now > rss+16<<20 {
			t.Errorf("unexpected memory after %d connections with %s; got %.0f MB; had %.0f MB", batch*batches, driver, now/(1<<20), rss/(1<<20))
		}
	}
}

// TestDescriptorsRunOut gives sluice few descriptors and more connections: it
// serves what it can, does not spin, and all once there are some again.
func TestDescriptorsRunOut(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("prlimit"); err != nil {
		t.Skip("prlimit is not there")
	}
	for _, driver := range []string{"epoll", "copy"} {
		_, addrs := startEchos(t, 1)
		s := startSluice(t, "--l4=127.0.0.1:0=echo,max-conns=1000", "--backend=echo="+addrs[0], "--l4-driver="+driver)
		addr, admin := s.addr("l4"), s.addr("admin")
		eventually(t, "the backend is up", func() bool { return backends(t, admin)[addrs[0]].State == "up" })
		before := s.descriptors()
		limit := strconv.Itoa(before + 40)
		if out, err := exec.Command("prlimit", "--pid", strconv.Itoa(s.cmd.Process.Pid), "--nofile="+limit+":"+limit).CombinedOutput(); err != nil {
			t.Fatalf("cannot set a limit: %v: %s", err, out)
		}
		var conns []net.Conn
		for range 100 {
			c, err := net.DialTimeout("tcp", addr, 10*time.Second)
			if err == nil {
				conns = append(conns, c)
			} else if !errors.Is(err, syscall.ECONNRESET) { // no descriptor was left for the backend
				t.Fatal(err)
			}
		}
		eventually(t, "all descriptors are taken", func() bool { return s.descriptors() >= before+38 })
		used := cpuTime(t, s)
		time.Sleep(500 * time.Millisecond)
		if spent := cpuTime(t, s) - used; spent > 250*time.Millisecond {
			t.Errorf("%s spins while it has no descriptors: %v of CPU time in half a second", driver, spent)
		}
		for _, c := range conns {
			c.Close()
		}
		eventually(t, "connections are served again", func() bool { return exchangeTCP(addr) == nil })
		eventually(t, "all connections have ended", func() bool { return s.descriptors() <= before+5 })
	}
}

// cpuTime returns the CPU time that a process has used.
func cpuTime(t *testing.T, p *process) time.Duration {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "stat"))
	if err != nil {
		t.Skip("this system does not tell of CPU time")
	}
	var ticks, total int64
	for i, f := range regexp.MustCompile(`\s+`).Split(string(b[len(regexp.MustCompile(`^.*\) `).Find(b)):]), -1) {
		if i == 11 || i == 12 { // utime and stime, counted from the state on
			ticks, _ = strconv.ParseInt(f, 10, 64)
			total += ticks
		}
	}
	return time.Duration(total) * 10 * time.Millisecond
}
