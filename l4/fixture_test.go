package l4_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l4"
	l4copy "sluice/l4/copy"
	"sluice/l4/epoll"
	"sluice/pkg/backend"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

// eachDriver runs a test with every driver that this system has, as a subtest
// of the driver's name.
func eachDriver(t *testing.T, test func(*testing.T)) {
	t.Helper()
	t.Parallel()
	for _, driver := range []string{"copy", "epoll"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// usesLoops reports whether a test is one of the epoll driver.
func usesLoops(t *testing.T) bool { return strings.Contains(t.Name()+"/", "/epoll/") }

// fixture is a running server over a pool of the given addresses.
type fixture struct {
	t      *testing.T
	addr   string
	pool   *backend.Pool
	ln     *listen.Listener
	server l4.Server
	loops  *reactor.Group // nil with the copy driver
	set    *metrics.Set
	served chan error
}

// start runs a server with a listener and routes of the test's own, by the driver
// that the test's name says.
func start(t *testing.T, lc listen.Config, cfg l4.Config) *fixture {
	t.Helper()
	f := &fixture{t: t, set: metrics.NewSet(), served: make(chan error, 1)}
	lc.Kind, lc.Name, lc.Address, lc.Metrics = "l4", "db", "127.0.0.1:0", f.set
	cfg.Metrics = f.set
	if lc.Logger == nil {
		lc.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if f.ln, err = listen.Listen(lc); err != nil {
		t.Fatal(err)
	}
	if usesLoops(t) {
		if f.loops, err = reactor.NewGroup(2, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		f.loops.Start()
		t.Cleanup(f.loops.Close)
		f.server = epoll.New(f.ln, f.loops, cfg)
	} else {
		f.server = l4copy.New(f.ln, cfg)
	}
	f.addr, f.pool = f.ln.Addr().String(), cfg.Routes[0].Service.Balancer.Pool()
	go func() { f.served <- f.server.Serve() }()
	t.Cleanup(f.stop)
	return f
}

// newFixture is start with one service over the given addresses, in turn.
func newFixture(t *testing.T, change func(*l4.Config), backends ...string) *fixture {
	t.Helper()
	balancer := balancerOf(t, "db")
	var targets []backend.Target
	for i, addr := range backends {
		targets = append(targets, backend.Target{ID: fmt.Sprint(i), Address: addr, Weight: 1})
	}
	balancer.Pool().Set(targets)
	cfg := l4.Config{Routes: []l4.Route{{Service: l4.Service{Balancer: balancer}}}}
	if change != nil {
		change(&cfg)
	}
	return start(t, listen.Config{}, cfg)
}

// stop cuts everything.
func (f *fixture) stop() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.server.Shutdown(ctx)
}

func (f *fixture) dial() *net.TCPConn {
	f.t.Helper()
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// shutdown drains f and fails if a connection had to be cut.
func (f *fixture) shutdown() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	if n := f.server.Shutdown(ctx); n != 0 {
		f.t.Fatalf("unexpected number of connections cut; got %d; want 0", n)
	}
	if err := <-f.served; err != nil {
		f.t.Fatal(err)
	}
}

// counter returns the counter of a service's metric, that of the first route if
// labels do not name another one.
func (f *fixture) counter(name string, labels ...string) uint64 {
	labels = append([]string{fmt.Sprintf("service=%q", f.pool.Service())}, labels...)
	return f.set.GetOrCreateCounter(name + "{" + strings.Join(labels, ",") + "}").Get()
}

// wantEnds compares the connections counted by reason.
func (f *fixture) wantEnds(want map[l4.Reason]int) {
	f.t.Helper()
	for r := l4.ClientEOF; r <= l4.InternalError; r++ {
		if got := int(f.counter("sluice_l4_connections_total", fmt.Sprintf("reason=%q", r))); got != want[r] {
			f.t.Fatalf("unexpected connections that ended by %v; got %d; want %d", r, got, want[r])
		}
	}
	for _, b := range f.pool.Snapshot().All {
		if b.Active() != 0 {
			f.t.Fatalf("unexpected slots left on %s: %d", b.Addr(), b.Active())
		}
	}
}

// serveTCP runs handle for each connection to a new address until the test
// ends.
func serveTCP(t *testing.T, handle func(*net.TCPConn)) (addr string) {
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
				handle(c.(*net.TCPConn))
			}()
		}
	}()
	return ln.Addr().String()
}

// serveEcho returns what it is sent, to the end, and then ends.
func serveEcho(t *testing.T) (addr string) {
	return serveTCP(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
}

// serveNothing returns an address that refuses connections: a socket has it
// and does not listen, so that no other test's listener can get it.
func serveNothing(t *testing.T) (addr string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
}

// exchange sends n pseudo-random bytes through c, half-closes, and expects
// them back to the byte.
func exchange(c *net.TCPConn, n int64, seed byte) error {
	sent, got := sha256.New(), sha256.New()
	wrote := make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.MultiWriter(c, sent), rand.NewChaCha8([32]byte{seed}), n)
		wrote <- errors.Join(err, c.CloseWrite())
	}()
	m, err := io.Copy(got, c)
	if err := errors.Join(err, <-wrote); err != nil {
		return err
	}
	if m != n || string(got.Sum(nil)) != string(sent.Sum(nil)) {
		return fmt.Errorf("got %d bytes back that differ from the %d sent", m, n)
	}
	return nil
}
