package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"sluice/discovery/consul/consultest"
)

// talker is a backend that says the first line that it gets, and then sends
// back what it gets.
func talker(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c) // until the client is gone
			}()
		}
	}()
	return ln.Addr().String()
}

// line is a connection that sends and receives lines.
type line struct {
	net.Conn
	r *bufio.Reader
}

func dialLine(t *testing.T, addr string) *line {
	t.Helper()
	var c net.Conn
	eventually(t, "a connection to "+addr, func() (ok bool) {
		var err error
		c, err = net.Dial("tcp", addr)
		return err == nil
	})
	t.Cleanup(func() { c.Close() })
	return &line{c, bufio.NewReader(c)}
}

// say returns the line that comes back.
func (l *line) say(text string) (string, error) {
	_ = l.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintln(l, text); err != nil {
		return "", err
	}
	got, err := l.r.ReadString('\n')
	return strings.TrimSpace(got), err
}

// cut reports whether the connection ends by itself.
func (l *line) cut(t *testing.T) {
	t.Helper()
	_ = l.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := l.r.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection does not end: %v", err)
	}
}

// TestTagsDrain takes the last member from a TCP listener that a tag asked
// for: its connections live for as long as those of any other service, and so
// do its metrics.
func TestTagsDrain(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"epoll", "copy"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			agent := consultest.Start(t)
			b, addr := talker(t), freeAddr(t)
			tag := consultest.WithTags("urlprefix-" + addr + " proto=tcp")
			register(t, agent, "a", "db", b, tag)
			s := start(t, "sluice", nil, "--consul-tags=urlprefix-", "--consul="+agent.Addr(), "--admin=127.0.0.1:0", "--consul-keep=0s", "--backend-drain-timeout=300ms", "--l4-driver="+driver)
			admin := s.addr("admin")
			c := dialLine(t, addr)
			if _, err := c.say("x"); err != nil {
				t.Fatal(err)
			}
			agent.Deregister(t, "a")
			c.cut(t)
			eventually(t, "the end of the connection is said", func() bool {
				return strings.Contains(s.text(), `"msg":"closing the connections to a backend"`) || strings.Contains(s.text(), "backend_drained")
			})
			eventually(t, "its metrics are gone", func() bool {
				_, body := get("http://" + admin + "/metrics")
				return !strings.Contains(body, fmt.Sprintf("addr=%q", addr)) && !strings.Contains(body, `service="db"`)
			})
			register(t, agent, "a", "db", b, tag)
			if _, err := dialLine(t, addr).say("x"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestTagsReturn takes the last member away and brings it back while a
// connection lives: it is the same service, which counts on.
func TestTagsReturn(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	b, addr := talker(t), freeAddr(t)
	tag := "urlprefix-" + addr + " proto=tcp"
	register(t, agent, "a", "db", b, consultest.WithTags(tag))
	s := start(t, "sluice", nil, "--consul-tags=urlprefix-", "--consul="+agent.Addr(), "--admin=127.0.0.1:0", "--consul-keep=0s", "--health-interval=50ms")
	admin := s.addr("admin")
	open := func() float64 { return metric(admin, `sluice_l4_connections{service="db"}`) }
	c := dialLine(t, addr)
	if _, err := c.say("x"); err != nil {
		t.Fatal(err)
	}
	agent.Deregister(t, "a")
	eventually(t, "the listener is closed", func() bool {
		x, err := net.Dial("tcp", addr)
		if err == nil {
			x.Close()
		}
		return err != nil
	})
	eventually(t, "no other connection is left", func() bool { return open() == 1 })
	if got := metric(admin, fmt.Sprintf(`sluice_listener_connections{listener="l4",name="db",addr=%q}`, addr)); got != 1 {
		t.Errorf("unexpected connections of the listener; got %v; want 1", got)
	}
	if _, body := get("http://" + admin + "/admin/backends"); !strings.Contains(body, `"service": "db"`) {
		t.Errorf("the service is not shown any more: %s", body)
	}

	register(t, agent, "a", "db", b, consultest.WithTags(tag))
	d := dialLine(t, addr)
	if _, err := d.say("x"); err != nil {
		t.Fatal(err)
	}
	if got := open(); got != 2 {
		t.Errorf("unexpected connections of the service; got %v; want 2", got)
	}

	// Members get a PROXY header from now on: in new connections, and nothing
	// happens to those that are open.
	register(t, agent, "a", "db", b, consultest.WithTags(tag+" pxyproto=true"))
	eventually(t, "a PROXY header is sent", func() bool {
		got, err := dialLine(t, addr).say("x")
		return err == nil && strings.HasPrefix(got, "PROXY TCP4 127.0.0.1 127.0.0.1 ")
	})
	for _, x := range []*line{c, d} {
		if got, err := x.say("y"); got != "y" || err != nil {
			t.Fatalf("unexpected answer of an open connection: %q, %v", got, err)
		}
	}
	register(t, agent, "a", "db", b, consultest.WithTags(tag))
	eventually(t, "no PROXY header is sent", func() bool {
		got, err := dialLine(t, addr).say("x")
		return err == nil && got == "x"
	})
	if got, err := c.say("z"); got != "z" || err != nil {
		t.Fatalf("unexpected answer of an open connection: %q, %v", got, err)
	}
	if n := strings.Count(s.text(), `"msg":"listener closed"`); n != 0 {
		t.Errorf("a listener was closed %d times:\n%s", n, s.text())
	}
}
