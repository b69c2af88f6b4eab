package echo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start serves cfg on a port of its own until the test ends.
func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Listen("127.0.0.1:0", cfg)
	if err != nil {
		t.Fatalf("cannot listen: %v", err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("unexpected error of Serve: %v", err)
		}
	})
	return s
}

func dial(t *testing.T, s *Server) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatalf("cannot dial: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// do sends one request on a connection of its own.
func do(t *testing.T, s *Server, method, path, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+s.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		t.Fatalf("cannot %s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("cannot read the answer to %s %s: %v", method, path, err)
	}
	return resp, string(b)
}

func TestHTTPAnswers(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Auto, HTTP} {
		s := start(t, Config{Name: "demo-1", Mode: mode})
		f := func(method, path, body string, wantCode int, want string) {
			t.Helper()
			resp, got := do(t, s, method, path, body)
			if resp.StatusCode != wantCode || got != want {
				t.Fatalf("unexpected answer to %s %s in mode %s; got %d %q; want %d %q", method, path, mode, resp.StatusCode, got, wantCode, want)
			}
			if b := resp.Header.Get("X-Backend"); b != "demo-1" {
				t.Fatalf("unexpected X-Backend of %s %s; got %q; want demo-1", method, path, b)
			}
		}
		f("GET", "/x", "", 200, "demo-1 GET /x\n")
		f("GET", "/x?y=1", "", 200, "demo-1 GET /x\n")
		f("GET", "//a/../b%2Fc", "", 200, "demo-1 GET //a/../b%2Fc\n")
		f("DELETE", "/", "", 200, "demo-1 DELETE /\n")
		f("HEAD", "/", "", 200, "")
		f("GET", "/healthz", "", 200, "ok\n")
		f("GET", "/status/404", "", 404, "demo-1 404 Not Found\n")
		f("POST", "/status/502", "x", 502, "demo-1 502 Bad Gateway\n")
		f("GET", "/status/204", "", 204, "")
		f("GET", "/status/101", "", 400, "cannot answer with status \"101\": it is 200 to 599\n")
		f("GET", "/status/x", "", 400, "cannot answer with status \"x\": it is 200 to 599\n")
		f("GET", "/bytes/0", "", 200, "")
		f("GET", "/bytes/3", "", 200, "\x00\x01\x02")
		f("GET", "/bytes/-1", "", 400, "cannot send \"-1\" bytes: it is a whole number from 0\n")
		f("GET", "/slow?d=1ms", "", 200, "demo-1 GET /slow\n")
		f("GET", "/slow", "", 400, "cannot wait d=\"\": it is a duration such as 1s\n")
		f("GET", "/sse?n=2&every=1ms", "", 200, "id: 1\ndata: demo-1 1\n\nid: 2\ndata: demo-1 2\n\n")
		f("GET", "/sse?n=-1", "", 400, "cannot send n=\"-1\" events: it is a whole number from 0\n")
		f("GET", "/sse?every=often", "", 400, "cannot use every=\"often\": it is a duration such as 100ms\n")
		f("POST", "/any", "hello", 200, "hello")
		f("PUT", "/any", "", 200, "")
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	const size = 1<<20 + 17
	resp, got := do(t, s, "GET", "/bytes/1048593", "")
	if resp.ContentLength != size || len(got) != size {
		t.Fatalf("unexpected size; got length %d and %d bytes; want %d", resp.ContentLength, len(got), size)
	}
	for i := range len(got) {
		if got[i] != byte(i%251) {
			t.Fatalf("unexpected byte at %d; got %d; want %d", i, got[i], i%251)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	_, got := do(t, s, "GET", "/headers", "")
	var h http.Header
	if err := json.Unmarshal([]byte(got), &h); err != nil {
		t.Fatalf("cannot parse %q: %v", got, err)
	}
	if h.Get("Host") != s.Addr().String() || !strings.HasPrefix(h.Get("User-Agent"), "Go-http-client") {
		t.Fatalf("unexpected headers %v", h)
	}
}

// TestBodyStreams shows that the body comes back while it is being sent.
func TestBodyStreams(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	pr, pw := io.Pipe()
	defer pw.Close()
	req, err := http.NewRequest("POST", "http://"+s.Addr().String()+"/", pr)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/x-test")
	go func() { _, _ = pw.Write([]byte("one\n")) }()
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != "text/x-test" {
		t.Fatalf("unexpected Content-Type %q", ct)
	}
	r := bufio.NewReader(resp.Body)
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		if line != "one\n" {
			if _, err := pw.Write([]byte(line)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := r.ReadString('\n'); got != line {
			t.Fatalf("unexpected line; got %q, %v; want %q", got, err, line)
		}
	}
	pw.Close()
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Fatalf("unexpected end; got %q, %v", rest, err)
	}
}

// TestHalfClose shows that all that was sent comes back after the client has
// closed its half, and then the end.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	payload := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	for _, cfg := range []Config{{Mode: Auto}, {Mode: TCP}, {Mode: Auto, Latency: time.Millisecond}, {Mode: TCP, Latency: time.Millisecond}} {
		s := start(t, cfg)
		c := dial(t, s)
		go func() {
			_, _ = c.Write(payload)
			_ = c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("unexpected echo with %+v; got %d bytes, %v; want %d", cfg, len(got), err, len(payload))
		}
	}
}

// TestTCPModeEchoesHTTP shows that the tcp mode does not look at the bytes.
func TestTCPModeEchoesHTTP(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, Config{Mode: TCP}))
	const text = "GET / HTTP/1.1\r\n\r\n"
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("unexpected echo; got %q, %v; want %q", got, err, text)
	}
}

// TestSniff sends the beginnings of connections piece by piece.
func TestSniff(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Name: "n"})

	// A method that arrives in pieces is HTTP.
	c := dial(t, s)
	for _, piece := range []string{"G", "ET", " / HTTP/1.1\r\nHost: x\r\n\r\n"} {
		if _, err := io.WriteString(c, piece); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.Header.Get("X-Backend") != "n" {
		t.Fatalf("unexpected answer to a request in pieces; got %v, %v", resp, err)
	}
	resp.Body.Close()

	// The beginning of a method that never goes on is TCP, at once or not.
	for _, text := range []string{"PO", "hello", "GETS ", "\x16\x03\x01"} {
		c := dial(t, s)
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
			t.Fatalf("unexpected echo; got %q, %v; want %q", got, err, text)
		}
	}

	// A connection that ends without a byte just ends.
	c = dial(t, s)
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
		t.Fatalf("unexpected answer to silence; got %q, %v", got, err)
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	f := func(first string, want verdict) {
		t.Helper()
		if got := classify([]byte(first)); got != want {
			t.Fatalf("unexpected verdict on %q; got %d; want %d", first, got, want)
		}
	}
	f("", undecided)
	f("G", undecided)
	f("GET", undecided)
	f("P", undecided)
	f("CONNECT", undecided)
	f("GET ", isHTTP)
	f("PATCH /x", isHTTP)
	f("CONNECT x", isHTTP)
	f("get ", isTCP)
	f("GETX", isTCP)
	f(" GET ", isTCP)
	f("PRI * HTTP/2.0", isTCP)
	f("\x00", isTCP)
}

func TestFail(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Auto, TCP} {
		c := dial(t, start(t, Config{Fail: 1, Mode: mode}))
		_, err := c.Write([]byte("hello"))
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Fatalf("unexpected end in mode %s; got %v; want a reset", mode, err)
		}
	}
	s := start(t, Config{Fail: 1, Name: "n"})
	for _, path := range []string{"/", "/healthz", "/status/200"} {
		if resp, _ := do(t, s, "GET", path, ""); resp.StatusCode != 503 || resp.Header.Get("X-Backend") != "n" {
			t.Fatalf("unexpected status of %s; got %d; want 503", path, resp.StatusCode)
		}
	}
	s.SetFail(0.999999) // all but always, and still healthy
	if resp, _ := do(t, s, "GET", "/healthz", ""); resp.StatusCode != 200 {
		t.Fatalf("unexpected status of /healthz; got %d; want 200", resp.StatusCode)
	}
	s.SetFail(0)
	for range 20 {
		if resp, _ := do(t, s, "GET", "/", ""); resp.StatusCode != 200 {
			t.Fatalf("unexpected status; got %d; want 200", resp.StatusCode)
		}
	}
}

func TestLatency(t *testing.T) {
	t.Parallel()
	const latency = 50 * time.Millisecond
	s := start(t, Config{Latency: latency})
	begin := time.Now()
	do(t, s, "GET", "/", "")
	if d := time.Since(begin); d < latency {
		t.Fatalf("unexpected duration of a request; got %v; want at least %v", d, latency)
	}
	c := dial(t, s)
	begin = time.Now()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d < latency {
		t.Fatalf("unexpected duration of an echo; got %v; want at least %v", d, latency)
	}
}

// TestClose closes servers with connections in every stage of their life.
func TestClose(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Auto, TCP, HTTP} {
		s, err := Listen("127.0.0.1:0", Config{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		var conns []*net.TCPConn
		for _, first := range []string{
			"", "GE", "hello", "GET /slow?d=1h HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx", "GET /sse?n=1000000&every=1ms HTTP/1.1\r\nHost: x\r\n\r\n",
		} {
			c := dial(t, s)
			if _, err := io.WriteString(c, first); err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		// The last one has begun to answer, so the server is at work.
		if _, err := conns[len(conns)-1].Read(make([]byte, 1)); err != nil {
			t.Fatalf("cannot read in mode %s: %v", mode, err)
		}
		s.Close()
		s.Close()
		if err := <-served; err != nil {
			t.Fatalf("unexpected error of Serve in mode %s: %v", mode, err)
		}
		for _, c := range conns {
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("a connection is still open in mode %s", mode)
			}
		}
		if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
			c.Close()
			t.Fatalf("still listening in mode %s", mode)
		}
		if err := s.Serve(); err != nil {
			t.Fatalf("unexpected error of Serve after Close in mode %s: %v", mode, err)
		}
	}
}

func TestCloseWithoutServe(t *testing.T) {
	t.Parallel()
	s, err := Listen("127.0.0.1:0", Config{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Fatal("still listening")
	}
}

func TestListenFailure(t *testing.T) {
	t.Parallel()
	f := func(addr string, cfg Config, want string) {
		t.Helper()
		s, err := Listen(addr, cfg)
		if err == nil {
			s.Close()
			t.Fatalf("unexpected success with %q, %+v", addr, cfg)
		}
		if !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error; got %q; want %q in it", err, want)
		}
	}
	f("127.0.0.1:0", Config{Latency: -1}, "cannot use latency")
	f("127.0.0.1:0", Config{Fail: 1.1}, "cannot use fail 1.1")
	f("127.0.0.1:0", Config{Fail: math.NaN()}, "cannot use fail NaN")
	f("127.0.0.1:0", Config{Mode: "udp"}, `cannot use mode "udp"`)
	f("127.0.0.1", Config{}, `cannot listen on "127.0.0.1"`)
}
