package l7

import (
	"net/netip"
	"strings"
	"testing"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
)

func testBalancer(t testing.TB, name string) *balance.Balancer {
	t.Helper()
	b, err := balance.New(backend.NewPool(name), "random")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func plainService(r *Route) *service { return &service{name: r.Balancer.Pool().Service()} }

func TestRouterMatch(t *testing.T) {
	t.Parallel()
	var routes []Route
	for _, r := range []Route{
		{Host: "a.test", Path: "/"},
		{Host: "a.test", Path: "/api"},
		{Host: "a.test", Path: "/api/v2/"},
		{Host: "b.test", Path: "/only"},
		{Host: "[::1]", Path: "/"},
		{Host: "a.test:8080", Path: "/"},
		{Host: "p.test", Path: "/"},
		{Host: "p.test:80", Path: "/"},
		{Host: "*.w.test", Path: "/"},
		{Host: "*.w.test:443", Path: "/"},
		{Host: "x.w.test", Path: "/"},
		{Path: "/api"},
		{Path: "/static/", Strip: "/static"},
		{Path: "/old", Strip: "/old"},
	} {
		r.Balancer = testBalancer(t, r.Host+r.Path)
		routes = append(routes, r)
	}
	rt, err := newRouter(routes, plainService)
	if err != nil {
		t.Fatal(err)
	}
	secure := false
	f := func(host, path, want string) {
		t.Helper()
		got := ""
		if r := rt.match(&head{host: []byte(host)}, []byte(path), secure); r != nil {
			got = r.service.name
		}
		if got != want {
			t.Errorf("unexpected route of %s%s; got %q; want %q", host, path, got, want)
		}
	}
	f("a.test", "/", "a.test/")
	f("A.Test:8081", "/x", "a.test/")
	// A port is a condition, and more specific than none.
	f("A.Test:8080", "/x", "a.test:8080/")
	f("a.test.:8080", "/api", "a.test:8080/")
	f("a.test:80801", "/x", "a.test/")
	f("a.test:0000008080", "/x", "a.test/")
	f("p.test", "/", "p.test:80/")
	f("p.test:", "/", "p.test:80/")
	f("p.test:80", "/", "p.test:80/")
	f("p.test:443", "/", "p.test/")
	f("a.test.", "/api", "a.test/api")
	f("a.test", "/api/", "a.test/api")
	f("a.test", "/api/x", "a.test/api")
	f("a.test", "/apix", "a.test/")
	f("a.test", "/api%2fx", "a.test/")
	f("a.test", "/api/v2", "a.test/api")
	f("a.test", "/api/v2/", "a.test/api/v2/")
	f("a.test", "*", "a.test/")
	f("b.test", "/only/x", "b.test/only")
	f("b.test", "/api", "/api")
	f("b.test", "/", "")
	f("c.test", "/api/x", "/api")
	f("", "/api", "/api")
	f("[::1]:80", "/", "[::1]/")
	f("c.test", "/static", "")

	strip := func(host, target, want string) {
		t.Helper()
		path, _, _ := strings.Cut(target, "?")
		if got := string(routeOf(rt, &head{host: []byte(host), path: []byte(path)}).appendTarget(nil, []byte(path), []byte(target[len(path):]))); got != want {
			t.Errorf("unexpected target forwarded for %q; got %q; want %q", target, got, want)
		}
	}
	strip("c.test", "/static/a%2Fb?c=/static", "/a%2Fb?c=/static")
	strip("c.test", "/static/", "/")
	strip("c.test", "/old", "/")
	strip("c.test", "/old?x", "/?x")
	strip("c.test", "/old/y", "/y")
	strip("c.test", "/api?x", "/api?x")
	f("y.w.test", "/", "*.w.test/")
	secure = true // what nobody names is the scheme's
	f("y.w.test", "/", "*.w.test:443/")
	f("x.w.test", "/", "x.w.test/")
	f("p.test", "/", "p.test/")
	f("p.test:80", "/", "p.test:80/")
}

func TestRouterFailure(t *testing.T) {
	t.Parallel()
	b := testBalancer(t, "web")
	f := func(routes ...Route) {
		t.Helper()
		if _, err := newRouter(routes, plainService); err == nil {
			t.Errorf("unexpected success for %v", routes)
		}
	}
	f(Route{Path: "/"})
	f(Route{Path: "", Balancer: b})
	f(Route{Path: "x", Balancer: b})
	f(Route{Path: "/a/../b", Balancer: b})
	f(Route{Path: "/a?b", Balancer: b})
	f(Route{Path: "/", Host: "A", Balancer: b})
	f(Route{Path: "/", Host: "a:0", Balancer: b})
	f(Route{Path: "/", Host: "a:080", Balancer: b})
	f(Route{Path: "/", Host: "a:", Balancer: b})
	f(Route{Path: "/", Host: ":80", Balancer: b})
	f(Route{Path: "/", Host: "a b", Balancer: b})
	f(Route{Path: "/a", Strip: "/b", Balancer: b})
	f(Route{Path: "/ab", Strip: "/a", Balancer: b})
	f(Route{Path: "/", Balancer: b}, Route{Path: "/", Balancer: b})
}

func TestRetry(t *testing.T) {
	t.Parallel()
	f := func(in failure, want verdict) {
		t.Helper()
		if got := retry(in); got != want {
			t.Errorf("unexpected verdict on %+v; got %d; want %d", in, got, want)
		}
	}
	// A failed connection is always safe to replace.
	f(failure{connects: 1}, another)
	f(failure{connects: 1, timeout: true}, another)
	f(failure{connects: balance.MaxTries - 1, replays: 1}, another)
	f(failure{connects: balance.MaxTries}, giveUp)
	f(failure{connects: balance.MaxTries, refused: true}, another)
	f(failure{refused: true, spent: true}, giveUp)
	// Nothing was written.
	f(failure{connected: true, reused: true}, anotherOrSame)
	f(failure{connected: true}, another)
	f(failure{connected: true, reused: true, replays: 1}, giveUp)
	// Something was.
	f(failure{connected: true, written: true, idempotent: true, replayable: true}, another)
	f(failure{connected: true, written: true, reused: true, idempotent: true, replayable: true}, anotherOrSame)
	f(failure{connected: true, written: true, idempotent: true}, giveUp)
	f(failure{connected: true, written: true, replayable: true}, giveUp)
	f(failure{connected: true, written: true, reused: true, replayable: true}, giveUp)
	f(failure{connected: true, written: true, idempotent: true, replayable: true, replays: 1}, giveUp)
	// An idle connection that had died is no attempt at its backend; there is one such.
	f(failure{connected: true, written: true, idempotent: true, replayable: true, replays: 1, idled: 1}, another)
	f(failure{connected: true, written: true, idempotent: true, replayable: true, replays: 2, idled: 1}, giveUp)
	f(failure{connected: true, written: true, replayable: true, replays: 1, idled: 1}, giveUp)
	// Never.
	f(failure{connected: true, written: true, answered: true, idempotent: true, replayable: true}, giveUp)
	f(failure{connected: true, written: true, timeout: true, idempotent: true, replayable: true}, giveUp)
}

func TestAppendRequest(t *testing.T) {
	t.Parallel()
	f := func(in string, trusted bool, want string) {
		t.Helper()
		var h head
		if r, why := parseText(&h, in); r != 0 {
			t.Fatalf("unexpected refusal: %s: %s", r, why)
		}
		peer := netip.MustParseAddr("192.0.2.1")
		o := origin{peer: peer, trusted: trusted, requestID: []byte("made"), trace: traceOf(h.fields), asked: h.host, port: 8080}
		o.find(h.fields, nil)
		if id := h.requestID(trusted); id != nil {
			o.requestID = id
		}
		if got := string(appendRequest(nil, &h, &o, h.target, "10.0.0.1:80")); got != want {
			t.Errorf("unexpected head for %q; got\n%s\nwant\n%s", in, got, want)
		}
	}
	const ours = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a:1\r\nX-Forwarded-Port: 8080\r\nX-Real-IP: 192.0.2.1\r\nX-Request-ID: made\r\n"
	// Order, case and duplicates stay.
	f("GET /x HTTP/1.1\r\nuser-AGENT: u\r\nHost: a:1\r\nCookie: 1\r\ncookie: 2\r\n\r\n", false,
		"GET /x HTTP/1.1\r\nuser-AGENT: u\r\nHost: a:1\r\nCookie: 1\r\ncookie: 2\r\n"+ours+"\r\n")
	// Hop-by-hop fields go, and those that Connection names; not those that matter to us.
	f("POST / HTTP/1.1\r\nHost: a:1\r\nConnection: close, X-Mine, host, Content-Length, x-forwarded-for\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"+
		"Trailer: x\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nProxy-Authenticate: x\r\nUpgrade: websocket\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", false,
		"POST / HTTP/1.1\r\nHost: a:1\r\n"+ours+"Content-Length: 3\r\nConnection: TE\r\nTE: trailers\r\n\r\n")
	// Where it comes from is not for a stranger to say, however it is spelt.
	claims := "x-forwarded-for: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Ssl: on\r\nx-forwarded-by: me\r\n" +
		"Forwarded: for=1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\nX-Request-ID: theirs\r\nX_Forwarded_For: 1.1.1.1\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n"
	f("GET / HTTP/1.1\r\nHost: a:1\r\n"+claims+"\r\n", false, "GET / HTTP/1.1\r\nHost: a:1\r\n"+ours+"\r\n")
	f("GET / HTTP/1.1\r\nHost: a:1\r\n"+claims+"\r\n", true,
		"GET / HTTP/1.1\r\nHost: a:1\r\nX-Forwarded-Ssl: on\r\nx-forwarded-by: me\r\nForwarded: for=1.1.1.1\r\n"+
			"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 2.2.2.2\r\nX-Request-ID: theirs\r\n\r\n")
	f("GET / HTTP/1.1\r\nHost: a:1\r\nX-Request-ID: a b\r\n\r\n", true, "GET / HTTP/1.1\r\nHost: a:1\r\n"+ours+"\r\n")
	// A wish to switch protocols is passed on, but for h2c.
	f("GET / HTTP/1.1\r\nHost: a:1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", false,
		"GET / HTTP/1.1\r\nHost: a:1\r\n"+ours+"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	f("GET / HTTP/1.1\r\nHost: a:1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", false,
		"GET / HTTP/1.1\r\nHost: a:1\r\n"+ours+"\r\n")
	// HTTP/1.0 becomes HTTP/1.1 with a Host.
	f("GET / HTTP/1.0\r\n\r\n", false,
		"GET / HTTP/1.1\r\nHost: 10.0.0.1:80\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 8080\r\nX-Real-IP: 192.0.2.1\r\nX-Request-ID: made\r\n\r\n")
	// A trace is continued if it is valid, and dropped if not.
	const parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
	f("GET / HTTP/1.1\r\nHost: a:1\r\nTraceState: a=1\r\n"+parent+"tracestate: b=2\r\n\r\n", false,
		"GET / HTTP/1.1\r\nHost: a:1\r\nTraceState: a=1\r\n"+parent+"tracestate: b=2\r\n"+ours+"\r\n")
	f("GET / HTTP/1.1\r\nHost: a:1\r\nConnection: traceparent\r\n"+parent+"tracestate: B=2\r\n\r\n", false, "GET / HTTP/1.1\r\nHost: a:1\r\n"+parent+ours+"\r\n")
	f("GET / HTTP/1.1\r\nHost: a:1\r\n"+parent+parent+"tracestate: b=2\r\n\r\n", true, "GET / HTTP/1.1\r\nHost: a:1\r\n"+ours+"\r\n")
	f("GET / HTTP/1.1\r\nHost: a:1\r\ntraceparent: 00-x\r\ntracestate: b=2\r\n\r\n", true, "GET / HTTP/1.1\r\nHost: a:1\r\n"+ours+"\r\n")
}

func TestAppendRequestOptions(t *testing.T) {
	t.Parallel()
	f := func(edit func(*origin), header, want string) {
		t.Helper()
		var h head
		if r, why := parseText(&h, "GET / HTTP/1.1\r\nHost: a.test\r\n"+header+"\r\n"); r != 0 {
			t.Fatalf("unexpected refusal: %s: %s", r, why)
		}
		o := origin{peer: netip.MustParseAddr("2001:db8::1"), requestID: []byte("id"), asked: h.host, port: 8080}
		edit(&o)
		o.find(h.fields, prefixes("2.0.0.0/8"))
		got := string(appendRequest(nil, &h, &o, h.target, ""))
		for line := range strings.Lines(want) {
			if !strings.Contains(got, "\r\n"+strings.TrimSuffix(line, "\n")+"\r\n") {
				t.Errorf("the head lacks %q: %s", line, got)
			}
		}
		if n := strings.Count(got, "Host: ") - strings.Count(got, "X-Forwarded-Host: "); n != 1 || strings.Count(got, "\r\nForwarded: ") > 1 {
			t.Errorf("unexpected repetitions: %s", got)
		}
	}
	f(func(o *origin) {}, "", "X-Forwarded-For: 2001:db8::1\nX-Forwarded-Port: 8080\nX-Real-IP: 2001:db8::1")
	f(func(o *origin) { o.secure = true }, "", "X-Forwarded-Proto: https\nX-Forwarded-Port: 8080")
	f(func(o *origin) { o.host = "b.test" }, "", "Host: b.test\nX-Forwarded-Host: a.test")
	f(func(o *origin) { o.forwarded = true }, "Forwarded: for=1.1.1.1\r\n", `Forwarded: for="[2001:db8::1]";host=a.test;proto=http`)
	f(func(o *origin) { o.forwarded, o.trusted = true, true }, "Forwarded: for=1.1.1.1\r\nforwarded: for=2.2.2.2\r\n",
		`Forwarded: for=1.1.1.1;host=a.test;proto=http, for=2.2.2.2, for="[2001:db8::1]"`)
	f(func(o *origin) { o.trusted = true }, "Forwarded: for=1.1.1.1\r\n", "Forwarded: for=1.1.1.1")
	f(func(o *origin) { o.trace.begun = []byte("00-x") }, "", "traceparent: 00-x")
}

func TestParseResponseSuccess(t *testing.T) {
	t.Parallel()
	f := func(in string, status int, length int64, closes bool, want string) {
		t.Helper()
		var r response
		if n := headLength([]byte(in), 0); n != len(in) {
			t.Fatalf("unexpected length of the head %q; got %d; want %d", in, n, len(in))
		}
		if err := r.parse([]byte(in)); err != nil {
			t.Fatalf("unexpected error for %q: %v", in, err)
		}
		if r.status != status || r.length != length || r.close != closes {
			t.Fatalf("unexpected response for %q; got %d, %d, %v", in, r.status, r.length, r.close)
		}
		if got := string(appendResponse(nil, &r, r.length, "")); got != want {
			t.Fatalf("unexpected head; got %q; want %q", got, want)
		}
	}
	f("HTTP/1.1 200 OK\r\nDate: d\r\nSet-Cookie: a\r\nContent-Length: 5\r\nset-cookie: b\r\n\r\n", 200, 5, false,
		"HTTP/1.1 200 OK\r\nDate: d\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 5\r\n\r\n")
	f("HTTP/1.1 299\r\nTransfer-Encoding: Chunked\r\nConnection: close, x-a\r\nX-A: b\r\nX-B: c\r\n\r\n", 299, chunked, true,
		"HTTP/1.1 299 \r\nX-B: c\r\nTransfer-Encoding: chunked\r\n\r\n")
	f("HTTP/1.0 404 Not  Found\nContent-Length : 1\nContent-Length: 1\n\n", 404, 1, true, "HTTP/1.1 404 Not  Found\r\nContent-Length: 1\r\n\r\n")
	f("HTTP/1.0 200 \r\nConnection: Keep-Alive\r\nKeep-Alive: 3\r\nUpgrade: h2\r\n\r\n", 200, noLength, false, "HTTP/1.1 200 \r\n\r\n")
}

func TestParseResponseFailure(t *testing.T) {
	t.Parallel()
	f := func(in string) {
		t.Helper()
		var r response
		if err := r.parse([]byte(in)); err == nil {
			t.Errorf("unexpected success for %q", in)
		}
	}
	for _, line := range []string{"", "HTTP/1.1", "HTTP/1.1 20", "HTTP/1.1 2000", "HTTP/1.1 099 X", "HTTP/1.1 000", "HTTP/1.1 2x0", "HTTP/2.0 200", "ICY 200 OK", "HTTP/1.1  200", "HTTP/1.1 200 a\x00"} {
		f(line + "\r\n\r\n")
	}
	for _, h := range []string{
		"X\r\n", "X y: z\r\n", " X: y\r\n", "X: a\x00\r\n", "X: a\rb\r\n", "X: y\r\n folded: z\r\n",
		"Content-Length: x\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: 1, 1\r\n",
		"Transfer-Encoding: gzip\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
	} {
		f("HTTP/1.1 200 OK\r\n" + h + "\r\n")
	}
	f("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
}
