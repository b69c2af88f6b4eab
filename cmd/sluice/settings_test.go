package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// freeAddrs returns addresses that nobody listens on.
func freeAddrs(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // once all are known, so that they differ
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs
}

// settings is a file with the configuration of a process.
type settings struct {
	t    *testing.T
	path string
}

func newSettings(t *testing.T, text string) settings {
	s := settings{t, filepath.Join(t.TempDir(), "sluice.yaml")}
	s.set(text)
	return s
}

func (s settings) set(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// reload sends SIGHUP and returns once there is one more reload with a result.
func (p *process) reload(result string) {
	p.t.Helper()
	series := fmt.Sprintf("sluice_config_reloads_total{result=%q}", result)
	before := metric(p.addr("admin"), series)
	p.signal(syscall.SIGHUP)
	eventually(p.t, "a reload has ended with "+result, func() bool { return metric(p.addr("admin"), series) == before+1 })
}

// echoes opens a connection that stays, through which lines come back.
type echoes struct {
	t *testing.T
	c net.Conn
}

func openEchoes(t *testing.T, addr string) *echoes {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	e := &echoes{t, c}
	e.want("hello")
	return e
}

func (e *echoes) want(line string) {
	e.t.Helper()
	if err := e.c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		e.t.Fatal(err)
	}
	b := make([]byte, len(line))
	if _, err := e.c.Write([]byte(line)); err != nil {
		e.t.Fatalf("a connection was cut: %v", err)
	}
	for n := 0; n < len(b); {
		m, err := e.c.Read(b[n:])
		if err != nil {
			e.t.Fatalf("a connection was cut: %v", err)
		}
		n += m
	}
	if string(b) != line {
		e.t.Fatalf("unexpected echo: %q", b)
	}
}
