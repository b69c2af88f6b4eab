package gate

import (
	"strings"
	"testing"
	"time"

	"sluice/l7/http1"
	"sluice/pkg/tracing"
)

// FuzzJudge gives what is decided about requests any head that passes for good:
// nothing may break, and what is made of it must be good as well.
func FuzzJudge(f *testing.F) {
	f.Add("GET", "/api/x?y", "www.a.test:80", "10.0.0.2, [2001:db8::1]:80", "sid=a; b=c", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b,c@d=e", uint64(1))
	f.Add("POST", "/old//x", "a.TEST.", "1.2.3.4:5,unknown", "", "x", "", uint64(2))
	f.Add("OPTIONS", "*", "[::1]", "", ";;sid", "", "=", uint64(3))
	bal := testBalancer(f, "web")
	r, err := newRouter([]Route{
		{Path: "/", Balancer: bal},
		{Host: "*.a.test", Path: "/api/", Strip: "/api", Prepend: "/v2", ForwardHost: "b.test", Balancer: bal, Canary: Canary{Balancer: testBalancer(f, "next"), Percent: 50}},
		{Host: "a.test", Path: "/old", Strip: "/old", Redirect: Redirect{Code: 301, To: "https://$host/new$path"}},
		{Path: "/m", Methods: []string{"POST"}, Headers: []HeaderMatch{{"X-User", ""}}, Prepend: "/p", ForwardHost: "dst", Balancer: bal},
	}, func(rt *Route) *Service { return &Service{name: rt.Balancer.Pool().Service()} })
	if err != nil {
		f.Fatal(err)
	}
	trusted := prefixes("10.0.0.0/8")
	sticky := Sticky{By: StickyHeader, Name: "x-user"}
	f.Fuzz(func(t *testing.T, method, target, host, forwardedFor, cookie, parent, state string, random uint64) {
		var h, again http1.Head
		text := method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\nX-Forwarded-For: " + forwardedFor + "\r\nCookie: " + cookie +
			"\r\nForwarded: " + forwardedFor + "\r\ntraceparent: " + parent + "\r\ntracestate: " + state + "\r\nX-User: " + cookie + "\r\n\r\n"
		if r, _ := parseText(&h, text); r != 0 {
			return
		}
		peer := addrOf(random)
		o := origin{peer: peer, trusted: random%2 == 0, forwarded: random%3 == 0, trace: traceOf(h.Fields), asked: h.Host}
		o.find(h.Fields, trusted)
		o.requestID = appendUUID(nil, time.UnixMilli(int64(random>>20)), random, random)
		if !o.trace.continued {
			o.trace.begun = appendTraceparent(nil, tracing.NewTraceID(), tracing.NewSpanID(), true)
		}
		walk := cookies{fields: h.Fields, name: "sid"}
		for walk.next() != nil {
		}
		sticky.key(h.Fields, o.client)
		location := func(b []byte, err error) {
			if err == nil && (!strings.HasPrefix(string(b), "https://") || strings.ContainsFunc(string(b), func(r rune) bool { return r <= ' ' })) {
				t.Fatalf("unexpected location %q", b)
			}
		}
		var p http1.Path
		if p.Set(h.Path, &http1.PathPolicy{}) != "" {
			return
		}
		location(appendSecureLocation(nil, h.Host, p.Normal, h.Query(), int(random%65535)+1))
		rt := r.match(&h, p.Plain, false)
		if rt == nil {
			t.Fatal("the route of everything does not match")
		}
		rt.admits(o.client)
		if rt.redirect != nil {
			location(rt.appendLocation(nil, h.Host, p.Normal, h.Query()))
			return
		}
		if rt.serviceFor(random) == nil {
			t.Fatal("no service")
		}
		if o.host = rt.host; o.host == "dst" {
			o.host = "10.0.0.1:80"
		}
		out := appendRequest(nil, &h, &o, rt.appendTarget(nil, p.Forward, h.Query()), "10.0.0.1:80")
		if r, why := parseText(&again, string(out)); r != 0 {
			t.Fatalf("what is forwarded is refused: %s: %s: %q", r, why, out)
		}
		if traceOf(again.Fields).id == nil || again.Length != h.Length {
			t.Fatalf("what is forwarded lacks a trace, or has another length: %q", out)
		}
	})
}
