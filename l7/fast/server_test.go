package fast

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l7/gate"
	"sluice/l7/plain"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

const patience = 30 * time.Second // before a test that hangs gives up

// loops are where connections rest, in all tests.
var loops *reactor.Group

func TestMain(m *testing.M) {
	var err error
	if loops, err = reactor.NewGroup(2, slog.New(slog.DiscardHandler)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2) // loops keep their P while they are busy
	loops.Start()
	code := m.Run()
	loops.Close()
	os.Exit(code)
}

// config returns a configuration whose route "/" leads to h.
func config(t *testing.T, h http.HandlerFunc) (cfg plain.Config, b *backend.Backend) {
	t.Helper()
	ts := httptest.NewServer(h)
	t.Cleanup(ts.Close)
	addr := strings.TrimPrefix(ts.URL, "http://")
	pool := backend.NewPool("web")
	pool.Set([]backend.Target{{ID: addr, Address: addr, Weight: 1}})
	balancer, err := balance.New(pool, "round_robin")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Routes = []gate.Route{{Path: "/", Balancer: balancer}}
	cfg.Logger, cfg.Metrics = slog.New(slog.DiscardHandler), metrics.NewSet()
	return cfg, pool.Snapshot().All[0]
}

// newServer starts a server before h. When the test ends it is shut down, and
// everything that it had taken must be back.
func newServer(t *testing.T, h http.HandlerFunc, edit ...func(*plain.Config)) *Server {
	t.Helper()
	cfg, b := config(t, h)
	for _, f := range edit {
		f(&cfg)
	}
	ln, err := listen.Listen(listen.Config{Kind: "l7", Name: "test", Address: "127.0.0.1:0", Logger: cfg.Logger, Metrics: cfg.Metrics})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(ln, Config{Config: cfg, Loops: loops})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if n := s.Shutdown(ctx); n != 0 {
			t.Errorf("unexpected number of connections cut; got %d; want 0", n)
		}
		if err := <-served; err != nil {
			t.Errorf("unexpected error of Serve: %v", err)
		}
		if n, open := b.Active(), b.Conns.Open.Load(); n != 0 || open != 0 {
			t.Errorf("unexpected rest; got %d slots, %d connections to the backend", n, open)
		}
	})
	return s
}

// client is a connection to a server.
type client struct {
	t *testing.T
	*net.TCPConn
	br *bufio.Reader
}

func dial(t *testing.T, addr net.Addr) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &client{t, c.(*net.TCPConn), bufio.NewReader(c)}
}

// do sends a request and returns the response with its body.
func (c *client) do(request string) (*http.Response, string) {
	c.t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		c.t.Fatalf("cannot read the response to %.60q: %v", request, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("cannot read the body of the response to %.60q: %v", request, err)
	}
	return resp, string(body)
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

// TestOpinionsOfFasthttp sends what fasthttp judges otherwise than our own codec:
// heads beyond its buffer, versions that it takes for HTTP/1.0, trailers that it
// does not want announced, expectations that it would answer, bodies of methods
// that it reads none of. Each is served, and the connection with it.
func TestOpinionsOfFasthttp(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %d %d", r.Method, r.RequestURI, len(r.Header.Get("X-Long")), len(body))
	})
	c := dial(t, s.ln.Addr())
	for _, x := range []struct{ request, want string }{
		{"GET /a HTTP/1.1\r\nHost: a\r\nX-Long: " + strings.Repeat("x", 20_000) + "\r\n\r\n", "GET /a 20000 0"},
		{"GET /b HTTP/1.5\r\nHost: a\r\n\r\n", "GET /b 0 0"},
		{"POST /c HTTP/1.1\r\nHost: a\r\nTrailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\n", "POST /c 0 3"},
		{"GET /d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "GET /d 0 5"},
		{"PUT /e?a=//b://c HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("y", 9000), "PUT /e?a=//b://c 0 9000"},
		{"GET //x://y HTTP/1.1\r\nHost: a\r\n\r\n", "GET //x://y 0 0"},
		{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * 0 0"},
		{"GET /last HTTP/1.1\r\nHost: a\r\n\r\n", "GET /last 0 0"},
	} {
		if resp, got := c.do(x.request); resp.StatusCode != 200 || got != x.want && x.want != "OPTIONS * 0 0" || resp.Close {
			t.Errorf("unexpected response to %.40q; got %d %q, close %v; want %q", x.request, resp.StatusCode, got, resp.Close, x.want)
		}
	}
	if _, err := io.WriteString(c, "POST /f HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 20000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := c.br.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("unexpected line %q, %v", line, err)
	}
	_, _ = c.br.ReadString('\n')
	if resp, got := c.do(strings.Repeat("z", 20_000)); resp.StatusCode != 200 || got != "POST /f 0 20000" {
		t.Errorf("unexpected response; got %d %q", resp.StatusCode, got)
	}
}

// TestRest has connections without a request: they hold no goroutine, and are
// served on where they left off, when a whole request comes or a part of one.
func TestRest(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RequestURI) }, func(c *plain.Config) { c.HeadTimeout = patience })
	before := runtime.NumGoroutine()
	var clients []*client
	for range 50 {
		c := dial(t, s.ln.Addr())
		if _, got := c.do("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"); got != "/1" {
			t.Fatalf("unexpected response %q", got)
		}
		clients = append(clients, c)
	}
	fresh := dial(t, s.ln.Addr())
	if reactor.HasSockets {
		eventually(t, "they hold no goroutines", func() bool { return runtime.NumGoroutine() < before+len(clients)/2 })
	}
	eventually(t, "all of them rest", func() bool {
		for _, c := range s.conns() {
			c.mu.Lock()
			p := c.phase
			c.mu.Unlock()
			if p != parked {
				return false
			}
		}
		return true
	})
	for _, c := range append(clients, fresh) {
		if _, got := c.do("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"); got != "/2" {
			t.Fatalf("unexpected response %q after a rest", got)
		}
	}
	// A head that comes byte by byte, with rests in between.
	c := clients[0]
	for _, part := range []string{"G", "ET /3 HTT", "P/1.1\r\nHo", "st: a\r\n\r"} {
		if _, err := io.WriteString(c, part); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * parkSlow)
	}
	if _, got := c.do("\n"); got != "/3" {
		t.Fatalf("unexpected response %q to what came in parts", got)
	}
	// What cannot become a request is refused from a rest, too.
	if _, err := io.WriteString(fresh, "GE"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * parkSlow)
	if resp, _ := fresh.do("T\x00 / HTTP/1.1\r\n"); resp.StatusCode != 400 {
		t.Fatalf("unexpected status %d", resp.StatusCode)
	}
}

// TestHeadTimeoutInRest lets a head that rests never become whole.
func TestHeadTimeoutInRest(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(http.ResponseWriter, *http.Request) {}, func(c *plain.Config) { c.HeadTimeout = 4 * parkSlow })
	c := dial(t, s.ln.Addr())
	resp, _ := c.do("GET / HTTP/1.1\r\nHost: ")
	if resp.StatusCode != 408 || resp.Header.Get("X-Sluice-Reason") != "request_timeout" {
		t.Fatalf("unexpected answer; got %d %v", resp.StatusCode, resp.Header)
	}
	if _, err := c.br.ReadByte(); err != io.EOF {
		t.Fatalf("unexpected end; got %v; want EOF", err)
	}
}

// TestPanics has the handler panic: the request ends, and nothing else.
func TestPanics(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") })
	c := dial(t, s.ln.Addr())
	if _, got := c.do("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); got != "ok" {
		t.Fatalf("unexpected response %q", got)
	}
	bad := &conn{s: s} // without a connection
	bad.unserved = true
	bad.serve()
	if !bad.last || !bad.reset {
		t.Error("a connection lives on after a panic")
	}
	if _, got := c.do("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); got != "ok" {
		t.Fatalf("unexpected response %q after a panic", got)
	}
}
