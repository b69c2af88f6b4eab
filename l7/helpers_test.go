package l7

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

const patience = 30 * time.Second // before a test that hangs gives up

// loops are shared by all tests: what one of them leaves behind, or blocks,
// the others feel.
var loops *reactor.Group

func TestMain(m *testing.M) {
	var err error
	if loops, err = reactor.NewGroup(2, slog.New(slog.DiscardHandler)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2) // loops keep their P while they are busy
	loops.Start()
	flag.Parse()
	if !isSet("test.parallel") { // most tests wait most of the time
		_ = flag.Set("test.parallel", "8")
	}
	code := m.Run()
	loops.Close()
	os.Exit(code)
}

// isSet reports whether a flag was given.
func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// front is a server under test.
type front struct {
	server
	t    *testing.T
	addr string
	cfg  Config // as it was made
	ln   *listen.Listener
	pool *backend.Pool
	set  *metrics.Set
	log  *syncBuffer
	down sync.Once
}

// newFront starts a server whose route "/" leads to the backends. edit, if not
// nil, changes its configuration first. When the test ends, the server is shut
// down and everything it had taken must be back.
func newFront(t *testing.T, edit func(*Config), backends ...string) *front {
	t.Helper()
	return newFrontOn(t, listen.Config{}, edit, backends...)
}

// newFrontOn is newFront with settings of the listener.
func newFrontOn(t *testing.T, lcfg listen.Config, edit func(*Config), backends ...string) *front {
	t.Helper()
	f := &front{t: t, pool: backend.NewPool("web"), set: metrics.NewSet(), log: &syncBuffer{}}
	f.setBackends(backends...)
	b, err := balance.New(f.pool, "round_robin")
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(f.log, nil))
	lcfg.Kind, lcfg.Name, lcfg.Address, lcfg.Logger, lcfg.Metrics = "l7", "test", "127.0.0.1:0", logger, f.set
	ln, err := listen.Listen(lcfg)
	if err != nil {
		t.Fatal(err)
	}
	var cfg Config
	cfg.Routes, cfg.Loops, cfg.Logger, cfg.Metrics = []Route{{Path: "/", Balancer: b}}, loops, logger, f.set
	if edit != nil {
		edit(&cfg)
	}
	if f.server, err = driverOf(t).new(ln, cfg); err != nil {
		t.Fatal(err)
	}
	f.cfg, f.ln = cfg, ln
	f.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- f.Serve() }()
	members := f.pool.Snapshot().All
	t.Cleanup(func() {
		f.shutdown(0)
		if err := <-served; err != nil {
			t.Errorf("unexpected error of Serve: %v", err)
		}
		for _, b := range append(members, f.pool.Snapshot().All...) {
			if n := b.Active(); n != 0 {
				t.Errorf("unexpected number of slots taken of %s; got %d; want 0", b.Addr(), n)
			}
		}
		if n := f.gauge("sluice_l7_requests{"); n != 0 {
			t.Errorf("unexpected number of requests in flight; got %v; want 0", n)
		}
	})
	return f
}

func (f *front) setBackends(addrs ...string) {
	var targets []backend.Target
	for _, a := range addrs {
		targets = append(targets, backend.Target{ID: a, Address: a, Weight: 1})
	}
	f.pool.Set(targets)
}

// shutdown stops the server once; what is left after d is cut.
func (f *front) shutdown(d time.Duration) (cut int) {
	f.down.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		cut = f.Shutdown(ctx)
	})
	return cut
}

// gauge returns the sum of the series whose name begins with prefix.
func (f *front) gauge(prefix string) float64 {
	var b bytes.Buffer
	f.set.WritePrometheus(&b)
	var sum float64
	for line := range strings.Lines(b.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(name, prefix) {
			n, _ := strconv.ParseFloat(value, 64)
			sum += n
		}
	}
	return sum
}

// wantMetric waits until the series that begin with prefix add up to want:
// an exchange is recorded after its response was delivered.
func (f *front) wantMetric(prefix string, want float64) {
	f.t.Helper()
	var got float64
	for range 1000 {
		if got = f.gauge(prefix); got == want {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	f.t.Errorf("unexpected value of %s; got %v; want %v", prefix, got, want)
}

// client returns an HTTP client of its own.
func (f *front) client() *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	f.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func (f *front) url(path string) string { return "http://" + f.addr + path }

// raw opens a connection to the server.
func (f *front) raw() *rawConn { return dialRaw(f.t, f.addr) }

// rawConn is a connection that speaks what a test writes.
type rawConn struct {
	*net.TCPConn
	t  *testing.T
	br *bufio.Reader
}

func dialRaw(t *testing.T, addr string) *rawConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return newRaw(t, c)
}

func newRaw(t *testing.T, c net.Conn) *rawConn {
	_ = c.SetDeadline(time.Now().Add(patience))
	return &rawConn{TCPConn: c.(*net.TCPConn), t: t, br: bufio.NewReader(c)}
}

func (c *rawConn) write(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Errorf("cannot write: %v", err)
	}
}

// response reads a response to method with its whole body.
func (c *rawConn) response(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("cannot read the response: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("cannot read the response's body: %v", err)
	}
	return resp, string(body)
}

// wantEOF checks that the server closes without sending more.
func (c *rawConn) wantEOF() {
	c.t.Helper()
	rest, err := io.ReadAll(c.br)
	if err != nil || len(rest) > 0 {
		c.t.Errorf("unexpected end of the connection; got %q, %v; want an EOF", rest, err)
	}
}

// newBackend starts an HTTP backend and returns its address.
func newBackend(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// newRawBackend starts a backend that serves each connection with serve, which
// gets its number, from 0.
func newRawBackend(t *testing.T, serve func(n int, c *rawConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer c.Close()
				serve(n, newRaw(t, c))
			}()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

// request reads the head of a request, and its body.
func (c *rawConn) request() (*http.Request, string, error) {
	req, err := http.ReadRequest(c.br)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(req.Body)
	return req, string(body), err
}

// deadAddr returns an address where nothing listens.
func deadAddr(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) }) // until then nobody else gets the port
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newReader(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }

// eventually waits until what holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

// prefixes returns networks.
func prefixes(ss ...string) (ps []netip.Prefix) {
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// turn returns when each loop has done what it had to do.
func turn() {
	for _, l := range loops.Loops() {
		done := make(chan struct{})
		if l.Post(func() { close(done) }) {
			<-done
		}
	}
}
