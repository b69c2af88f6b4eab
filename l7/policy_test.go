package l7

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/certificate"
	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/limit"
	"sluice/pkg/listen"
)

// named starts a backend that answers with its name and what it was asked.
func named(t *testing.T, name string) string {
	t.Helper()
	return newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s%s", name, r.Method, r.Host, r.RequestURI)
	})
}

// balancerOf returns a balancer of a new pool of the given backends.
func balancerOf(t *testing.T, service, strategy string, addrs ...string) *balance.Balancer {
	t.Helper()
	p := backend.NewPool(service)
	var targets []backend.Target
	for _, a := range addrs {
		targets = append(targets, backend.Target{ID: a, Address: a, Weight: 1})
	}
	p.Set(targets)
	b, err := balance.New(p, strategy)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// withPolicy gives the service of the first route a policy.
func withPolicy(t *testing.T, c *Config, p PolicyConfig) {
	t.Helper()
	p.Pool, p.Logger, p.Metrics = c.Routes[0].Balancer.Pool(), c.Logger, c.Metrics
	policy, err := NewPolicy(p)
	if err != nil {
		t.Fatal(err)
	}
	c.Routes[0].Policy = policy
}

// do sends a request on c, without waiting for anything but its answer.
func (c *rawConn) do(request string) (*http.Response, string) {
	c.t.Helper()
	method, _, _ := strings.Cut(request, " ")
	c.write(request)
	return c.response(method)
}

func TestRouteActions(t *testing.T) { eachDriver(t, testRouteActions) }

func testRouteActions(t *testing.T) {
	t.Parallel()
	addr := named(t, "web")
	other := named(t, "other")
	f := newFront(t, func(c *Config) {
		c.TrustedProxies = prefixes("127.0.0.0/8")
		web, next := c.Routes[0].Balancer, balancerOf(t, "other", "p2c", other)
		c.Routes = []Route{
			{Path: "/", Balancer: web},
			{Host: "*.test", Path: "/", Balancer: next},
			{Path: "/strip/", Strip: "/strip", Prepend: "/v2", Balancer: web},
			{Path: "/host", ForwardHost: "inner.test", Balancer: web},
			{Path: "/dst", ForwardHost: "dst", Balancer: web},
			{Path: "/m", Methods: []string{"POST", "PUT"}, Balancer: next},
			{Path: "/m", Headers: []HeaderMatch{{Name: "X-Beta", Value: "1"}}, Balancer: next},
			{Path: "/old", Redirect: Redirect{Code: 308, To: "https://$host/new$path"}},
			{Path: "/in", Allow: prefixes("10.0.0.0/8"), Deny: prefixes("10.6.6.0/24"), Balancer: web},
		}
	}, addr)
	c := f.raw()
	ask := func(request, want string) {
		t.Helper()
		line, rest, _ := strings.Cut(request, "\n")
		if resp, body := c.do(line + " HTTP/1.1\r\nHost: a.example:80\r\n" + rest + "\r\n"); body != want {
			t.Errorf("unexpected answer to %q; got %d %q; want %q", request, resp.StatusCode, body, want)
		}
	}
	ask("GET /strip/a?b=c", "web GET a.example:80/v2/a?b=c")
	ask("GET /strip/", "web GET a.example:80/v2/")
	ask("GET /host/x", "web GET inner.test/host/x")
	ask("GET /dst", "web GET "+addr+"/dst")
	ask("GET /m", "web GET a.example:80/m")
	ask("GET /m\nx-beta: 1\r\n", "other GET a.example:80/m")
	ask("POST /m\nContent-Length: 0\r\n", "other POST a.example:80/m")
	if _, body := c.do("GET /x HTTP/1.1\r\nHost: A.B.test:80\r\n\r\n"); body != "other GET A.B.test:80/x" {
		t.Errorf("unexpected answer by a wildcard: %q", body)
	}

	refused := func(request string, status int, reason, location string) {
		t.Helper()
		resp, _ := c.do(request)
		if resp.StatusCode != status || resp.Header.Get("X-Sluice-Reason") != reason || resp.Header.Get("Location") != location || resp.Close {
			t.Errorf("unexpected answer to %q; got %d %v; want %d %s %s", request, resp.StatusCode, resp.Header, status, reason, location)
		}
	}
	refused("GET /old/x?y=z HTTP/1.1\r\nHost: a.example:80\r\n\r\n", 308, "redirect", "https://a.example/new/old/x?y=z")
	refused("GET /in HTTP/1.1\r\nHost: a\r\n\r\n", 403, "forbidden", "")
	refused("GET /in HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.6.6.6\r\n\r\n", 403, "forbidden", "")
	if _, body := c.do("GET /in HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.1.1\r\n\r\n"); body != "web GET a/in" {
		t.Errorf("unexpected answer to a client that may: %q", body)
	}
	f.wantMetric(`sluice_l7_rejected_total{reason="forbidden"}`, 2)
	f.wantMetric("sluice_l7_redirects_total", 1)
	f.wantMetric(`sluice_l7_route_requests_total{route="/in",code="4xx"}`, 2)
	f.wantMetric(`sluice_l7_route_request_duration_seconds_count{route="/in"}`, 3)
	f.wantMetric(`sluice_l7_route_requests_total{route="/m",code="2xx"}`, 2)
	f.wantMetric(`sluice_l7_route_requests_total{route="*.test/",code="2xx"}`, 1)
}

// TestRefusedUpload has a request refused whose body is still on its way: the
// answer comes at once, and reaches the client although it goes on sending.
func TestRefusedUpload(t *testing.T) { eachDriver(t, testRefusedUpload) }

func testRefusedUpload(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *Config) { c.Routes[0].Deny = prefixes("127.0.0.0/8") }, named(t, "web"))
	for _, framing := range []string{"Content-Length: 1000000", "Transfer-Encoding: chunked", "Content-Length: 5", "Content-Length: 5\r\nExpect: 100-continue"} {
		c := f.raw()
		resp, _ := c.do("POST / HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n\r\n")
		if resp.StatusCode != 403 || !resp.Close {
			t.Errorf("unexpected answer to an upload with %q: %d, close %v", framing, resp.StatusCode, resp.Close)
		}
		c.Close()
	}
}

func TestHTTPSOptions(t *testing.T) { eachDriver(t, testHTTPSOptions) }

func testHTTPSOptions(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *Config) {
		c.RequireHTTPS, c.HSTS = true, 2*time.Hour
		c.TrustedProxies = prefixes("127.0.0.0/8")
	}, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/own" {
			w.Header().Set("Strict-Transport-Security", "max-age=1")
		}
	}))
	c := f.raw()
	ask := func(request string, status int, location, hsts string) {
		t.Helper()
		resp, _ := c.do(request + "\r\n")
		if got := resp.Header["Strict-Transport-Security"]; resp.StatusCode != status || resp.Header.Get("Location") != location || strings.Join(got, "|") != hsts {
			t.Errorf("unexpected answer to %q; got %d %v", request, resp.StatusCode, resp.Header)
		}
	}
	ask("GET /x?y HTTP/1.1\r\nHost: a.test:80\r\n", 301, "https://a.test/x?y", "")
	ask("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n", 308, "https://a.test/x", "")
	ask("GET /nowhere HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: http\r\n", 301, "https://a.test/nowhere", "")
	ask("GET /x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\n", 200, "", "max-age=7200")
	ask("GET /own HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\n", 200, "", "max-age=1")
	resp, _ := c.do("GET /x HTTP/1.0\r\n\r\n")
	if resp.StatusCode != 400 {
		t.Errorf("unexpected answer to a request without a host: %d", resp.StatusCode)
	}
}

// TestHTTPSItself has HTTPS end here: what depends on it needs no proxy's word.
func TestHTTPSItself(t *testing.T) { eachDriver(t, testHTTPSItself) }

func testHTTPSItself(t *testing.T) {
	t.Parallel()
	cert, key := certificatetest.NewAuthority(t).Write(t, "a.example")
	store, err := certificate.Open(slog.New(slog.DiscardHandler), certificate.Source{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	f := newFrontOn(t, listen.Config{TLS: store.Server()}, func(c *Config) {
		c.RequireHTTPS, c.HSTS, c.Forwarded = true, time.Hour, true
		withPolicy(t, c, PolicyConfig{Sticky: Sticky{By: StickyCookie, Name: "sid"}})
	}, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("Forwarded"), " ", r.Header.Get("X-Forwarded-Port"))
	}))
	c := f.client()
	c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true, ServerName: "a.example"}
	req, err := http.NewRequest("GET", "https://"+f.addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "a.example"
	req.Header.Set("X-Forwarded-Proto", "http") // of no account
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	_, port, _ := net.SplitHostPort(f.addr)
	if err != nil || string(body) != "for=127.0.0.1;host=a.example;proto=https "+port {
		t.Errorf("unexpected body: %q, %v", body, err)
	}
	if cookies := resp.Cookies(); resp.StatusCode != 200 || resp.Header.Get("Strict-Transport-Security") != "max-age=3600" || len(cookies) != 1 || !cookies[0].Secure {
		t.Errorf("unexpected answer over HTTPS: %d %v", resp.StatusCode, resp.Header)
	}
}

func TestRateLimit(t *testing.T) { eachDriver(t, testRateLimit) }

func testRateLimit(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *Config) {
		c.Rate, c.RateHeader = limit.NewRate(0.5, 3), "x-key"
		c.TrustedProxies = prefixes("127.0.0.0/8")
	}, named(t, "web"))
	c := f.raw()
	ask := func(header string, status int) {
		t.Helper()
		resp, _ := c.do("GET / HTTP/1.1\r\nHost: a\r\n" + header + "\r\n")
		if resp.StatusCode != status {
			t.Fatalf("unexpected status for %q; got %d; want %d", header, resp.StatusCode, status)
		}
		if status != 429 {
			return
		}
		wait, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil || wait < 1 || wait > 2 || resp.Header.Get("X-Sluice-Reason") != "rate_limited" || resp.Close {
			t.Fatalf("unexpected refusal: %v", resp.Header)
		}
	}
	for _, client := range []string{"", "X-Forwarded-For: 192.0.2.1\r\n", "X-Forwarded-For: 2001:db8::1\r\n", "X-Key: joe\r\n"} {
		for range 3 {
			ask(client, 200)
		}
		ask(client, 429)
	}
	ask("X-Forwarded-For: 2001:db8::2\r\n", 429) // of the same network
	ask("X-Forwarded-For: 192.0.2.9\r\nX-Key: joe\r\n", 429)
	ask("X-Forwarded-For: 192.0.2.1\r\nX-Key: jim\r\n", 200)
	f.wantMetric(`sluice_l7_rejected_total{reason="rate_limited"}`, 6)
	if n := strings.Count(f.log.String(), `reason=rate_limited setting="rate= of --l7 and --service" client=127.0.0.1`); n != 1 {
		t.Errorf("unexpected number of lines about refusals; got %d; want 1: %s", n, f.log.String())
	}
}

// TestServiceRate has the clients of one service bounded, whatever the listener,
// by a bound that changes while it is used.
func TestServiceRate(t *testing.T) { eachDriver(t, testServiceRate) }

func testServiceRate(t *testing.T) {
	t.Parallel()
	slow := func(burst float64) ClientRate { return ClientRate{PerSecond: 1e-3, Burst: burst, Header: "x-key"} }
	var first *Policy
	f := newFront(t, func(c *Config) {
		withPolicy(t, c, PolicyConfig{Rate: slow(2)})
		first = c.Routes[0].Policy
	}, named(t, "web"))
	c := f.raw()
	ask := func(key string, status int) {
		t.Helper()
		if resp, _ := c.do("GET / HTTP/1.1\r\nHost: a\r\nX-Key: " + key + "\r\n\r\n"); resp.StatusCode != status || resp.Close {
			t.Fatalf("unexpected answer for %q; got %d; want %d", key, resp.StatusCode, status)
		}
	}
	set := func(r ClientRate) {
		t.Helper()
		if err := first.Set(PolicyConfig{Pool: f.pool, Logger: f.cfg.Logger, Metrics: f.set, Rate: r}); err != nil {
			t.Fatal(err)
		}
	}
	ask("joe", 200)
	ask("joe", 200)
	ask("joe", 429)
	ask("jim", 200)
	set(slow(1)) // what was used up stays so
	ask("joe", 429)
	ask("jim", 429)
	ask("jane", 200)
	set(ClientRate{})
	ask("joe", 200)
	if _, _, rate := first.Bounds(); rate != 0 {
		t.Fatalf("unexpected bound: %v", rate)
	}
}

// gated is a backend whose requests wait for gate to be read from, and count
// themselves in.
func gated(t *testing.T, in *atomic.Int64, gate chan struct{}) string {
	t.Helper()
	return newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		in.Add(1)
		<-gate
		_, _ = io.WriteString(w, "ok")
	})
}

func TestMaxRequests(t *testing.T) { eachDriver(t, testMaxRequests) }

func testMaxRequests(t *testing.T) {
	t.Parallel()
	var in atomic.Int64
	gate := make(chan struct{})
	f := newFront(t, func(c *Config) { withPolicy(t, c, PolicyConfig{MaxRequests: 3}) }, gated(t, &in, gate))
	statuses := make(chan int, 3)
	client := f.client()
	for range 3 {
		go func() {
			resp, err := client.Get(f.url("/"))
			if err != nil {
				statuses <- 0
				return
			}
			resp.Body.Close()
			statuses <- resp.StatusCode
		}()
	}
	for in.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	c := f.raw()
	for range 5 { // at once, on a connection that lives on
		resp, _ := c.do("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
		if resp.StatusCode != 503 || resp.Header.Get("X-Sluice-Reason") != "overloaded" || resp.Header.Get("Retry-After") != "1" || resp.Close {
			t.Fatalf("unexpected answer beyond the limit: %d %v", resp.StatusCode, resp.Header)
		}
	}
	f.wantMetric(`sluice_l7_failed_total{service="web",reason="overloaded"}`, 5)
	f.wantMetric(`sluice_l7_requests_limit{service="web"}`, 3)
	if n := strings.Count(f.log.String(), `setting="max-requests= and concurrency= of --service"`); n != 1 {
		t.Errorf("unexpected number of lines about refusals; got %d; want 1: %s", n, f.log.String())
	}
	close(gate)
	for range 3 {
		if status := <-statuses; status != 200 {
			t.Errorf("unexpected status of a request within the limit: %d", status)
		}
	}
	f.wantMetric(`sluice_l7_requests{service="web"}`, 0)
	if resp, _ := c.do("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); resp.StatusCode != 200 {
		t.Errorf("unexpected status once there is room: %d", resp.StatusCode)
	}
	if n := in.Load(); n != 4 {
		t.Errorf("unexpected number of requests at the backend; got %d; want 4", n)
	}
}

// TestQueue has requests wait for a backend that may have one at a time.
func TestQueue(t *testing.T) { eachDriver(t, testQueue) }

func testQueue(t *testing.T) {
	t.Parallel()
	var in atomic.Int64
	gate := make(chan struct{})
	f := newFront(t, func(c *Config) { withPolicy(t, c, PolicyConfig{QueueTimeout: patience}) }, gated(t, &in, gate))
	f.pool.Limit(1, 2)
	await := func(waiting int) {
		t.Helper()
		for deadline := time.Now().Add(patience); f.pool.Waiting() != waiting; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("unexpected number of requests in the queue; got %d; want %d", f.pool.Waiting(), waiting)
			}
		}
	}
	first, second, third := f.raw(), f.raw(), f.raw()
	first.write("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	for in.Load() < 1 {
		time.Sleep(time.Millisecond)
	}
	second.write("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
	await(1)
	third.write("POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
	await(2)
	if resp, _ := f.raw().do("GET /4 HTTP/1.1\r\nHost: a\r\n\r\n"); resp.StatusCode != 503 || resp.Header.Get("X-Sluice-Reason") != "no_slot" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("unexpected answer with a full queue: %d %v", resp.StatusCode, resp.Header)
	}
	// One that waits and goes away makes room.
	_ = second.SetLinger(0)
	second.Close()
	await(1)
	fourth := f.raw()
	fourth.write("GET /4 HTTP/1.1\r\nHost: a\r\n\r\n")
	await(2)
	gate <- struct{}{}
	if resp, body := first.response("GET"); resp.StatusCode != 200 || body != "ok" {
		t.Errorf("unexpected answer to the first: %d %s", resp.StatusCode, body)
	}
	await(1) // the third has its turn
	third.write("0\r\n\r\n")
	gate <- struct{}{}
	if resp, body := third.response("POST"); resp.StatusCode != 200 || body != "ok" {
		t.Errorf("unexpected answer to the third: %d %s", resp.StatusCode, body)
	}
	gate <- struct{}{}
	if resp, body := fourth.response("GET"); resp.StatusCode != 200 || body != "ok" {
		t.Errorf("unexpected answer to the fourth: %d %s", resp.StatusCode, body)
	}
	f.wantMetric(`sluice_l7_failed_total{service="web",reason="no_slot"}`, 1)
	f.wantMetric(`sluice_l7_failed_total{service="web",reason="client_abort"}`, 1)
}

// TestQueueTimeout ends a wait that takes too long, and the connection lives.
func TestQueueTimeout(t *testing.T) { eachDriver(t, testQueueTimeout) }

func testQueueTimeout(t *testing.T) {
	t.Parallel()
	var in atomic.Int64
	gate := make(chan struct{})
	f := newFront(t, func(c *Config) { withPolicy(t, c, PolicyConfig{QueueTimeout: 50 * time.Millisecond}) }, gated(t, &in, gate))
	f.pool.Limit(1, 100)
	first, second := f.raw(), f.raw()
	first.write("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	for in.Load() < 1 {
		time.Sleep(time.Millisecond)
	}
	for range 2 {
		if resp, _ := second.do("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"); resp.StatusCode != 503 || resp.Header.Get("X-Sluice-Reason") != "no_slot" || resp.Close {
			t.Fatalf("unexpected answer after a long wait: %d %v", resp.StatusCode, resp.Header)
		}
	}
	close(gate)
	first.response("GET")
	if resp, _ := second.do("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"); resp.StatusCode != 200 {
		t.Fatalf("unexpected answer once there is room: %d %v", resp.StatusCode, resp.Header)
	}
	if n := f.pool.Waiting(); n != 0 {
		t.Errorf("unexpected number of requests left in the queue: %d", n)
	}
}

// TestQueueUnderLoad sends many times what a backend may have at once: all are
// served, and never more than that at once.
func TestQueueUnderLoad(t *testing.T) { eachDriver(t, testQueueUnderLoad) }

func testQueueUnderLoad(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
		now.Add(-1)
	}
	f := newFront(t, func(c *Config) { withPolicy(t, c, PolicyConfig{QueueTimeout: patience}) }, newBackend(t, handler), newBackend(t, handler))
	f.pool.Limit(2, 1000)
	var wg sync.WaitGroup
	for range 50 {
		c := f.raw()
		wg.Go(func() {
			for range 40 {
				if resp, _ := c.do("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); resp.StatusCode != 200 {
					t.Errorf("unexpected answer: %d %v", resp.StatusCode, resp.Header)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 4 {
		t.Errorf("unexpected number of requests at the backends at once; got %d; want 4 at most", n)
	}
}

func TestMaxBody(t *testing.T) { eachDriver(t, testMaxBody) }

func testMaxBody(t *testing.T) {
	t.Parallel()
	var whole atomic.Int64
	f := newFront(t, func(c *Config) { c.MaxBodyBytes = 20_000 }, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			whole.Add(1)
		}
	}))
	ask := func(head, body string, status int) {
		t.Helper()
		c := f.raw()
		defer c.Close()
		resp, _ := c.do("POST / HTTP/1.1\r\nHost: a\r\n" + head + "\r\n\r\n" + body)
		if reason := resp.Header.Get("X-Sluice-Reason"); resp.StatusCode != status || status == 413 && reason != "body_too_large" {
			t.Errorf("unexpected answer to %q and %d bytes; got %d %s; want %d", head, len(body), resp.StatusCode, reason, status)
		}
	}
	chunk := func(n int) string { return fmt.Sprintf("%x\r\n%s\r\n", n, strings.Repeat("x", n)) }
	ask("Content-Length: 20000", strings.Repeat("x", 20_000), 200)
	ask("Content-Length: 20001", "", 413)
	ask("Content-Length: 20001\r\nExpect: 100-continue", "", 413)
	ask("Transfer-Encoding: chunked", chunk(10_000)+chunk(10_000)+"0\r\n\r\n", 200)
	ask("Transfer-Encoding: chunked", chunk(10_000)+chunk(10_001), 413)
	ask("Transfer-Encoding: chunked", chunk(30_000), 413)
	if n := whole.Load(); n != 2 {
		t.Errorf("unexpected number of complete requests at the backend; got %d; want 2", n)
	}
}

// TestOverload loads a backend that can take so much with three times as much.
// With an adaptive limit its goodput stays, what is admitted is served soon,
// the rest hears of it at once, and when the load is gone everything is served.
// What the backend can take is measured first, so that a busy machine is taken
// for a slow backend.
func TestOverload(t *testing.T) { eachDriverInTurn(t, testOverload) }

func testOverload(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const workers, service = 8, 20 * time.Millisecond
	slots := make(chan struct{}, workers)
	f := newFront(t, func(c *Config) {
		withPolicy(t, c, PolicyConfig{Adaptive: true, MinRequests: 4})
	}, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		slots <- struct{}{}
		time.Sleep(service)
		<-slots
	}))
	client := f.client()
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = 1000
	var mu sync.Mutex
	var served, refused, failed int
	var slowest, slowestRefusal time.Duration
	ask := func() {
		start := time.Now()
		resp, err := client.Get(f.url("/"))
		took := time.Since(start)
		status := 0
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			status = resp.StatusCode
		}
		mu.Lock()
		defer mu.Unlock()
		switch status {
		case 200:
			served++
			slowest = max(slowest, took)
		case 503:
			refused++
			slowestRefusal = max(slowestRefusal, took)
		default:
			failed++
		}
	}
	phase := func(what string, do func(wg *sync.WaitGroup)) {
		served, refused, failed, slowest, slowestRefusal = 0, 0, 0, 0, 0
		var wg sync.WaitGroup
		do(&wg)
		wg.Wait()
		t.Logf("%s: %d served, slowest %v, %d refused, slowest %v, %d failed, limit %v", what, served, slowest, refused, slowestRefusal, failed, f.gauge("sluice_l7_requests_limit"))
	}
	run := func(what string, perSecond float64, d time.Duration) {
		phase(what, func(wg *sync.WaitGroup) {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for begun, n := time.Now(), 0; time.Since(begun) < d; <-tick.C {
				for ; n < int(time.Since(begun).Seconds()*perSecond); n++ {
					wg.Go(ask)
				}
			}
		})
	}
	const probe, long = 700 * time.Millisecond, 1500 * time.Millisecond
	phase("as many as there are workers", func(wg *sync.WaitGroup) {
		end := time.Now().Add(probe)
		for range workers {
			wg.Go(func() {
				for time.Now().Before(end) {
					ask()
				}
			})
		}
	})
	capacity := float64(served) / probe.Seconds()
	run("overload, until the limit is found", 3*capacity, time.Second)
	run("overload", 3*capacity, long)
	// Less than half of what there is would mean that the limit collapses, and
	// seconds that it does not hold.
	if got := float64(served) / long.Seconds(); got < 0.4*capacity || failed > 0 || refused == 0 {
		t.Errorf("unexpected service under overload; got %.0f/s of %.0f/s, %d refused, %d failed", got, capacity, refused, failed)
	}
	if slowest > 3*time.Second {
		t.Errorf("unexpected latency under overload; got %v", slowest)
	}
	run("after it", 0.4*capacity, 700*time.Millisecond)
	if refused > served/4 || failed > 0 {
		t.Errorf("unexpected refusals after the overload; got %d, and %d failed", refused, failed)
	}
}

func TestBreaker(t *testing.T) { eachDriver(t, testBreaker) }

func testBreaker(t *testing.T) {
	t.Parallel()
	var bad atomic.Bool
	var hits [2]atomic.Int64
	start := func(i int) string {
		return newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			hits[i].Add(1)
			if bad.Load() && (i == 0 || r.URL.Path == "/all") {
				w.WriteHeader(500)
			}
		})
	}
	const open = 200 * time.Millisecond
	f := newFront(t, func(c *Config) {
		withPolicy(t, c, PolicyConfig{Breaker: &limit.BreakerConfig{MinRequests: 10, OpenTime: open, MaxOpenTime: open, Trials: 2}})
	}, start(0), start(1))
	c := f.raw()
	ask := func(path string) (status int, reason string) {
		resp, _ := c.do("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		return resp.StatusCode, resp.Header.Get("X-Sluice-Reason")
	}
	bad.Store(true)
	failures := 0
	for range 40 {
		if status, _ := ask("/"); status == 500 {
			failures++
		}
	}
	if failures < 10 || failures > 12 {
		t.Fatalf("unexpected number of failures seen by clients; got %d; want 10 or two trials more", failures)
	}
	if n := f.gauge("sluice_l7_breaker_openings_total"); n < 1 {
		t.Fatalf("unexpected number of openings; got %v; want 1 or more", n)
	}
	if !strings.Contains(f.log.String(), "circuit breaker opened") {
		t.Error("the log does not tell of the opening")
	}

	// All are open: an answer at once, that no backend hears of.
	for {
		status, reason := ask("/all")
		if status == 503 {
			if reason != "breaker_open" {
				t.Fatalf("unexpected reason: %s", reason)
			}
			break
		}
		if hits[0].Load()+hits[1].Load() > 200 {
			t.Fatal("the breakers never open")
		}
	}

	// They recover by themselves.
	bad.Store(false)
	deadline := time.Now().Add(patience)
	for !allClosed(f) {
		if time.Now().After(deadline) {
			t.Fatal("the breakers never close")
		}
		ask("/")
		time.Sleep(open / 20)
	}
	before := [2]int64{hits[0].Load(), hits[1].Load()}
	for range 20 {
		if status, _ := ask("/"); status != 200 {
			t.Fatalf("unexpected status after recovery: %d", status)
		}
	}
	for i := range hits {
		if n := hits[i].Load() - before[i]; n != 10 {
			t.Errorf("unexpected requests of backend %d after recovery; got %d; want 10", i, n)
		}
	}
}

// allClosed reports whether the breakers of both backends are.
func allClosed(f *front) bool {
	closed := 0
	for _, b := range f.pool.Snapshot().All {
		closed += int(f.gauge(fmt.Sprintf("sluice_l7_breaker_state{service=%q,backend=%q,state=%q}", "web", b.Addr(), "closed")))
	}
	return closed == 2
}

// TestBreakerMostOpen has most backends of a pool fail: requests find those
// that do not, however unlikely the strategy picks them.
func TestBreakerMostOpen(t *testing.T) { eachDriver(t, testBreakerMostOpen) }

func testBreakerMostOpen(t *testing.T) {
	t.Parallel()
	var addrs []string
	for range 8 {
		addrs = append(addrs, newBackend(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }))
	}
	addrs = append(addrs, named(t, "good"))
	f := newFront(t, func(c *Config) {
		withPolicy(t, c, PolicyConfig{Breaker: &limit.BreakerConfig{MinRequests: 2, OpenTime: time.Hour}})
	}, addrs...)
	c := f.raw()
	failures := 0
	for range 100 {
		if resp, _ := c.do("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); resp.StatusCode == 500 {
			failures++
		} else if resp.StatusCode != 200 {
			t.Fatalf("unexpected status: %d %v", resp.StatusCode, resp.Header)
		}
	}
	if failures != 16 {
		t.Errorf("unexpected number of failures; got %d; want two of each of eight backends", failures)
	}
}

func TestStickyCookie(t *testing.T) { eachDriver(t, testStickyCookie) }

func testStickyCookie(t *testing.T) {
	t.Parallel()
	var addrs []string
	for i := range 5 {
		addrs = append(addrs, named(t, fmt.Sprintf("b%d", i)))
	}
	f := newFront(t, func(c *Config) {
		withPolicy(t, c, PolicyConfig{Sticky: Sticky{By: StickyCookie, Name: "sid", Secret: []byte("s")}})
	}, addrs[:4]...)
	c := f.raw()
	// visit asks as a client with that cookie and returns who answered and the
	// cookie to go on with.
	visit := func(cookie string) (name, next string, set bool) {
		t.Helper()
		header := ""
		if cookie != "" {
			header = "Cookie: a=b; sid=" + cookie + "\r\n"
		}
		resp, body := c.do("GET / HTTP/1.1\r\nHost: a\r\n" + header + "\r\n")
		if resp.StatusCode != 200 {
			t.Fatalf("unexpected status: %d", resp.StatusCode)
		}
		name, _, _ = strings.Cut(body, " ")
		if cookies := resp.Cookies(); len(cookies) > 0 {
			sc := cookies[0]
			if len(cookies) > 1 || !sc.HttpOnly || sc.Path != "/" || sc.SameSite != http.SameSiteLaxMode || sc.Secure || strings.Contains(sc.Value, "127.0.0.1") {
				t.Fatalf("unexpected cookie: %v", sc)
			}
			return name, sc.Value, true
		}
		return name, cookie, false
	}
	type client struct{ name, cookie string }
	var clients []client
	for range 40 {
		name, cookie, set := visit("")
		if !set {
			t.Fatal("a new client gets no cookie")
		}
		clients = append(clients, client{name, cookie})
	}
	check := func(what string, moved func(client) bool) {
		t.Helper()
		for i, x := range clients {
			name, cookie, set := visit(x.cookie)
			if m := moved(x); (name != x.name) != m || set != m {
				t.Errorf("%s: unexpected answer to client %d of %s: %s, new cookie %v", what, i, x.name, name, set)
			}
			clients[i] = client{name, cookie}
		}
	}
	stays := func(client) bool { return false }
	check("nothing has changed", stays)
	f.setBackends(addrs...)
	check("one more", stays)
	gone := clients[0].name
	var left []string
	for i, a := range addrs {
		if fmt.Sprintf("b%d", i) != gone {
			left = append(left, a)
		}
	}
	f.setBackends(left...)
	check("one less", func(x client) bool { return x.name == gone })
	check("and then", stays)
	if name, _, set := visit("127.0.0.1:80"); !set || name == "" {
		t.Error("a made up cookie is kept")
	}
}

func TestStickyHeader(t *testing.T) { eachDriver(t, testStickyHeader) }

func testStickyHeader(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *Config) {
		if err := c.Routes[0].Balancer.SetStrategy("maglev"); err != nil {
			t.Fatal(err)
		}
		withPolicy(t, c, PolicyConfig{Sticky: Sticky{By: StickyHeader, Name: "x-user"}})
	}, named(t, "a"), named(t, "b"), named(t, "c"))
	c := f.raw()
	seen := make(map[string]string)
	all := make(map[string]bool)
	for i := range 90 {
		user := strconv.Itoa(i % 30)
		_, body := c.do("GET / HTTP/1.1\r\nHost: a\r\nX-User: " + user + "\r\n\r\n")
		name, _, _ := strings.Cut(body, " ")
		if was := seen[user]; was != "" && was != name {
			t.Fatalf("user %s was led to %s and then to %s", user, was, name)
		}
		seen[user], all[name] = name, true
	}
	if len(all) != 3 {
		t.Errorf("unexpected number of backends used; got %d; want 3", len(all))
	}
}

func TestCanaryShare(t *testing.T) { eachDriver(t, testCanaryShare) }

func testCanaryShare(t *testing.T) {
	t.Parallel()
	addr, next := named(t, "stable"), named(t, "canary")
	f := newFront(t, func(c *Config) {
		c.TrustedProxies = prefixes("127.0.0.0/8")
		c.Routes[0].Canary = Canary{Balancer: balancerOf(t, "canary", "p2c", next), Percent: 20}
	}, addr)
	c := f.raw()
	led := make(map[string]string)
	count := 0
	for i := range 1000 {
		client := netip.AddrFrom4([4]byte{192, 0, byte(i % 500 >> 8), byte(i % 500)}).String()
		_, body := c.do("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: " + client + "\r\n\r\n")
		name, _, _ := strings.Cut(body, " ")
		if was := led[client]; was != "" && was != name {
			t.Fatalf("client %s was led to %s and then to %s", client, was, name)
		}
		if led[client] = name; name == "canary" {
			count++
		}
	}
	if count < 140 || count > 260 {
		t.Errorf("unexpected number of requests led to the canary; got %d of 1000; want some 200", count)
	}
	f.wantMetric(`sluice_l7_requests_total{service="canary"`, float64(count))
}

// TestSetRoutes changes routes under load, which nobody notices but those whose
// route it is.
func TestSetRoutes(t *testing.T) { eachDriver(t, testSetRoutes) }

func testSetRoutes(t *testing.T) {
	t.Parallel()
	addr, next := named(t, "old"), named(t, "new")
	f := newFront(t, nil, addr)
	old, other := f.cfg.Routes[0].Balancer, balancerOf(t, "new", "p2c", next)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		c := f.raw()
		wg.Go(func() {
			for !stop.Load() {
				if _, body := c.do("GET /stays HTTP/1.1\r\nHost: a\r\n\r\n"); body != "old GET a/stays" {
					t.Errorf("unexpected answer on a route that stays: %q", body)
					return
				}
			}
		})
	}
	c := f.raw()
	for i := range 100 {
		routes := []Route{{Path: "/", Balancer: old}}
		want := "old GET a/x"
		if i%2 == 0 {
			routes = append(routes, Route{Path: "/x", Balancer: other})
			want = "new GET a/x"
		}
		if rand.IntN(4) == 0 {
			routes = append(routes, Route{Path: fmt.Sprintf("/r%d", i), Balancer: other})
		}
		if err := f.SetRoutes(routes); err != nil {
			t.Fatal(err)
		}
		if _, body := c.do("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"); body != want {
			t.Fatalf("unexpected answer; got %q; want %q", body, want)
		}
	}
	if err := f.SetRoutes([]Route{{Path: "no"}}); err == nil {
		t.Error("unexpected approval of a bad route")
	}
	if _, body := c.do("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"); body != "old GET a/x" {
		t.Errorf("unexpected answer after a bad table: %q", body)
	}
	stop.Store(true)
	wg.Wait()
	if err := f.SetRoutes(nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "of services without a route no connection is kept", func() bool {
		return old.Pool().Snapshot().All[0].Conns.Open.Load() == 0 && other.Pool().Snapshot().All[0].Conns.Open.Load() == 0
	})
	if resp, _ := c.do("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"); resp.StatusCode != 404 {
		t.Errorf("unexpected status without routes: %d", resp.StatusCode)
	}
	if n := f.gauge("sluice_l7_route_"); n != 0 {
		t.Errorf("metrics of routes that are gone are left; they add up to %v", n)
	}
}
