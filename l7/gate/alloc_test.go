//go:build !race

package gate

import (
	"net/netip"
	"testing"
	"time"

	"sluice/l7/http1"
	"sluice/pkg/balance"
	"sluice/pkg/tracing"
)

// TestPolicyAllocs holds what is decided about each request to what it
// promises: no garbage.
func TestPolicyAllocs(t *testing.T) {
	f := func(what string, do func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, do); n != 0 {
			t.Errorf("unexpected allocations of %s: %v", what, n)
		}
	}
	buf := make([]byte, 0, 4096)
	h := request(t, "GET www.A.test:80/api/x?y=z", "X-Forwarded-For: 2001:db8::1, 10.0.0.2", "Cookie: a=b; sid=x", "X-User: joe", "X-Forwarded-Proto: https")
	peer, trusted := netip.MustParseAddr("10.0.0.1"), prefixes("10.0.0.0/8")
	r := newTestRouter(t, Route{Host: "*.a.test", Path: "/api", Headers: []HeaderMatch{{"X-User", "joe"}}, Strip: "/api", Prepend: "/v2"})
	rt := routeOf(r, h)
	rd := route{redirect: (&Redirect{Code: 301, To: "https://$host/x$path"}).build()}
	pool := testPool("a", "b")
	p := newPins("web", nil, Cookie{})
	pool.OnChange(p.follow)
	cookie := []byte(p.cookie("a.test:80"))
	sticky := Sticky{By: StickyHeader, Name: "x-user"}
	traceparent := []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	now := time.Now()
	f("find", func() { routeOf(r, h) })
	k := &Ticket{g: &Gate{name: ":80", cfg: Config{Recent: NewRecent()}}, start: moments{wall: now}}
	k.from.requestID = []byte("id")
	f("remember", func() { k.remember(200, time.Millisecond) })
	for _, raw := range []string{"/api/x", "/api//%78/../y%20z", "/api;v=1/%2f/x%5cy%25"} {
		raw := []byte(raw)
		forms := http1.Path{Mem: make([]byte, 0, 256)}
		f("path "+string(raw), func() {
			if forms.Set(raw, &http1.PathPolicy{}) == "" {
				l := lookup{r: r, h: h}
				if rt := l.find(forms.Plain); rt != nil && (forms.Odd == 0 || unambiguous(&forms, l, rt)) {
					choose(&forms, l, rt, PathAuto)
				}
			}
		})
	}
	o := origin{hops: make([]netip.Addr, 0, 8)}
	find := func(h *http1.Head) {
		o = origin{peer: peer, trusted: true, asked: h.Host, hops: o.hops[:0]}
		o.find(h.Fields, trusted)
		buf = o.appendOrigin(buf[:0], h, 0)
	}
	f("find", func() { find(h) })
	told := request(t, "GET a/", `Forwarded: for="[2001:db8::1]:80";host="a:1";proto=https, for=10.0.0.2`)
	f("find in Forwarded", func() { find(told) })
	f("serviceFor", func() { rt.serviceFor(1) })
	f("appendTarget", func() { buf = rt.appendTarget(buf[:0], h.Path, h.Query()) })
	f("appendLocation", func() { buf, _ = rd.appendLocation(buf[:0], h.Host, h.Path, h.Query()) })
	f("appendForwarded", func() { buf = appendForwarded(buf[:0], peer, h.Host, "https") })
	f("appendUUID", func() { buf = appendUUID(buf[:0], now, 1, 2) })
	f("traceID", func() { traceID(traceparent) })
	f("appendTraceparent", func() { buf = appendTraceparent(buf[:0], tracing.NewTraceID(), tracing.NewSpanID(), true) })
	f("traceState", func() { var s traceState; s.add([]byte("a=b,c=d")) })
	f("key", func() { sticky.key(h.Fields, peer) })
	f("cookieOf", func() { p.cookieOf(h.Fields, "sid") })
	f("pick", func() {
		b, _ := p.pick(cookie, &balance.Tried{})
		buf = p.appendSetCookie(buf[:0], "sid", b, true)
		b.Release()
	})
}

// TestHeadAllocs holds the codecs to what they promise: no garbage.
func TestHeadAllocs(t *testing.T) {
	const benchRequest = "GET /index.html HTTP/1.1\r\nHost: example.test\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n"
	const benchResponse = "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
	raw := []byte(benchRequest)
	var h http1.Head
	var r http1.Response
	o := origin{peer: netip.MustParseAddr("192.0.2.1"), requestID: []byte("id")}
	buf := make([]byte, 0, 4096)
	resp := []byte(benchResponse)
	n := testing.AllocsPerRun(100, func() {
		if reason, why := h.Parse(raw); reason != 0 {
			t.Fatalf("unexpected refusal: %s", why)
		}
		buf = appendRequest(buf[:0], &h, &o, h.Target, "")
		if err := r.Parse(resp); err != nil {
			t.Fatal(err)
		}
		buf = http1.AppendResponse(buf[:0], &r, r.Length, "")
	})
	if n != 0 {
		t.Errorf("unexpected number of allocations; got %v; want 0", n)
	}
}
