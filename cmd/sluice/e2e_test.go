package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/discovery/consul/consultest"
	"sluice/pkg/backend"
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
	_, addrs := startEchos(t, 3)
	s := startSluice(t, append(backendArgs(addrs), "--drain-delay=1s", "--health-addr=127.0.0.1:0")...)
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

// TestConsul follows a service through its life in a real Consul.
func TestConsul(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	echos, addrs := startEchos(t, 2)
	s := startSluice(t, "--consul="+agent.Addr(), "--strategy=round_robin")
	l7, admin := "http://"+s.addr("l7")+"/", s.addr("admin")

	eventually(t, "ready without members, since Consul has answered", func() bool {
		status, _ := get("http://" + admin + "/readyz")
		return status == http.StatusOK
	})
	if status, _ := get(l7); status != http.StatusServiceUnavailable {
		t.Fatalf("unexpected answer without backends; got %d; want 503", status)
	}

	register := func(i int) {
		host, port, _ := net.SplitHostPort(addrs[i])
		n, _ := strconv.Atoi(port)
		agent.Register(t, fmt.Sprintf("echo-%d", i+1), "echo", host, n)
	}
	served := func(i int) func() bool {
		return func() bool {
			status, body := get(l7)
			return status == http.StatusOK && strings.HasPrefix(body, fmt.Sprintf("echo-%d ", i+1))
		}
	}
	lives := func(string) {} // checks an established connection
	// never checks that no answer comes from backend i once it is out.
	never := func(i int, why string) {
		t.Helper()
		took := eventually(t, why+" takes it out", func() bool { return !backends(t, admin)[addrs[i]].Eligible })
		t.Logf("%s: out after %v", why, took)
		for range 50 {
			if status, body := get(l7); status != http.StatusOK || strings.HasPrefix(body, fmt.Sprintf("echo-%d ", i+1)) {
				t.Fatalf("unexpected answer after %s; got %d: %s", why, status, body)
			}
		}
		lives(why)
	}
	register(0)
	t.Logf("first traffic after %v", eventually(t, "the first gets traffic", served(0)))
	long, err := net.Dial("tcp", s.addr("l4")) // to the first, and outlives what happens to it
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	lives = func(after string) {
		t.Helper()
		if _, err := long.Write([]byte("x")); err != nil {
			t.Fatalf("an established connection ended after %s: %v", after, err)
		}
		if _, err := io.ReadFull(long, make([]byte, 1)); err != nil {
			t.Fatalf("an established connection ended after %s: %v", after, err)
		}
	}
	lives("connecting")
	register(1)
	t.Logf("first traffic after %v", eventually(t, "the second gets traffic", served(1)))
	agent.SetStatus(t, "echo-1", "critical")
	never(0, "critical")
	agent.SetStatus(t, "echo-1", "passing")
	eventually(t, "it is back", served(0))
	agent.Maintenance(t, "echo-1", true)
	never(0, "maintenance")
	agent.Maintenance(t, "echo-1", false)
	eventually(t, "it is back", served(0))
	agent.Deregister(t, "echo-1")
	never(0, "deregistration")
	register(0)
	eventually(t, "it is back", served(0))

	// Consul goes: traffic goes on, and a backend that dies is still noticed.
	agent.Stop()
	eventually(t, "the loss is noticed", func() bool { return strings.Contains(s.text(), "lost contact with Consul") })
	for range 50 {
		if status, body := get(l7); status != http.StatusOK {
			t.Fatalf("unexpected answer without Consul; got %d: %s", status, body)
		}
	}
	echos[1].signal(syscall.SIGKILL)
	echos[1].wait()
	for range 50 {
		if status, body := get(l7); status != http.StatusOK {
			t.Fatalf("unexpected answer without Consul and one backend; got %d: %s", status, body)
		}
	}
	eventually(t, "the dead backend is out", func() bool { return backends(t, admin)[addrs[1]].State == backend.Down.String() })
	if b := backends(t, admin)[addrs[0]]; !b.Eligible {
		t.Fatalf("unexpected backend: %+v", b)
	}

	// Consul is back: it is followed again.
	agent.Restart()
	register(0)
	agent.Maintenance(t, "echo-1", true)
	t.Logf("followed again after %v", eventually(t, "what Consul says counts again", func() bool {
		return backends(t, admin)[addrs[0]].Status == "maintenance"
	}))
	lives("all that")
}

// TestConsulAbsentAtStart checks that a start without Consul says so, is not
// ready, and becomes so when Consul comes.
func TestConsulAbsentAtStart(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	agent.Stop()
	s := startSluice(t, "--consul="+agent.Addr())
	admin := s.addr("admin")
	s.addr("l7") // listening all the same
	if status, body := get("http://" + admin + "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "echo are not known yet") {
		t.Fatalf("unexpected readiness; got %d: %s", status, body)
	}
	agent.Restart()
	t.Logf("ready after %v", eventually(t, "it is ready", func() bool {
		status, _ := get("http://" + admin + "/readyz")
		return status == http.StatusOK
	}))
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
