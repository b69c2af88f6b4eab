package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// controlGroup is a control group of the test's own, with a CPU quota and a
// limit of memory, in version 1 or 2.
type controlGroup struct {
	t              *testing.T
	cpu, memory    string // folders, the same one in version 2
	quota, limit   string // names of their files
	kills, killKey string
}

// newControlGroup makes one, or skips the test where that is not allowed.
func newControlGroup(t *testing.T, name string) *controlGroup {
	t.Helper()
	name = fmt.Sprintf("sluice-test-%s-%d", name, os.Getpid())
	const root = "/sys/fs/cgroup"
	g := &controlGroup{t: t}
	if data, err := os.ReadFile(root + "/cgroup.controllers"); err == nil {
		if !strings.Contains(string(data), "cpu") || !strings.Contains(string(data), "memory") {
			t.Skip("the controllers cpu and memory are not there")
		}
		_ = os.WriteFile(root+"/cgroup.subtree_control", []byte("+cpu +memory"), 0)
		g.cpu = filepath.Join(root, name)
		g.memory, g.quota, g.limit, g.kills, g.killKey = g.cpu, "cpu.max", "memory.max", "memory.events", "oom_kill"
	} else {
		g.cpu, g.memory = filepath.Join(root, "cpu", name), filepath.Join(root, "memory", name)
		g.quota, g.limit, g.kills, g.killKey = "cpu.cfs_quota_us", "memory.limit_in_bytes", "memory.oom_control", "oom_kill"
	}
	for _, dir := range []string{g.cpu, g.memory} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Skipf("control groups cannot be made: %v", err)
		}
		t.Cleanup(func() {
			for range 100 { // its processes are gone, or about to be
				if err := os.Remove(dir); err == nil || os.IsNotExist(err) {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Errorf("%s cannot be removed", dir)
		})
	}
	return g
}

func (g *controlGroup) set(dir, file, value string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
		g.t.Skipf("control groups cannot be set: %v", err)
	}
}

// allow sets the quota, in hundredths of a CPU, and the limit in bytes.
func (g *controlGroup) allow(hundredths, bytes int) {
	g.t.Helper()
	g.set(g.cpu, g.quota, strconv.Itoa(hundredths*1000)) // of a period of 100 ms
	g.set(g.memory, g.limit, strconv.Itoa(bytes))
}

// killed returns how many processes the kernel has killed for their memory.
func (g *controlGroup) killed() int {
	g.t.Helper()
	data, err := os.ReadFile(filepath.Join(g.memory, g.kills))
	if err != nil {
		g.t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if v, ok := strings.CutPrefix(line, g.killKey+" "); ok {
			n, _ := strconv.Atoi(v)
			return n
		}
	}
	g.t.Fatalf("%s does not say how many were killed: %s", g.kills, data)
	return 0
}

// start starts sluice in the group.
func (g *controlGroup) start(args ...string) *process {
	g.t.Helper()
	const enter = `for d; do shift; [ "$d" = -- ] && break; echo $$ >"$d/cgroup.procs"; done; exec "$@"`
	return startPath(g.t, "/bin/sh", []string{"GOMEMLIMIT=", "GOMAXPROCS="}, append([]string{"-c", enter, "sh", g.cpu, g.memory, "--", built.path("sluice")}, args...)...)
}

// held is a connection that a test keeps.
type held struct {
	net.Conn
	r    *bufio.Reader
	kind string
}

// hold opens n connections to an address.
func hold(t *testing.T, n int, kind, addr string) (all []held) {
	t.Helper()
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatalf("connection %d of %s: %v", len(all), kind, err)
		}
		t.Cleanup(func() { c.Close() })
		all = append(all, held{c, bufio.NewReader(c), kind})
	}
	return all
}

// exchange sends a line, or a request, and expects it to be answered.
func (c held) exchange() error {
	if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return err
	}
	if c.kind == "l4" {
		if _, err := fmt.Fprintln(c, "hello"); err != nil {
			return err
		}
		line, err := c.r.ReadString('\n')
		if err == nil && line != "hello\n" {
			err = fmt.Errorf("got %q back", line)
		}
		return err
	}
	if _, err := fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// exchangeAll has all of them exchange something at once.
func exchangeAll(t *testing.T, clients []held) {
	t.Helper()
	failed := make(chan error, len(clients))
	for _, c := range clients {
		go func() { failed <- c.exchange() }()
	}
	for range clients {
		if err := <-failed; err != nil {
			t.Fatalf("an exchange of those that are held: %v", err)
		}
	}
}

// TestSmallTask is a task of a quarter of a CPU and 64 MB: it serves a thousand
// connections at once, of both layers, sheds those that it has no memory for,
// and is not killed; and it follows when it is given more.
func TestSmallTask(t *testing.T) {
	g := newControlGroup(t, "small")
	g.allow(25, 64<<20)
	_, addrs := startEchos(t, 2)
	s := g.start("--l4=127.0.0.1:0=echo", "--l7=127.0.0.1:0", "--route=/=echo",
		"--backend=echo="+addrs[0], "--backend=echo="+addrs[1], "--admin=127.0.0.1:0", "--drain-delay=0s")
	says := func(what string) func() bool { return func() bool { return strings.Contains(s.text(), what) } }
	eventually(t, "it knows its memory", says(`"bytes":67108864,"gomemlimit":54525952,"from_environment":false,"connections":2560,"with_tls":640`))

	clients := append(hold(t, 500, "l4", s.addr("l4")), hold(t, 500, "l7", s.addr("l7"))...)
	for range 3 {
		exchangeAll(t, clients)
	}
	flood := hold(t, 2500, "l7", s.addr("l7"))
	shed := fmt.Sprintf("sluice_listener_rejected_total{listener=\"l7\",name=\"127.0.0.1:0\",addr=%q,reason=\"memory\"}", s.addr("l7"))
	eventually(t, "some are shed", func() bool { return metric(s.addr("admin"), shed) > 500 })
	if !strings.Contains(s.text(), "too many connections for the memory") {
		t.Error("the log does not say why connections are shed")
	}
	for _, c := range flood {
		c.Close()
	}
	exchangeAll(t, clients)
	if n := g.killed(); n != 0 {
		t.Errorf("the kernel has killed %d processes for their memory", n)
	}
	g.allow(200, 256<<20)
	eventually(t, "it follows", says(`"bytes":268435456,"gomemlimit":241591911,`))
	if runtime.NumCPU() > 2 { // Go takes 2 for any quota up to that
		g.allow(300, 256<<20)
		eventually(t, "it follows the quota, too", says(`"msg":"the CPUs that may be used have changed","cpus":3,`))
	}
	for _, c := range clients {
		c.Close()
	}
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != exitOK {
		t.Errorf("unexpected exit code: %d", code)
	}
}
