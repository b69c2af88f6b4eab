package admin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// withDefaults fills in what most tests do not care about.
func withDefaults(cfg Config) Config {
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1:0"
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.NewSet()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// start serves cfg on a port of its own until the test ends.
func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := New(withDefaults(cfg))
	if err != nil {
		t.Fatalf("cannot start: %v", err)
	}
	serve(t, s)
	return s
}

func serve(t *testing.T, s *Server) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("unexpected error of Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("unexpected error of Serve: %v", err)
		}
	})
}

// answer is a response that has been read.
type answer struct {
	code   int
	header http.Header
	body   string
}

// do sends one request on a connection of its own, after change, which may
// be nil, has seen it.
func do(t *testing.T, s *Server, method, path string, change func(*http.Request)) answer {
	t.Helper()
	addr := *s.Addr().(*net.TCPAddr)
	if addr.IP.IsUnspecified() {
		addr.IP = net.IPv4(127, 0, 0, 1)
	}
	request := func() *http.Request {
		req, err := http.NewRequest(method, "http://"+addr.String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(req)
		}
		return req
	}
	c := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := c.Do(request())
	for n := 0; n < 10 && errors.Is(err, syscall.ECONNRESET); n++ { // it was refused before it was read, and the answer was lost
		resp, err = c.Do(request())
	}
	if err != nil {
		t.Fatalf("cannot %s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("cannot read the answer to %s %s: %v", method, path, err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func get(t *testing.T, s *Server, path string) answer {
	t.Helper()
	return do(t, s, "GET", path, nil)
}

// raw sends text as it is and returns all that comes back.
func raw(t *testing.T, s *Server, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection stays open after %q and %q", text, got)
	}
	return string(got)
}

// log is a place for log lines that is safe for concurrent use.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestNewFailure(t *testing.T) {
	t.Parallel()
	f := func(cfg Config, wants ...string) {
		t.Helper()
		s, err := New(withDefaults(cfg))
		if err == nil {
			s.Shutdown(t.Context())
			t.Fatalf("unexpected success with %+v", cfg)
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Fatalf("unexpected error; got %q; want %q in it", err, want)
			}
		}
	}
	f(Config{Address: ":0"}, `--admin ":0"`, "--admin-token")
	f(Config{Address: "0.0.0.0:0"}, `--admin "0.0.0.0:0"`, "--admin-token")
	f(Config{Address: "[::]:0"}, "--admin", "--admin-token")
	f(Config{Address: "192.0.2.1:0"}, "--admin", "--admin-token") // before it tries to bind
	f(Config{Address: "127.0.0.1"}, `cannot resolve --admin "127.0.0.1"`)
	f(Config{Address: "192.0.2.1:0", Token: "t"}, `cannot listen on --admin "192.0.2.1:0"`)
	f(Config{Token: "with space"}, "--admin-token")
	f(Config{Token: "newline\n"}, "--admin-token")
	f(Config{Settings: func() {}}, "cannot encode the settings")
}

func TestNewSuccess(t *testing.T) {
	t.Parallel()
	f := func(cfg Config, wantWarning bool) {
		t.Helper()
		var l log
		cfg.Logger = slog.New(slog.NewTextHandler(&l, nil))
		s := start(t, cfg)
		do(t, s, "GET", "/healthz", func(r *http.Request) { r.Host = "localhost" })
		if warned := strings.Contains(l.String(), "--admin-token"); warned != wantWarning {
			t.Fatalf("unexpected log with %+v: %q", cfg, l.String())
		}
	}
	f(Config{Address: "127.0.0.1:0"}, false)
	f(Config{Address: "localhost:0"}, false)
	f(Config{Address: "127.0.0.1:0", AllowInsecure: true}, false)
	f(Config{Address: "0.0.0.0:0", Token: "t"}, false)
	f(Config{Address: "0.0.0.0:0", AllowInsecure: true}, true)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var r atomic.Pointer[Readiness]
	ready := func() Readiness { return *r.Load() }
	h, err := NewHealth("0.0.0.0:0", nil, 0, ready, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, h)
	a := start(t, Config{Ready: ready, Token: "secret"})
	f := func(path string, wantCode int, want string) {
		t.Helper()
		for _, s := range []*Server{a, h} {
			got := get(t, s, path)
			if got.code != wantCode || strings.Join(strings.Fields(got.body), "") != want {
				t.Fatalf("unexpected answer to %s; got %d %q; want %d %q", path, got.code, got.body, wantCode, want)
			}
		}
	}
	r.Store(&Readiness{Ready: true})
	f("/healthz", 200, "ok")
	f("/readyz", 200, `{"ready":true,"reasons":[]}`)
	r.Store(&Readiness{Ready: true, Details: []string{"consul:timeout"}})
	f("/readyz", 200, `{"ready":true,"reasons":[],"details":["consul:timeout"]}`)
	r.Store(&Readiness{Reasons: []string{"draining", "no-backends"}})
	f("/readyz", 503, `{"ready":false,"reasons":["draining","no-backends"]}`)
	f("/healthz", 200, "ok") // the process is alive
	r.Store(&Readiness{Ready: true})
	f("/readyz", 200, `{"ready":true,"reasons":[]}`)

	// The health server has nothing else, and does not mind how it is called.
	for _, path := range []string{"/", "/metrics", "/admin/config", "/debug/pprof/"} {
		if got := get(t, h, path); got.code != 404 {
			t.Fatalf("unexpected status of %s; got %d; want 404", path, got.code)
		}
	}
	if got := do(t, h, "GET", "/readyz", func(r *http.Request) { r.Host = "10.1.2.3" }); got.code != 200 {
		t.Fatalf("unexpected status with another Host; got %d; want 200", got.code)
	}
	if got := raw(t, h, "GET /healthz HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.0 200 ") {
		t.Fatalf("unexpected answer to a plain probe: %q", got)
	}
}

func TestNewHealthFailure(t *testing.T) {
	t.Parallel()
	if _, err := NewHealth("127.0.0.1", nil, 0, nil, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), `--health-addr "127.0.0.1"`) {
		t.Fatalf("unexpected error %v", err)
	}
}

// TestReadyDefault shows that a server without an opinion is ready.
func TestReadyDefault(t *testing.T) {
	t.Parallel()
	if got := get(t, start(t, Config{}), "/readyz"); got.code != 200 {
		t.Fatalf("unexpected status; got %d; want 200", got.code)
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	svc := newService("web")
	svc.Strategy = func() string { entered <- struct{}{}; <-release; return "p2c" }
	s, err := New(withDefaults(Config{Services: listed(svc)}))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /admin/backends HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("unexpected error of a Shutdown without time; got %v; want %v", err, context.Canceled)
	}
	if err := <-served; err != nil {
		t.Fatalf("unexpected error of Serve: %v", err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
		t.Fatal("unexpected answer on a connection that was cut")
	}
	close(release)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatalf("unexpected error of a second Shutdown: %v", err)
	}
	if err := s.Serve(); err != nil {
		t.Fatalf("unexpected error of Serve after Shutdown: %v", err)
	}
}

func TestShutdownWithoutServe(t *testing.T) {
	t.Parallel()
	s, err := New(withDefaults(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Fatal("still listening")
	}
}

// TestLeak is serial: it counts goroutines. A profile in progress and idle
// connections end with the server.
func TestLeak(t *testing.T) {
	before := runtime.NumGoroutine()
	s, err := New(withDefaults(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve()
	tr := &http.Transport{}
	for _, path := range []string{"/metrics", "/admin/backends"} {
		resp, err := (&http.Client{Transport: tr}).Get("http://" + s.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	done := make(chan error, 1)
	go func() {
		for { // again if it met a request of the loop below
			resp, err := (&http.Client{Transport: tr}).Get("http://" + s.Addr().String() + "/debug/pprof/heap?seconds=60")
			if err == nil {
				resp.Body.Close()
				if resp.StatusCode == http.StatusConflict {
					continue
				}
			}
			done <- err
			return
		}
	}()
	for get(t, s, "/debug/pprof/heap?seconds=0").code != http.StatusConflict {
		time.Sleep(time.Millisecond) // until the profile is being taken
	}
	begin := time.Now()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Fatalf("unexpected duration of Shutdown: %v", d)
	}
	<-done
	tr.CloseIdleConnections()
	for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 64<<10)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
	}
}
