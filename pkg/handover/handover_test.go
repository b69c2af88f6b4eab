package handover

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain is the successor, too.
func TestMain(m *testing.M) {
	switch os.Getenv("HANDOVER_TEST") {
	case "serve":
		os.Exit(serve())
	case "fail":
		os.Exit(3)
	case "hang":
		time.Sleep(time.Minute)
		os.Exit(4)
	}
	os.Exit(m.Run())
}

// serve takes the socket called web, says that it is ready, and answers one
// connection with what it has found.
func serve() int {
	s, err := FromEnvironment(os.Environ())
	if err != nil || !s.HasPredecessor() {
		return 5
	}
	web, kept, err := s.Take("web", "127.0.0.1:0")
	if err != nil || web == nil {
		return 6
	}
	if rest := s.CloseRest(); len(rest) != 1 {
		return 7
	}
	if err := s.Ready(); err != nil {
		return 8
	}
	c, err := web.Accept()
	if err != nil {
		return 9
	}
	fmt.Fprintf(c, "kept=%t watchdog=%q own=%q", kept, os.Getenv("WATCHDOG_PID"), os.Getenv("LISTEN_FDS"))
	c.Close()
	return 0
}

func listener(t *testing.T, addr string) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.(*net.TCPListener)
}

func TestSuccessor(t *testing.T) {
	web, other := listener(t, "127.0.0.1:0"), listener(t, "127.0.0.1:0")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func(do string) *Successor {
		t.Helper()
		s, err := Start(Command{Path: self, Args: []string{"successor"}, Environ: append(os.Environ(), "HANDOVER_TEST="+do, "WATCHDOG_PID=1", "LISTEN_FDS=7", Variable+"=x")},
			[]Offer{{Name: "other", Socket: other}, {Name: "web", Socket: web, Kept: true}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := start("serve").Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	addr := web.Addr().String()
	web.Close() // the successor has a copy
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); err != nil || string(got) != `kept=true watchdog="" own=""` {
		t.Errorf("unexpected answer of the successor: %q, %v", got, err)
	}

	web = listener(t, "127.0.0.1:0")
	if err := start("fail").Await(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("unexpected error for one that ends: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	hanging := start("hang")
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := hanging.Await(ctx); err == nil || !strings.Contains(err.Error(), "not ready in time") {
		t.Errorf("unexpected error for one that hangs: %v", err)
	}
	if _, err := Start(Command{Path: "/nonexistent"}, nil); err == nil {
		t.Error("a program that is not there has been started")
	}
	// What was offered is as it was: not blocking.
	c, err = net.Dial("tcp", web.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = web.SetDeadline(time.Now().Add(10 * time.Second))
	for range 2 { // the second waits in vain, and ends
		if _, err = web.Accept(); err != nil {
			break
		}
		_ = web.SetDeadline(time.Now().Add(10 * time.Millisecond))
	}
	if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
		t.Errorf("unexpected end of Accept: %v", err)
	}
}

// TestTake looks for sockets by all that they can be called.
func TestTake(t *testing.T) {
	t.Parallel()
	a, b, any6 := listener(t, "127.0.0.1:0"), listener(t, "127.0.0.1:0"), listener(t, ":0")
	port := func(ln net.Listener) string { _, p, _ := net.SplitHostPort(ln.Addr().String()); return p }
	sockets := func() *Sockets {
		s := &Sockets{}
		for i, ln := range []*net.TCPListener{a, b, any6} {
			var fd int
			if err := withFiles(nil, []syscall.Conn{ln}, func(files []uintptr) (err error) { fd, err = unix.Dup(int(files[0])); return err }); err != nil {
				t.Fatal(err)
			}
			if err := s.adopt(socket{name: []string{"one", "l7 127.0.0.1:0", "any"}[i], number: fd}); err != nil {
				t.Fatal(err)
			}
			s.left[i].number = 3 + i // as if it were the first
		}
		t.Cleanup(func() { s.CloseRest() })
		return s
	}
	for _, x := range []struct {
		name, addr string
		want       net.Listener
	}{
		{"l4 fd@one", "fd@one", a},
		{"l4 fd@3", "fd@3", a},
		{"l7 fd@4", "fd@4", b},
		{"l7 127.0.0.1:0", "127.0.0.1:0", b},
		{"l4 127.0.0.1:0", "127.0.0.1:0", nil},
		{"l4 " + a.Addr().String(), a.Addr().String(), a},
		{"l4 localhost:" + port(a), "localhost:" + port(a), a},
		{"l4 :" + port(a), ":" + port(a), nil},
		{"l4 :" + port(any6), ":" + port(any6), any6},
		{"l4 0.0.0.0:" + port(any6), "0.0.0.0:" + port(any6), any6},
		{"l4 127.0.0.1:" + port(any6), "127.0.0.1:" + port(any6), nil},
	} {
		s := sockets()
		got, _, err := s.Take(x.name, x.addr)
		switch {
		case err != nil:
			t.Errorf("%q: %v", x.addr, err)
		case (got != nil) != (x.want != nil) || got != nil && got.Addr().String() != x.want.Addr().String():
			t.Errorf("%q: unexpected socket; got %v; want %v", x.addr, got, x.want)
		}
		if got != nil {
			got.Close()
			if again, _, _ := s.Take(x.name, x.addr); again != nil {
				t.Errorf("%q: the same socket twice", x.addr)
			}
		}
		s.CloseRest()
	}
	var none *Sockets
	if s, _, err := none.Take("l4 :80", ":80"); s != nil || err != nil || none.HasPredecessor() || none.Ready() != nil || none.CloseRest() != nil {
		t.Errorf("unexpected sockets of none: %v, %v", s, err)
	}
	if _, _, err := none.Take("l4 fd@web", "fd@web"); err == nil || !strings.Contains(err.Error(), `"web"`) {
		t.Errorf("unexpected error for one that must be there: %v", err)
	}
}

func TestFromEnvironment(t *testing.T) {
	t.Parallel()
	for _, environ := range [][]string{nil, {"LISTEN_FDS=2"}, {"LISTEN_FDS=2", "LISTEN_PID=1"}, {"LISTEN_FDS=0", fmt.Sprintf("LISTEN_PID=%d", os.Getpid())}, {"LISTEN_FDS=x", fmt.Sprintf("LISTEN_PID=%d", os.Getpid())}} {
		if s, err := FromEnvironment(environ); s != nil || err != nil {
			t.Errorf("unexpected sockets of %q: %v, %v", environ, s, err)
		}
	}
	if _, err := FromEnvironment([]string{Variable + "=x"}); err == nil {
		t.Error("nonsense of a predecessor is believed")
	}
	if v := encode(3, []Offer{{Name: "l7 :80"}, {Name: "a:b+c", Kept: true}}); v != "3:l7+%3A80:+a%3Ab%2Bc" {
		t.Errorf("unexpected value: %s", v)
	}
}
