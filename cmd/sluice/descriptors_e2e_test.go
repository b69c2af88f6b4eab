package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// startLimited runs sluice with an open files limit.
func startLimited(t *testing.T, files int, args ...string) *process {
	t.Helper()
	prlimit, err := exec.LookPath("prlimit")
	if err != nil {
		t.Skip("prlimit is not there")
	}
	return startPath(t, prlimit, nil, append([]string{fmt.Sprintf("--nofile=%d:%[1]d", files), built.path("sluice")}, args...)...)
}

// TestFewDescriptors floods listeners of a sluice with few descriptors. As many
// connections as there is room for are served, the others are closed at once,
// nothing runs out, a listener without connections serves some, and the control
// plane answers.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	for _, files := range []int{200, 256, 1024} {
		t.Run(fmt.Sprint(files), func(t *testing.T) {
			t.Parallel()
			b := talker(t)
			s := startLimited(t, files, "--l4=127.0.0.1:0=db", "--l7=127.0.0.1:0", "--l4=127.0.0.1:0=other", "--route=/=web", "--backend=db="+b, "--backend=other="+b, "--backend=web="+b,
				"--admin=127.0.0.1:0", "--health-addr=127.0.0.1:0", "--service=db,check=none", "--service=other,check=none", "--service=web,check=none")
			eventually(t, "it has started", func() bool { return strings.Contains(s.text(), `"msg":"started"`) })
			if !strings.Contains(s.text(), "the open files limit allows few connections") {
				t.Errorf("the limit is not named:\n%s", s.text())
			}
			var l4 []string
			for _, line := range strings.Split(s.text(), "\n") {
				if kind, addr := parseListening(line); kind == "l4" {
					l4 = append(l4, addr)
				}
			}
			// served opens connections until several in a row are not served.
			served := func(addr string) (n int) {
				for failed := 0; failed < 5; {
					c, err := net.Dial("tcp", addr)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { c.Close() })
					_ = c.SetDeadline(time.Now().Add(20 * time.Second))
					_, _ = c.Write([]byte("x"))
					if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
						failed++
						c.Close()
						continue
					}
					n++
				}
				return n
			}
			first := served(l4[0])
			second := served(l4[1])
			t.Logf("%d and %d connections with %d files", first, second, files)
			if first+second < 3*files/10 || second < 3 {
				t.Errorf("too few connections: %d and %d with %d files", first, second, files)
			}
			for _, name := range []string{"admin", "health"} {
				if status, body := get("http://" + s.addr(name) + "/readyz"); status != http.StatusOK {
					t.Errorf("unexpected answer of %s: %d, %s", name, status, body)
				}
			}
			if status, _ := get("http://" + s.addr("l7") + "/"); status == 0 {
				t.Error("no answer over HTTP")
			}
			if n := s.descriptors(); n > files*9/10 {
				t.Errorf("too many descriptors: %d of %d", n, files)
			}
			for _, bad := range []string{"too many open files", "cannot accept"} {
				if strings.Contains(s.text(), bad) {
					t.Errorf("unexpected log, %s:\n%s", bad, s.text())
				}
			}
		})
	}
}

// TestTooFewDescriptors checks what is said of limits that cannot be kept.
func TestTooFewDescriptors(t *testing.T) {
	t.Parallel()
	s := startLimited(t, 40, "--l4=127.0.0.1:0=db", "--backend=db=127.0.0.1:1", "--admin=127.0.0.1:0")
	if code := s.wait(); code != exitFailed || !strings.Contains(s.text(), "cannot run with an open files limit of 40") {
		t.Errorf("unexpected end with code %d:\n%s", code, s.text())
	}
	s = startLimited(t, 512, "--l4=127.0.0.1:0=db,max-conns=10000", "--backend=db=127.0.0.1:1", "--admin=127.0.0.1:0")
	eventually(t, "the setting is warned about", func() bool {
		return strings.Contains(s.text(), "max-conns= is more than the open files limit allows")
	})
}

// TestIdleMakesRoom has many clients use one service and go, and as many come
// for another: the idle connections to the first leave room for them.
func TestIdleMakesRoom(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 2)
	s := startLimited(t, 200, "--l7=127.0.0.1:0", "--route=/=a", "--route=/b=b", "--backend=a="+addrs[0], "--backend=b="+addrs[1], "--service=a,check=none", "--service=b,check=none", "--admin=127.0.0.1:0")
	addr := s.addr("l7")
	wave := func(path string) {
		t.Helper()
		var conns []net.Conn
		for range 60 {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		}
		for _, c := range conns {
			status := make([]byte, 12)
			if _, err := io.ReadFull(c, status); err != nil || string(status) != "HTTP/1.1 200" {
				t.Fatalf("unexpected answer to %s: %q, %v", path, status, err)
			}
		}
		for _, c := range conns {
			c.Close()
		}
		eventually(t, "the clients are gone", func() bool {
			return metric(s.addr("admin"), fmt.Sprintf(`sluice_listener_connections{listener="l7",name="127.0.0.1:0",addr=%q}`, addr)) == 0
		})
	}
	for range 3 {
		wave("/slow?d=300ms")
		wave("/b/slow?d=300ms")
	}
	if strings.Contains(s.text(), "too many open files") {
		t.Errorf("files ran out:\n%s", s.text())
	}
}
