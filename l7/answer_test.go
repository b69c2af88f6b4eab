package l7

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/accesslog"
	"sluice/pkg/limit"
)

// TestOwnAnswers looks at what sluice says itself: when, and why.
func TestOwnAnswers(t *testing.T) { eachDriver(t, testOwnAnswers) }

func testOwnAnswers(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *Config) {
		old := c.Routes[0]
		old.Path, old.Balancer, old.Redirect = "/old", nil, Redirect{Code: 302, To: "/new"}
		in := c.Routes[0]
		in.Path, in.Deny = "/in", prefixes("0.0.0.0/0")
		c.Routes[0].Path = "/web"
		c.Routes = append(c.Routes, old, in)
	}, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Sluice-Reason", "forged")
		w.Header().Set("x-sluice-state", "drain")
		w.Header().Set("X-Sluiced", "1")
	}))
	ask := func(target string, status int, reason string) {
		t.Helper()
		resp, _ := f.raw().do("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		at, err := http.ParseTime(resp.Header.Get("Date"))
		if resp.StatusCode != status || resp.Header.Get("X-Sluice-Reason") != reason || err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("unexpected answer for %s; got %d %v; want %d %s and the date", target, resp.StatusCode, resp.Header, status, reason)
		}
	}
	ask("/old", 302, "redirect")
	ask("/none", 404, "no_route")
	ask("/in", 403, "forbidden")
	ask("/%", 400, "bad_request")
	resp, _ := f.raw().do("GET /web HTTP/1.1\r\nHost: a\r\n\r\n")
	if h := resp.Header; resp.StatusCode != 200 || h.Get("X-Sluice-Reason") != "" || h.Get("X-Sluice-State") != "" || h.Get("X-Sluiced") != "1" {
		t.Errorf("unexpected answer of a backend: %d %v", resp.StatusCode, resp.Header)
	}
	f.wantMetric("sluice_l7_redirects_total", 1)
	f.wantMetric("sluice_l7_rejected_total", 3)
	secure := newFront(t, func(c *Config) { c.RequireHTTPS = true }, deadAddr(t))
	if resp, _ := secure.raw().do("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"); resp.Header.Get("X-Sluice-Reason") != "https_redirect" || resp.Header.Get("Date") == "" {
		t.Errorf("unexpected redirect to HTTPS: %v", resp.Header)
	}
}

// TestMalformations tries that a client and whoever reads the log are told
// which malformation it was.
func TestMalformations(t *testing.T) { eachDriver(t, testMalformations) }

func testMalformations(t *testing.T) {
	t.Parallel()
	out := &syncBuffer{}
	log := accesslog.New(accesslog.Config{Sinks: []accesslog.Sink{{Out: out}}, Metrics: metrics.NewSet()})
	addr := deadAddr(t)
	logged := newFront(t, func(c *Config) { c.AccessLog = log }, addr)
	plain := newFront(t, nil, addr)
	told := make(map[string]string)
	for text, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n":                                            "space before its colon",
		"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n":                                                "no colon",
		"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n":                                              "no name",
		"GET / HTTP/1.1\r\nHost: a\r\nX(: y\r\n\r\n":                                            "a byte that no name has",
		"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n":                                          "NUL",
		"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n":                                          "control byte",
		"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n":                                          "bare CR",
		"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n":                                       "folded",
		"GET / HTTP/1.1\r\n\r\n":                                                                "there is no Host",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n":                                          "more than one Host",
		"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n":                                               "Host is malformed",
		"GET http://a:99999/ HTTP/1.1\r\nHost: a:99999\r\n\r\n":                                 "Host is malformed",
		"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n":                                                   "Host is malformed",
		"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n":                                                 "a byte that no target has",
		"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n":                                             "not what Host says",
		"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n":                                           "authority of the target is malformed",
		"GET /.. HTTP/1.1\r\nHost: a\r\n\r\n":                                                   "above its root",
		"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n":                                                  "no percent-encoding",
		"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n":                                                  "NUL",
		"GET /a/..;/ HTTP/1.1\r\nHost: a\r\n\r\n":                                               "servers read the path differently",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n":                               "Content-Length is not a number",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": "both Content-Length and Transfer-Encoding",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n":                         "not exactly chunked",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n":                 "malformed chunk size line",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab":               "no line end after chunk data",
		"GET / HTTP/1.1\nHost: a\n\n":                                                           "does not end in CRLF",
		"G(T / HTTP/1.1\r\nHost: a\r\n\r\n":                                                     "method is not a token",
		"GET / HTTP/2.0\r\nHost: a\r\n\r\n":                                                     "only HTTP/1 is spoken here",
		"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n":                                                   "CONNECT and TRACE are not allowed",
		"trace / HTTP/1.1\r\nHost: a\r\n\r\n":                                                   "CONNECT and TRACE are not allowed",
		"POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 1\r\n\r\nx":                 "only Expect: 100-continue",
	} {
		got := exchangeText(t, logged.addr, text, false, false)
		_, body, _ := strings.Cut(got, "\r\n\r\n")
		if body = strings.TrimSpace(body); !strings.Contains(body, want) {
			t.Errorf("unexpected answer to %q; got %q; want %q", text, got, want)
		}
		told[body] = text
	}
	exchangeText(t, plain.addr, "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", false, false)
	plain.shutdown(patience)
	if text := plain.log.String(); !strings.Contains(text, "refusing malformed requests") || !strings.Contains(text, "space before its colon") {
		t.Errorf("the log does not tell of what was refused: %s", text)
	}
	logged.shutdown(patience)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := log.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		var m struct{ Reason, Detail string }
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.Reason == "" {
			t.Fatalf("unexpected line %q: %v", line, err)
		}
		delete(told, m.Detail)
	}
	if len(told) > 0 {
		t.Errorf("the access log does not tell which malformation it was: %q", told)
	}
}

// TestKeptConnections tries that a connection outlives a refusal of a request
// whose body has come, and not of one whose has not.
func TestKeptConnections(t *testing.T) { eachDriver(t, testKeptConnections) }

func testKeptConnections(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	f := newFront(t, func(c *Config) {
		in, old := c.Routes[0], c.Routes[0]
		in.Path, in.Deny = "/in", prefixes("0.0.0.0/0")
		old.Path, old.Balancer, old.Redirect = "/old", nil, Redirect{Code: 307, To: "/new"}
		c.Routes[0].Path = "/web"
		c.Routes = append(c.Routes, in, old)
		c.Rate, c.RateHeader = limit.NewRate(0.001, 1), "x-key"
	}, r.addr)
	framings := []string{
		"Content-Length: 5\r\n\r\nhello", "Content-Length: 0\r\n\r\n", te + "\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n", te + "\r\n\r\n0\r\n\r\n",
	}
	if atOnce { // else this may not have come yet
		framings = append(framings, "Content-Length: 20000\r\n\r\n"+strings.Repeat("x", 20_000), te+"\r\n\r\n4e20\r\n"+strings.Repeat("x", 20_000)+"\r\n0\r\n\r\n")
	}
	for i, framing := range framings {
		for _, ask := range []struct {
			path   string
			status int
		}{{"/none", 404}, {"/in", 403}, {"/old", 307}, {"/web", 429}} {
			c := f.raw()
			key := fmt.Sprintf("X-Key: %d%s\r\n", i, ask.path)
			if ask.status == 429 {
				c.do("GET /web HTTP/1.1\r\nHost: a\r\n" + key + "\r\n")
			}
			// The next one is on its way at once.
			c.write("POST " + ask.path + " HTTP/1.1\r\nHost: a\r\n" + key + framing + "GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
			resp, _ := c.response("POST")
			if resp.StatusCode != ask.status || resp.Close {
				t.Errorf("unexpected answer to a POST of %.30q to %s; got %d, close %v", framing, ask.path, resp.StatusCode, resp.Close)
				continue
			}
			if resp, _ := c.response("GET"); resp.StatusCode != 404 {
				t.Errorf("unexpected answer to the request behind a POST of %.30q to %s: %d", framing, ask.path, resp.StatusCode)
			}
		}
	}
	for _, framing := range []string{
		"Content-Length: 5\r\n\r\nhell", te + "\r\n\r\n5\r\nhello\r\n0\r\n", te + "\r\n\r\nx\r\n", "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 100_000),
		"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
	} {
		c := f.raw()
		c.write("POST /in HTTP/1.1\r\nHost: a\r\n" + framing)
		if resp, _ := c.response("POST"); resp.StatusCode != 403 || !resp.Close {
			t.Errorf("unexpected answer to the beginning %.30q; got %d, close %v", framing, resp.StatusCode, resp.Close)
		}
	}
	r.take()
}

// TestForeignStatuses passes on statuses that HTTP does not have; they are
// nobody's fault.
func TestForeignStatuses(t *testing.T) { eachDriver(t, testForeignStatuses) }

func testForeignStatuses(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil, newRawBackend(t, func(_ int, c *rawConn) {
		for {
			req, _, err := c.request()
			if err != nil {
				return
			}
			c.write("HTTP/1.1 " + req.URL.Path[1:] + " Odd\r\nContent-Length: 0\r\n\r\n")
		}
	}))
	c := f.raw()
	statuses := []int{600, 700, 999, 600, 999, 640}
	for _, status := range statuses {
		if resp, _ := c.do(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", status)); resp.StatusCode != status {
			t.Errorf("unexpected status; got %d; want %d", resp.StatusCode, status)
		}
	}
	f.wantMetric(`sluice_l7_requests_total{service="web",code="other"}`, float64(len(statuses)))
	f.wantMetric(`sluice_l7_route_requests_total{route="/",code="other"}`, float64(len(statuses)))
	f.wantMetric(`sluice_l7_requests_total{service="web",code="5xx"}`, 0)
}

// TestBreakerRetryAfter asks clients to wait no shorter than the breaker is
// open.
func TestBreakerRetryAfter(t *testing.T) { eachDriver(t, testBreakerRetryAfter) }

func testBreakerRetryAfter(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *Config) {
		withPolicy(t, c, PolicyConfig{Breaker: &limit.BreakerConfig{MinRequests: 2, OpenTime: 20 * time.Minute}})
	}, newBackend(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }))
	c := f.raw()
	for range 1000 {
		resp, _ := c.do("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp.Header.Get("X-Sluice-Reason") != "breaker_open" {
			continue
		}
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || n > 20*60 || n < 10*60 {
			t.Errorf("unexpected Retry-After of a breaker that is open for 20 minutes: %v", resp.Header)
		}
		return
	}
	t.Error("the breaker never opens")
}

// TestUpgradeRequired passes on which protocols a 426 asks for, and nothing that
// is none.
func TestUpgradeRequired(t *testing.T) { eachDriver(t, testUpgradeRequired) }

func testUpgradeRequired(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 1)
	f := newFront(t, nil, newRawBackend(t, func(_ int, c *rawConn) {
		for {
			req, _, err := c.request()
			if err != nil {
				return
			}
			seen <- strings.Join(append(req.Header["Connection"], req.Header["Upgrade"]...), "|")
			c.write("HTTP/1.1 " + req.Header.Get("X-Status") + " X\r\nUpgrade: " + req.Header.Get("X-Upgrade") + "\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n")
		}
	}))
	ask := func(status int, upgrade, want string) {
		t.Helper()
		resp, _ := f.raw().do(fmt.Sprintf("GET / HTTP/1.1\r\nHost: a\r\nX-Status: %d\r\nX-Upgrade: %s\r\n\r\n", status, upgrade))
		if got := resp.Header.Get("Upgrade"); got != want || (resp.Header.Get("Connection") == "Upgrade") != (want != "") {
			t.Errorf("unexpected answer with %d and %q; got %v; want %q", status, upgrade, resp.Header, want)
		}
		<-seen
	}
	ask(426, "TLS/1.2, HTTP/2.0", "TLS/1.2, HTTP/2.0")
	ask(426, "websocket", "websocket")
	ask(426, "web\xe9", "")
	ask(426, "", "")
	ask(426, "a b", "")
	ask(200, "h2,h2c", "")
	forwards := func(upgrade, want string) {
		t.Helper()
		f.raw().do("GET / HTTP/1.1\r\nHost: a\r\nX-Status: 200\r\nConnection: Upgrade\r\nUpgrade: " + upgrade + "\r\n\r\n")
		if got := <-seen; got != want {
			t.Errorf("unexpected upgrade forwarded for %q; got %q; want %q", upgrade, got, want)
		}
	}
	forwards("websocket", "Upgrade|websocket")
	forwards("TLS/1.2, x", "Upgrade|TLS/1.2, x")
	for _, bad := range []string{"web\xffsocket", "\xe9", "a b", "a/", "/b", "a/b/c", "a,,b", "websocket, h2c"} {
		forwards(bad, "")
	}
}

// TestTrailerNegotiation passes on that a client takes trailers, those that say
// a body's digest, and announces none that are dropped.
func TestTrailerNegotiation(t *testing.T) { eachDriver(t, testTrailerNegotiation) }

func testTrailerNegotiation(t *testing.T) {
	t.Parallel()
	type message struct{ te, connection, announced, trailer string }
	seen := make(chan message, 1)
	f := newFront(t, nil, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		var announced []string
		for name := range r.Trailer {
			announced = append(announced, name)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		seen <- message{r.Header.Get("TE"), r.Header.Get("Connection"), strings.Join(announced, ","), r.Trailer.Get("Content-Digest")}
		w.Header().Set("Trailer", "Content-Digest, Set-Cookie, X-Sum")
		_, _ = io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		w.Header().Set("Content-Digest", "sha-256=:x:")
		w.Header().Set("X-Sum", "1")
	}))
	ask := func(header, te string) *http.Response {
		t.Helper()
		resp, _ := f.raw().do("POST / HTTP/1.1\r\nHost: a\r\nTrailer: Authorization, Content-Digest\r\n" + header + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nContent-Digest: sha-256=:y:\r\n\r\n")
		connection := ""
		if te != "" {
			connection = "TE"
		}
		if got := <-seen; got.te != te || got.connection != connection || got.announced != "Content-Digest" || got.trailer != "sha-256=:y:" {
			t.Errorf("unexpected request with %q; got %+v; want TE %q", header, got, te)
		}
		return resp
	}
	resp := ask("TE: trailers\r\nConnection: TE\r\n", "trailers")
	if got := fmt.Sprint(resp.Trailer); got != "map[Content-Digest:[sha-256=:x:] X-Sum:[1]]" {
		t.Errorf("unexpected trailers: %s", got)
	}
	ask("te: gzip;q=0.5, Trailers;q=1\r\n", "trailers")
	ask("TE: gzip\r\n", "")
	ask("", "")
}
