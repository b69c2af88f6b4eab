package l7

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/accesslog"
	"sluice/pkg/limit"
)

func TestRequestAndResponse(t *testing.T) { eachDriver(t, testRequestAndResponse) }

func testRequestAndResponse(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
	})
	f := newFront(t, nil, addr)
	c := f.client()
	for range 3 {
		resp, err := c.Get(f.url("/a?b=c;d"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got, want := string(body), "GET /a?b=c;d "; got != want {
			t.Fatalf("unexpected body; got %q; want %q", got, want)
		}
		resp, err = c.Post(f.url("/p"), "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ = io.ReadAll(resp.Body)
		resp.Body.Close()
		if got, want := string(body), "POST /p hello"; got != want {
			t.Fatalf("unexpected body; got %q; want %q", got, want)
		}
	}
	f.wantMetric(`sluice_l7_requests_total{service="web",code="2xx"}`, 6)
	f.wantMetric(`sluice_l7_bytes_total{service="web",direction="in"}`, 15)
	if n := f.pool.Snapshot().All[0].Counters.Connections.Load(); n != 1 {
		t.Errorf("unexpected number of connections to the backend; got %d; want 1", n)
	}
}

// get fetches path once and returns status, reason and body.
func get(t *testing.T, c *http.Client, url string) (status int, reason, body string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("X-Sluice-Reason"), string(b)
}

var traceparent = regexp.MustCompile("^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")

// TestRepeatedLines has fields in several lines, as lists may be (RFC 9110,
// section 5.3): all lines arrive in their order, those among them that an HTTP
// library keeps once, such as fasthttp Content-Encoding in responses.
func TestRepeatedLines(t *testing.T) { eachDriver(t, testRepeatedLines) }

func testRepeatedLines(t *testing.T) {
	t.Parallel()
	names := []string{"Content-Encoding", "Content-Language", "Via", "Link", "Cache-Control", "Vary", "Accept", "Accept-Encoding", "Cookie"}
	heads := make(chan http.Header, 1)
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		heads <- r.Header.Clone()
		for _, name := range names {
			w.Header()[name] = []string{"a=1", "b=2"}
		}
	})
	c := newFront(t, nil, addr).raw()
	request := "GET / HTTP/1.1\r\nHost: a\r\n"
	for _, name := range names {
		request += name + ": a=1\r\n" + name + ": b=2\r\n"
	}
	c.write(request + "\r\n")
	resp, _ := c.response("GET")
	for where, h := range map[string]http.Header{"request": <-heads, "response": resp.Header} {
		for _, name := range names {
			got := h.Values(name)
			if name == "Cookie" && where == "request" && strings.Join(got, "; ") == "a=1; b=2" {
				continue // may be joined (RFC 9113, section 8.2.3)
			}
			if !slices.Equal(got, []string{"a=1", "b=2"}) {
				t.Errorf("unexpected lines of %s in the %s: %q", name, where, got)
			}
		}
	}
}

func TestHopByHopAndForwarded(t *testing.T) { eachDriver(t, testHopByHopAndForwarded) }

func testHopByHopAndForwarded(t *testing.T) {
	t.Parallel()
	heads := make(chan http.Header, 1)
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		h := r.Header.Clone()
		h.Set("Host", r.Host)
		heads <- h
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.Header().Set("X-Drop", "1")
		w.Header().Set("Connection", "X-Drop")
		w.Header().Set("Server", "mine")
		w.WriteHeader(299)
	})
	f := newFront(t, nil, addr)
	send := func(f *front) (http.Header, *http.Response) {
		c := f.raw()
		c.write("GET / HTTP/1.1\r\nHost: Example.test:80\r\nConnection: X-Drop\r\nX-Drop: 1\r\nProxy-Authorization: x\r\n" +
			"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Request-ID: theirs\r\n\r\n")
		resp, _ := c.response("GET")
		return <-heads, resp
	}
	want := func(h http.Header, name, value string) {
		t.Helper()
		if got := strings.Join(h[name], "|"); got != value {
			t.Errorf("unexpected value of %s; got %q; want %q", name, got, value)
		}
	}
	h, resp := send(f)
	want(h, "Host", "Example.test:80")
	want(h, "X-Drop", "")
	want(h, "Connection", "")
	want(h, "Proxy-Authorization", "")
	want(h, "X-Forwarded-For", "127.0.0.1")
	want(h, "X-Forwarded-Proto", "http")
	want(h, "X-Forwarded-Host", "Example.test:80")
	want(h, "User-Agent", "")
	want(h, "Content-Type", "")
	if id := h.Get("X-Request-ID"); len(id) != len("01890a5d-ac96-774b-bcce-b302099a8057") || id == "theirs" {
		t.Errorf("unexpected X-Request-ID %q", id)
	}
	if resp.StatusCode != 299 || len(resp.Header["Date"]) != 1 {
		t.Errorf("unexpected response; got %d, %v", resp.StatusCode, resp.Header)
	}
	want(resp.Header, "Set-Cookie", "a=1|b=2")
	want(resp.Header, "Server", "mine")
	want(resp.Header, "Keep-Alive", "")
	want(resp.Header, "Proxy-Authenticate", "")
	want(resp.Header, "X-Drop", "")

	trusting := newFront(t, func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }, addr)
	h, _ = send(trusting)
	want(h, "X-Forwarded-For", "1.2.3.4, 127.0.0.1")
	want(h, "X-Forwarded-Proto", "https")
	want(h, "X-Request-Id", "theirs")
	want(h, "X-Forwarded-Port", "443")
	want(h, "X-Real-Ip", "1.2.3.4")
	want(h, "Traceparent", "")

	begins := newFront(t, func(c *Config) { c.Forwarded, c.TraceShare = true, 1 }, addr)
	h, _ = send(begins)
	want(h, "Forwarded", `for=127.0.0.1;host="Example.test:80";proto=http`)
	if p := h.Get("Traceparent"); !traceparent.MatchString(p) || !strings.HasSuffix(p, "-01") {
		t.Errorf("unexpected traceparent %q", p)
	}
	c := begins.raw()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	c.write("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: " + parent + "\r\ntracestate: x=1\r\n\r\n")
	h = <-heads
	want(h, "Traceparent", parent)
	want(h, "Tracestate", "x=1")
	c.response("GET")
}

func TestConnectRetries(t *testing.T) { eachDriver(t, testConnectRetries) }

func testConnectRetries(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	f := newFront(t, nil, deadAddr(t), addr, deadAddr(t))
	c := f.client()
	for i := range 9 {
		want := strings.Repeat("x", i*5000) // none, small and streamed
		resp, err := c.Post(f.url("/"), "text/plain", strings.NewReader(want))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || string(body) != want {
			t.Fatalf("unexpected response; got %d, %d bytes; want %d", resp.StatusCode, len(body), len(want))
		}
	}
	if f.gauge("sluice_l7_retries_total") == 0 {
		t.Error("nothing was tried again")
	}
}

func TestFailures(t *testing.T) { eachDriver(t, testFailures) }

func testFailures(t *testing.T) {
	t.Parallel()
	f := func(wantStatus int, wantReason string, edit func(*Config), backends ...string) {
		t.Helper()
		fr := newFront(t, edit, backends...)
		status, reason, _ := get(t, fr.client(), fr.url("/"))
		if status != wantStatus || reason != wantReason {
			t.Errorf("unexpected answer; got %d %s; want %d %s", status, reason, wantStatus, wantReason)
		}
		fr.wantMetric(`sluice_l7_failed_total{service="web",reason="`+wantReason+`"}`, 1)
		fr.wantMetric("sluice_l7_failed_total", 1)
		fr.shutdown(patience)
		if !strings.Contains(fr.log.String(), "reason="+wantReason) {
			t.Errorf("the log does not tell of %s: %s", wantReason, fr.log.String())
		}
	}
	says := func(response string) string {
		return newRawBackend(t, func(_ int, c *rawConn) {
			if _, _, err := c.request(); err != nil {
				return
			}
			c.write(response)
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		})
	}
	f(503, "no_backend", nil)
	f(502, "connect_failed", nil, deadAddr(t), deadAddr(t))
	f(502, "backend_reset", nil, says(""))
	f(502, "backend_reset", nil, says("HTTP/1.1 200 OK\r\nX: y\r\n"))
	for _, response := range []string{
		"HTTP/1.1 099 X\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 100<<10) + "\r\n\r\n",
		strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 16+1),
	} {
		f(502, "bad_response", nil, says(response))
	}
	release := make(chan struct{})
	silent := newRawBackend(t, func(_ int, c *rawConn) { <-release })
	t.Cleanup(func() { close(release) })
	f(504, "response_timeout", func(c *Config) { c.ResponseTimeout = 50 * time.Millisecond }, silent)
}

func TestInterimResponsesAreSkipped(t *testing.T) { eachDriver(t, testInterimResponsesAreSkipped) }

func testInterimResponsesAreSkipped(t *testing.T) {
	t.Parallel()
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		if _, _, err := c.request(); err == nil {
			c.write("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	f := newFront(t, nil, addr)
	if status, _, body := get(t, f.client(), f.url("/")); status != 200 || body != "ok" {
		t.Errorf("unexpected response; got %d %q", status, body)
	}
}

// TestReplays checks what is sent again after a backend broke off without a
// response: a GET once, on another backend, and a POST never.
func TestReplays(t *testing.T) { eachDriver(t, testReplays) }

func testReplays(t *testing.T) {
	t.Parallel()
	var broken atomic.Int64
	breaks := func() string {
		return newRawBackend(t, func(_ int, c *rawConn) {
			if _, _, err := c.request(); err == nil {
				broken.Add(1)
			}
		})
	}
	good := newBackend(t, func(w http.ResponseWriter, r *http.Request) {})
	f := newFront(t, nil, breaks(), good)
	c := f.client()
	for range 4 {
		if status, reason, _ := get(t, c, f.url("/")); status != 200 {
			t.Errorf("unexpected answer to GET; got %d %s; want 200", status, reason)
		}
	}
	if broken.Swap(0) == 0 {
		t.Error("no GET came to the backend that breaks")
	}
	var failed int64
	for range 4 {
		resp, err := c.Post(f.url("/"), "", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == 502 {
			failed++
		}
	}
	if n := broken.Swap(0); n == 0 || n != failed {
		t.Errorf("unexpected number of failed POSTs; got %d; want %d", failed, n)
	}

	f = newFront(t, nil, breaks(), breaks(), breaks())
	if status, _, _ := get(t, f.client(), f.url("/")); status != 502 {
		t.Errorf("unexpected status; got %d; want 502", status)
	}
	if n := broken.Load(); n != 2 {
		t.Errorf("unexpected number of attempts; got %d; want 2", n)
	}
}

// TestIdleConnectionsThatDied serves each connection for one request and then
// closes it without saying so: the look before reuse must notice, also for
// requests that cannot be sent twice.
func TestIdleConnectionsThatDied(t *testing.T) { eachDriver(t, testIdleConnectionsThatDied) }

func testIdleConnectionsThatDied(t *testing.T) {
	t.Parallel()
	if !atOnce {
		t.Skip("a POST may meet a connection that died a moment ago")
	}
	closed := make(chan struct{}, 1)
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		if _, _, err := c.request(); err == nil {
			c.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
		c.Close()
		closed <- struct{}{}
	})
	f := newFront(t, nil, addr)
	c := f.client()
	for i := range 40 {
		var resp *http.Response
		var err error
		if i%2 == 0 {
			resp, err = c.Get(f.url("/"))
		} else {
			resp, err = c.Post(f.url("/"), "", strings.NewReader("x"))
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("unexpected status of request %d; got %d; want 200", i, resp.StatusCode)
		}
		<-closed
	}
}

// TestSurplusBytes checks that bytes after a response are never taken for the
// next one.
func TestSurplusBytes(t *testing.T) { eachDriver(t, testSurplusBytes) }

func testSurplusBytes(t *testing.T) {
	t.Parallel()
	for _, first := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
		"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
	} {
		addr := newRawBackend(t, func(n int, c *rawConn) {
			for {
				if _, _, err := c.request(); err != nil {
					return
				}
				if n == 0 {
					c.write(first)
				} else {
					c.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
				}
			}
		})
		f := newFront(t, nil, addr)
		c := f.client()
		get(t, c, f.url("/"))
		if _, _, body := get(t, c, f.url("/")); body != "good" {
			t.Errorf("unexpected body after %q; got %q; want good", first, body)
		}
	}
}

// TestKilledBackend kills one of two backends under load: no GET may fail.
func TestKilledBackend(t *testing.T) { eachDriver(t, testKilledBackend) }

func testKilledBackend(t *testing.T) {
	t.Parallel()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "ok") })
	victim := httptest.NewServer(h)
	// There are no checks to take the victim out, so half of the requests are
	// tried again, more than a budget would allow.
	unlimited := func(c *Config) { c.Routes[0].RetryBudget = unlimitedBudget() }
	f := newFront(t, unlimited, victim.Listener.Addr().String(), newBackend(t, h))
	c := f.client()
	var wg sync.WaitGroup
	var done atomic.Int64
	kill := make(chan struct{})
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 200 {
				resp, err := c.Get(f.url("/"))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("unexpected status; got %d %s; want 200", resp.StatusCode, resp.Header.Get("X-Sluice-Reason"))
				}
				if done.Add(1) == 400 {
					close(kill)
				}
			}
		}()
	}
	<-kill
	victim.Listener.Close()
	victim.CloseClientConnections()
	wg.Wait()
	victim.Close()
}

func TestRemovedBackendIsLetGo(t *testing.T) { eachDriver(t, testRemovedBackendIsLetGo) }

func testRemovedBackendIsLetGo(t *testing.T) {
	t.Parallel()
	var open atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	closed := make(chan struct{}, 1)
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		switch st {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			if open.Add(-1) == 0 {
				closed <- struct{}{}
			}
		}
	}
	s.Start()
	defer s.Close()
	f := newFront(t, nil, s.Listener.Addr().String())
	get(t, f.client(), f.url("/"))
	f.setBackends()
	<-closed
	if status, reason, _ := get(t, f.client(), f.url("/")); status != 503 || reason != "no_backend" {
		t.Errorf("unexpected answer; got %d %s; want 503 no_backend", status, reason)
	}
}

func TestAccessLog(t *testing.T) { eachDriver(t, testAccessLog) }

func testAccessLog(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		_, _ = io.WriteString(w, "hello")
	})
	out := &syncBuffer{}
	log := accesslog.New(accesslog.Config{Sinks: []accesslog.Sink{{Out: out}}, Metrics: metrics.NewSet()})
	f := newFront(t, func(c *Config) {
		c.AccessLog = log
		c.TrustedProxies = prefixes("127.0.0.0/8")
	}, addr)
	c := f.raw()
	const trace = "0af7651916cd43dd8448eb211c80319c"
	c.write("POST /x?y HTTP/1.1\r\nHost: A.test:80\r\nX-Forwarded-For: 192.0.2.7\r\nX-Request-ID: id-1\r\n" +
		"traceparent: 00-" + trace + "-b7ad6b7169203331-01\r\nContent-Length: 3\r\n\r\nabc")
	c.response("POST")
	c.write("GET /%2e%2e HTTP/1.1\r\nHost: a\r\n\r\n")
	c.response("GET")
	f.wantMetric("sluice_l7_rejected_total", 1)
	f.setBackends(deadAddr(t))
	get(t, f.client(), f.url("/"))
	f.wantMetric("sluice_l7_requests_total", 2)
	c.Close()
	f.shutdown(patience)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := log.Close(ctx); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	for line := range strings.Lines(out.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("unexpected line %q: %v", line, err)
		}
		got = append(got, m)
	}
	if len(got) != 3 {
		t.Fatalf("unexpected number of lines; got %d; want 3: %s", len(got), out.String())
	}
	f3 := func(line int, key string, want any) {
		t.Helper()
		if got := got[line][key]; got != want {
			t.Errorf("unexpected %s of line %d; got %v; want %v", key, line, got, want)
		}
	}
	for key, want := range map[string]any{
		"level": "INFO", "msg": "request", "listener": "l7", "client": c.LocalAddr().String(), "for": "192.0.2.7", "method": "POST", "host": "A.test:80",
		"path": "/x", "status": 200.0, "in": 3.0, "out": 5.0, "service": "web", "backend": addr, "strategy": "round_robin", "request_id": "id-1",
		"trace_id": trace, "reason": nil, "retries": nil,
	} {
		f3(0, key, want)
	}
	took := func(key string) time.Duration {
		text, _ := got[0][key].(string)
		d, _ := time.ParseDuration(text)
		return d
	}
	if took("duration") < took("response")+took("connect") || took("response") <= 0 || took("connect") <= 0 {
		t.Errorf("unexpected durations: %v", got[0])
	}
	for key, want := range map[string]any{"status": 400.0, "reason": "bad_request", "service": nil, "level": "INFO"} {
		f3(1, key, want)
	}
	for key, want := range map[string]any{"status": 502.0, "reason": "connect_failed", "service": "web", "level": "WARN"} {
		f3(2, key, want)
	}
	if err, _ := got[2]["err"].(string); !strings.Contains(err, "connection refused") {
		t.Errorf("unexpected error of line 2: %q", err)
	}
}

// TestPanic has a defect answered, and nobody else hears of it.
func TestPanic(t *testing.T) { eachDriver(t, testPanic) }

func testPanic(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *Config) {
		c.Auth = new(Auth) // which is good for nothing: a defect
		c.Routes = append(c.Routes, Route{Path: "/elsewhere", Redirect: Redirect{Code: 302, To: "/"}})
	}, deadAddr(t))
	resp, _ := f.raw().do("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic eA==\r\n\r\n")
	if reason := resp.Header.Get("X-Sluice-Reason"); resp.StatusCode != 502 || reason != "internal_error" {
		t.Errorf("unexpected answer; got %d %s; want 502 internal_error", resp.StatusCode, reason)
	}
	if resp, _ := f.raw().do("GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n"); resp.StatusCode != 302 {
		t.Errorf("unexpected status after the panic; got %d; want 302", resp.StatusCode)
	}
}

// unlimitedBudget lets every retry be made.
func unlimitedBudget() *limit.Budget { return limit.NewBudget(-1, 0, time.Now()) }
