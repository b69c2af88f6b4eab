package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// built are the programs that the smoke tests run.
type built struct{ sluice, echo string }

func build(t *testing.T) built {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/sluice", "./cmd/echo")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build sluice and echo: %s:\n%s", err, out)
	}
	return built{filepath.Join(dir, "sluice"), filepath.Join(dir, "echo")}
}

// smoke runs the bench and returns its exit code, its output and its result,
// if there is one. It fails the test if a process is left.
func smoke(ctx context.Context, t *testing.T, b built, args ...string) (code int, out string, r *Result) {
	t.Helper()
	dir := t.TempDir()
	all := append([]string{"--sluice", b.sluice, "--echo", b.echo, "--out", dir, "--name", "smoke", "--rounds", "1"}, args...)
	var buf bytes.Buffer
	code = run(ctx, all, &buf, &buf)
	if path := filepath.Join(dir, "smoke.json"); code == 0 || exists(path) {
		var err error
		if r, err = readResult(path); err != nil {
			t.Fatalf("%s; output:\n%s", err, buf.String())
		}
		if !exists(filepath.Join(dir, "smoke.md")) {
			t.Fatal("there is a result but no report")
		}
	}
	tree, err := processTree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range tree[1:] {
		t.Errorf("process %d is left, state %c", p.pid, p.state)
	}
	return code, buf.String(), r
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// wantMeasured fails the test unless each scenario has a good measurement of
// sluice and of each peer that takes part.
func wantMeasured(t *testing.T, out string, r *Result, names ...string) {
	t.Helper()
	for _, m := range r.failures() {
		t.Errorf("%s, %s failed: %s", m.Scenario, m.Proxy, m.Failed)
	}
	for _, name := range names {
		takers := r.takers(name)
		if len(takers) == 0 || takers[0].Name != "sluice" {
			t.Fatalf("%s was not measured; output:\n%s", name, out)
		}
		k := metricCPU
		if strings.HasSuffix(name, "-idle") {
			k = metricRSS
		}
		for _, p := range takers {
			if _, ok := r.ratio(name, "sluice", p.Name, k); p.Role == rolePeer && !ok {
				t.Errorf("%s has no ratio to %s", name, p.Name)
			}
		}
	}
}

// The smoke tests are one after the other: each is a load of its own.

func TestSmokeWithoutWrk(t *testing.T) {
	code, out, r := smoke(t.Context(), t, build(t), "--duration=150ms", "--rate=2000", "--idle-conns=200", "--echo-backend", "--peers=haproxy,nginx", "--scenarios=l7-rate,l4-idle")
	if code != 0 {
		t.Fatalf("unexpected exit code %d; output:\n%s", code, out)
	}
	wantMeasured(t, out, r, "l7-rate", "l4-idle")
	if s := r.spread("l7-rate", "sluice", metricP99); s.N != 1 || s.Median <= 0 {
		t.Errorf("unexpected latency at a fixed rate: %+v", s)
	}
}

func TestSmokeWithWrk(t *testing.T) {
	if _, err := lookPath("wrk"); err != nil {
		t.Skip("wrk is not installed: apt install wrk")
	}
	names := []string{"l4-keepalive", "l7-connection", "l4-down", "l7-up"}
	if _, err := lookPath("nginx"); err == nil {
		names = append(names, "l7-backends-10") // only nginx can be that many
	}
	code, out, r := smoke(t.Context(), t, build(t), "--duration=150ms", "--peers=haproxy,nginx", "--scenarios="+strings.Join(names, ","))
	if code != 0 {
		t.Fatalf("unexpected exit code %d; output:\n%s", code, out)
	}
	wantMeasured(t, out, r, names...)
}

// TestSmokeOldPeer has a peer in PATH that does not know what the bench asks of
// it.
func TestSmokeOldPeer(t *testing.T) {
	b := build(t)
	dir := t.TempDir()
	script := "#!/bin/sh\n[ \"$1\" = version ] && echo v1.0.5 && exit 0\necho 'unknown command' >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "caddy"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	code, out, r := smoke(t.Context(), t, b, "--duration=150ms", "--rate=2000", "--echo-backend", "--peers=caddy", "--scenarios=l7-rate")
	if code != 0 || !strings.Contains(out, "caddy is left out from l7-rate on: ") {
		t.Fatalf("unexpected exit code %d; output:\n%s", code, out)
	}
	if s := r.spread("l7-rate", "sluice", metricP99); s.N != 1 {
		t.Errorf("unexpected latency of sluice: %+v", s)
	}
}

// TestSmokePortTaken starts sluice where somebody else listens.
func TestSmokePortTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	code, out, _ := smoke(t.Context(), t, build(t), "--scenarios=l4-idle", "--idle-conns=10", "--peers=none", "--sluice-args=--admin="+ln.Addr().String())
	if code != 1 || !strings.Contains(out, "sluice (pid ") || !strings.Contains(out, "address already in use") {
		t.Fatalf("unexpected end with code %d; output:\n%s", code, out)
	}
}

// TestSmokeStopped ends a run in the middle.
func TestSmokeStopped(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	code, out, _ := smoke(ctx, t, build(t), "--scenarios=l4-rate", "--duration=1m", "--peers=none", "--echo-backend")
	if code != 1 || !strings.Contains(out, errStopped.Error()) {
		t.Fatalf("unexpected end with code %d; output:\n%s", code, out)
	}
}

func TestFamily(t *testing.T) {
	t.Parallel()
	f := newFamily()
	defer f.close()
	c, err := f.start(childSpec{name: "gone", path: "/bin/sh", args: []string{"-c", "echo out of luck >&2; exit 3"}, stop: syscall.SIGKILL})
	if err != nil {
		t.Fatal(err)
	}
	<-c.done
	if err := c.died(); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "out of luck") {
		t.Fatalf("unexpected error of a child that has ended: %v", err)
	}
	c.end()

	// One that ignores what is to end it, with a child of its own.
	c, err = f.start(childSpec{name: "stubborn", path: "/bin/sh", args: []string{"-c", "trap '' TERM; sleep 1000; sleep 1000"}, stop: syscall.SIGTERM})
	if err != nil {
		t.Fatal(err)
	}
	var tree []procStat
	for len(tree) < 2 {
		if tree, err = processTree(c.pid); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	f.close()
	for _, s := range tree {
		if now, err := readStat(s.pid); err == nil && now.started == s.started && now.state != 'Z' {
			t.Errorf("process %d is left", s.pid)
		}
	}

	f = newFamily()
	defer f.close()
	if _, err := f.start(childSpec{name: "nothing", path: "/no/such/program"}); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("unexpected error: %v", err)
	}
}
