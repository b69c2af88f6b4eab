package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startEchos runs n echo backends as processes of their own.
func startEchos(t *testing.T, n int) (echos []*process, addrs []string) {
	t.Helper()
	for i := range n {
		e := start(t, "echo", nil, "--listen", "127.0.0.1:0", "--name", fmt.Sprintf("echo-%d", i+1))
		echos = append(echos, e)
		addrs = append(addrs, e.addr(""))
	}
	return echos, addrs
}

// startSluice runs sluice with an L4 and an L7 listener for the service echo.
func startSluice(t *testing.T, args ...string) *process {
	t.Helper()
	return start(t, "sluice", nil, append([]string{
		"--l4=127.0.0.1:0=echo", "--l7=127.0.0.1:0", "--route=/=echo", "--admin=127.0.0.1:0",
	}, args...)...)
}

func backendArgs(addrs []string) (args []string) {
	for _, a := range addrs {
		args = append(args, "--backend=echo="+a)
	}
	return args
}

// TestKillUnderLoad kills one of three backends with SIGKILL under load and
// starts it again: no client may see it.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	echos, addrs := startEchos(t, 3)
	s := startSluice(t, backendArgs(addrs)...)
	admin := s.addr("admin")
	l := startLoad(200, s.addr("l4"), s.addr("l7"))
	state := func() string { return backends(t, admin)[addrs[0]].State }
	eventually(t, "every backend is up and served some", func() bool {
		up := 0
		for _, b := range backends(t, admin) {
			if b.State == "up" && b.Connections > 20 {
				up++
			}
		}
		return up == 3
	})

	l.excuse(time.Now().Add(time.Hour)) // until it is known when it was
	echos[0].signal(syscall.SIGKILL)
	echos[0].wait()
	l.excuse(time.Now())
	t.Logf("out after %v", eventually(t, "the dead backend is out", func() bool { return state() == "down" }))
	served := l.count("get")
	eventually(t, "traffic goes on without it", func() bool { return l.count("get") > served+100 })

	start(t, "echo", nil, "--listen", addrs[0], "--name", "echo-again")
	t.Logf("back after %v", eventually(t, "the backend is back", func() bool { return state() == "up" }))
	before := backends(t, admin)[addrs[0]].Connections
	eventually(t, "it is used again", func() bool { return backends(t, admin)[addrs[0]].Connections > before+20 })
	l.wantClean(t, 200)
	eventually(t, "every slot is given back", func() bool {
		active := 0
		for _, b := range backends(t, admin) {
			active += b.Active
		}
		return active == 0
	})
}

// TestTerminateUnderLoad sends SIGTERM under load. While the delay runs every
// connection is served; afterwards those in flight finish, and the code is 0.
func TestTerminateUnderLoad(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"loop", "fasthttp"} {
		t.Run(driver, func(t *testing.T) { terminateUnderLoad(t, driver) })
	}
}

func terminateUnderLoad(t *testing.T, driver string) {
	_, addrs := startEchos(t, 3)
	s := startSluice(t, append(backendArgs(addrs), "--l7-driver="+driver, "--drain-delay=1s", "--health-addr=127.0.0.1:0")...)
	l4, health := s.addr("l4"), s.addr("health")
	l := startLoad(200, l4, s.addr("l7"))
	eventually(t, "the load runs", func() bool { return l.count("tcp") > 100 && l.count("get") > 100 })
	if status, _ := get("http://" + health + "/readyz"); status != http.StatusOK {
		t.Fatalf("unexpected readiness; got %d; want 200", status)
	}

	// Two that will be in flight when the listeners close.
	long, err := net.Dial("tcp", l4)
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	if _, err := long.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(long, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	slow := make(chan error, 1)
	go func() {
		status, body := get("http://" + s.addr("l7") + "/slow?d=2s")
		if status != http.StatusOK {
			slow <- fmt.Errorf("status %d: %s", status, body)
			return
		}
		slow <- nil
	}()

	s.signal(syscall.SIGTERM)
	eventually(t, "readiness says no", func() bool {
		status, body := get("http://" + health + "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "draining")
	})
	if status, _ := get("http://" + health + "/healthz"); status != http.StatusOK {
		t.Fatalf("unexpected liveness while draining; got %d; want 200", status)
	}
	during := l.count("tcp")
	eventually(t, "connections are served during the delay", func() bool { return l.count("tcp") > during+50 })
	l.wantClean(t, 150)

	eventually(t, "the listener is closed", func() bool {
		c, err := net.Dial("tcp", l4)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if err := <-slow; err != nil {
		t.Errorf("a request in flight failed: %v", err)
	}
	if _, err := long.Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(long, make([]byte, 1)); err != nil {
		t.Fatalf("a connection in flight failed: %v", err)
	}
	long.Close()
	if code := s.wait(); code != exitOK {
		t.Fatalf("unexpected exit code; got %d; want 0", code)
	}
	for _, want := range []string{`"stage":"delay"`, `"stage":"finish"`, `"stage":"done","cut":0`, `"msg":"stopped"`} {
		if !strings.Contains(s.text(), want) {
			t.Errorf("unexpected log, no %s:\n%s", want, s.text())
		}
	}
}

func TestSecondSignal(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	s := startSluice(t, append(backendArgs(addrs), "--drain-delay=1h")...)
	s.addr("l7")
	s.signal(syscall.SIGTERM)
	eventually(t, "it drains", func() bool { return strings.Contains(s.text(), `"stage":"delay"`) })
	s.signal(syscall.SIGINT)
	if code := s.wait(); code != exitFailed {
		t.Fatalf("unexpected exit code after a second signal; got %d; want %d", code, exitFailed)
	}
}

// TestDemoElsewhere has the demo at other addresses, and kills a backend of it.
func TestDemoElsewhere(t *testing.T) {
	t.Parallel()
	s := start(t, "sluice", nil, "--demo", "--l7=127.0.0.1:0", "--l4=127.0.0.1:0=anything", "--admin=127.0.0.1:0")
	l7, admin := s.addr("l7"), s.addr("admin")
	if err := exchangeTCP(s.addr("l4")); err != nil {
		t.Fatal(err)
	}
	seen := func() map[string]bool {
		names := make(map[string]bool)
		for range 6 {
			resp, err := http.Get("http://" + l7 + "/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("unexpected status: %s", resp.Status)
			}
			names[resp.Header.Get("X-Backend")] = true
		}
		return names
	}
	down := func() (n int) {
		for _, b := range backends(t, admin) {
			if b.State == "down" {
				n++
			}
		}
		return n
	}
	if n := len(seen()); n != 3 {
		t.Fatalf("unexpected number of backends: %d", n)
	}
	s.signal(syscall.SIGUSR1)
	eventually(t, "the backend is down", func() bool { return down() == 1 })
	if names := seen(); len(names) != 2 || names["demo-1"] {
		t.Errorf("unexpected backends after one was killed: %v", names)
	}
	s.signal(syscall.SIGUSR1)
	eventually(t, "it is back", func() bool { return down() == 0 && seen()["demo-1"] })
}

// TestDemoTaken says where else the demo may be, once.
func TestDemoTaken(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := start(t, "sluice", nil, "--l7="+ln.Addr().String(), "--l4=127.0.0.1:0", "--admin=127.0.0.1:0", "--demo")
	if code := s.wait(); code != exitFailed || strings.Count(s.text(), "the demo takes other addresses: sluice --demo --l7 ") != 1 {
		t.Fatalf("unexpected end: %d\n%s", code, s.text())
	}
}

// TestDemo runs what `make run` runs. Its addresses are fixed, as the README
// shows them, so it is not parallel to others of its kind.
func TestDemo(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:9900"} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Skipf("the demo's address %s is in use on this machine", addr)
		}
		ln.Close()
	}
	s := start(t, "sluice", nil, "--demo")
	for listener, want := range map[string]string{"l7": "127.0.0.1:8080", "l4": "127.0.0.1:8081", "admin": "127.0.0.1:9900"} {
		if got := s.addr(listener); got != want {
			t.Fatalf("unexpected address of %s; got %s; want %s", listener, got, want)
		}
	}
	for _, addr := range []string{s.addr("l7"), s.addr("l4")} {
		seen := make(map[string]bool)
		for range 3 {
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := c.Get("http://" + addr + "/")
			if err != nil {
				t.Fatal(err)
			}
			seen[resp.Header.Get("X-Backend")] = true
			resp.Body.Close()
		}
		if len(seen) != 3 {
			t.Fatalf("unexpected backends in three requests to %s: %v; want each in turn", addr, seen)
		}
	}
	if err := exchangeTCP(s.addr("l4")); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.signal(syscall.SIGINT)
	if code := s.wait(); code != exitOK {
		t.Fatalf("unexpected exit code; got %d; want 0", code)
	}
	t.Logf("stopped after %v", time.Since(begin))
}
