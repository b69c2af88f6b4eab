package gate

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"sluice/l7/http1"
	"sluice/pkg/balance"
)

// newTestRouter builds a router of routes whose service is called by their
// place in the list, from a.
func newTestRouter(t *testing.T, routes ...Route) *router {
	t.Helper()
	for i := range routes {
		routes[i].Balancer = testBalancer(t, string(rune('a'+i)))
	}
	r, err := newRouter(routes, plainService)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// request makes a head of a line "METHOD host/path" and header lines.
func request(t *testing.T, line string, header ...string) *http1.Head {
	t.Helper()
	method, rest, ok := strings.Cut(line, " ")
	slash := strings.IndexByte(rest, '/')
	if !ok || slash < 0 {
		t.Fatalf("%q is no request", line)
	}
	host, target := rest[:slash], rest[slash:]
	path, _, _ := strings.Cut(target, "?")
	return &http1.Head{Method: []byte(method), Host: []byte(host), Target: []byte(target), Path: []byte(path), Fields: lines(t, header...)}
}

// routeOf returns the route of a request whose path is in its plain form.
func routeOf(r *router, h *http1.Head) *route { return r.match(h, h.Path, false) }

func TestRouterHosts(t *testing.T) {
	t.Parallel()
	r := newTestRouter(t,
		Route{Host: "www.a.test", Path: "/only"}, // a
		Route{Host: "*.a.test", Path: "/"},       // b
		Route{Host: "*.b.a.test", Path: "/b"},    // c
		Route{Host: "*.test", Path: "/"},         // d
		Route{Host: "a.test", Path: "/"},         // e
		Route{Path: "/"},                         // f
		Route{Host: "[2001:db8::1]", Path: "/"},  // g
	)
	f := func(host, path, want string) {
		t.Helper()
		if got := routeOf(r, request(t, "GET "+host+path)); got == nil || got.service.name != want {
			t.Errorf("unexpected route of %s%s; got %+v; want %s", host, path, got, want)
		}
	}
	f("www.a.test", "/only", "a")
	f("WWW.A.test.:80", "/only/x", "a")
	f("www.a.test", "/", "b") // no path of the exact host
	f("x.a.test", "/", "b")
	f("x.y.a.test", "/", "b")
	f("a.test", "/", "e")
	f("x.b.a.test", "/b", "c")
	f("x.b.a.test", "/", "b")
	f("b.a.test", "/b", "b")
	f("test", "/", "f")
	f(".test", "/", "f") // something must stand for the asterisk
	f("x.test", "/", "d")
	f("*.test", "/", "d")
	f("other", "/", "f")
	f("", "/", "f")
	f("[2001:DB8::1]:80", "/", "g")
	f(strings.Repeat("a.", 125)+"test", "/", "b")
	f(strings.Repeat("a.", 126)+"test", "/", "f") // no name is that long
	f(strings.Repeat("a.", 10_000)+"test", "/", "f")
}

func TestRouterConditions(t *testing.T) {
	t.Parallel()
	r := newTestRouter(t,
		Route{Path: "/"}, // a
		Route{Path: "/x", Methods: []string{"POST", "PUT"}},                                                             // b
		Route{Path: "/x", Headers: []HeaderMatch{{"X-Version", "2"}}},                                                   // c
		Route{Path: "/x", Methods: []string{"POST"}, Headers: []HeaderMatch{{"x-version", "2"}}},                        // d
		Route{Path: "/x", Headers: []HeaderMatch{{"X-Version", "2"}, {"X-Beta", ""}}, Methods: []string{"GET", "POST"}}, // e
		Route{Path: "/y", Headers: []HeaderMatch{{"X-Beta", ""}}},                                                       // f
		Route{Path: "/y", Headers: []HeaderMatch{{"X-Gamma", ""}}},                                                      // g
	)
	f := func(want, line string, header ...string) {
		t.Helper()
		if got := routeOf(r, request(t, line, header...)); got == nil || got.service.name != want {
			t.Errorf("unexpected route of %q with %q; got %+v; want %s", line, header, got, want)
		}
	}
	f("a", "GET h/x")
	f("b", "POST h/x")
	f("b", "PUT h/x/y", "X-Version: 1")
	f("b", "post h/x")
	f("c", "GET h/x", "X_Version: 2")
	f("c", "GET h/x", "x-version: 2")
	f("c", "GET h/x", "X-Version: 1", "X-Version: 2")
	f("a", "GET h/x", "X-Version: 2, 3")
	f("d", "POST h/x", "X-Version: 2")
	f("e", "POST h/x", "X-Version: 2", "X-Beta: any")
	f("e", "GET h/x", "X-BETA:", "X-VERSION: 2")
	f("b", "PUT h/x", "X-Version: 2", "X-Beta: any") // c has as many conditions, and comes later
	f("a", "GET h/y")
	f("f", "GET h/y", "X-Gamma: 1", "X-Beta: 1") // the order decides
	f("g", "GET h/y", "X-Gamma: 1")
}

func TestRouterRefuses(t *testing.T) {
	t.Parallel()
	b := testBalancer(t, "web")
	f := func(want string, routes ...Route) {
		t.Helper()
		for i := range routes {
			if routes[i].Path == "" {
				routes[i].Path = "/"
			}
			if routes[i].Balancer == nil && routes[i].Redirect.Code == 0 {
				routes[i].Balancer = b
			}
		}
		_, err := newRouter(routes, plainService)
		if err == nil && want == "" {
			return
		}
		if err == nil || want == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("unexpected error of %+v; got %v; want %q", routes, err, want)
		}
	}
	f("", Route{Host: "*.a.test"}, Route{Host: "a.test"})
	f("there are two", Route{Methods: []string{"GET"}}, Route{Methods: []string{"GET"}})
	f("", Route{Methods: []string{"GET"}}, Route{Methods: []string{"PUT"}}, Route{})
	for _, host := range []string{"*", "*.", "**.a", "*a.test", "a.*.test", "*.a:port", "A.test", "a.test.", "*.a.test.", "a b", strings.Repeat("a", 256)} {
		f("its host", Route{Host: host})
	}
	f("is not a method", Route{Methods: []string{"GET POST"}})
	f("no request can have", Route{Headers: []HeaderMatch{{"X Y", "1"}}})
	f("no request can have", Route{Headers: []HeaderMatch{{"X", " 1"}}})
	f("no request can have", Route{Headers: []HeaderMatch{{"X", "a\nb"}}})
	f("prepended", Route{Prepend: "x"})
	f("prepended", Route{Prepend: "/x/"})
	f("prepended", Route{Prepend: "/x/../y"})
	f("prepended", Route{Prepend: "/x?y"})
	f("prepended", Route{Prepend: "/x\r\n"})
	f("host to forward", Route{ForwardHost: "a b"})
	f("", Route{ForwardHost: "dst"})
	f("canary", Route{Canary: Canary{Percent: 101}})
	f("is not the status of a redirect", Route{Redirect: Redirect{Code: 200, To: "/x"}})
	for _, to := range []string{"", "x", "//x", "/$path", "$path", "ftp://x", "https://", "https:///x", "http://$path", "https://a/$path$path", "https://a.$host/", "/a\r\nb"} {
		f("", Route{Redirect: Redirect{Code: 301, To: "/ok"}})
		f("redirect", Route{Redirect: Redirect{Code: 301, To: to}})
	}
}

func TestAdmits(t *testing.T) {
	t.Parallel()
	f := func(rt route, client string, want bool) {
		t.Helper()
		if got := rt.admits(netip.MustParseAddr(client)); got != want {
			t.Errorf("unexpected judgement of %s by %+v; got %v", client, rt, got)
		}
	}
	f(route{}, "192.0.2.1", true)
	f(route{deny: prefixes("192.0.2.0/24")}, "192.0.2.1", false)
	f(route{deny: prefixes("192.0.2.0/24")}, "::ffff:192.0.2.1", false)
	f(route{deny: prefixes("192.0.2.0/24")}, "192.0.3.1", true)
	f(route{allow: prefixes("192.0.2.0/24", "2001:db8::/32")}, "192.0.3.1", false)
	f(route{allow: prefixes("192.0.2.0/24", "2001:db8::/32")}, "2001:db8::1", true)
	f(route{allow: prefixes("192.0.2.0/24"), deny: prefixes("192.0.2.1/32")}, "192.0.2.1", false)
}

func TestAppendTarget(t *testing.T) {
	t.Parallel()
	f := func(strip, prepend, target, want string) {
		t.Helper()
		rt := route{strip: strip, prepend: prepend}
		path, _, _ := strings.Cut(target, "?")
		if got := string(rt.appendTarget([]byte("x"), []byte(path), []byte(target[len(path):]))); got != "x"+want {
			t.Errorf("unexpected target of %s, strip %q, prepend %q; got %s; want x%s", target, strip, prepend, got, want)
		}
	}
	f("", "", "/a?b", "/a?b")
	f("/a", "", "/a", "/")
	f("/a", "", "/a?b", "/?b")
	f("/a/", "", "/a/b", "/b")
	f("", "/p", "/a?b", "/p/a?b")
	f("", "/p", "/", "/p/")
	f("/a", "/p", "/a", "/p")
	f("/a", "/p", "/a?b", "/p?b")
	f("/a", "/p", "/a/b", "/p/b")
	f("/a/", "/p", "/a/b", "/p/b")
	f("/a/", "/p", "/a/", "/p")
	f("/a", "/p", "*", "*")
}

func TestAppendLocation(t *testing.T) {
	t.Parallel()
	f := func(to, strip, line, want string) {
		t.Helper()
		r := Redirect{Code: 301, To: to}
		if err := r.validate(); err != nil {
			t.Fatal(err)
		}
		rt := route{strip: strip, redirect: r.build()}
		h := request(t, line)
		got, err := rt.appendLocation([]byte("x"), h.Host, h.Path, h.Query())
		if err != nil || string(got) != "x"+want {
			t.Errorf("unexpected location for %s to %q, strip %q; got %q, %v; want x%s", line, to, strip, got, err, want)
		}
	}
	f("https://b.test/new", "", "GET a.test/old?q=1", "https://b.test/new")
	f("https://b.test$path", "", "GET a.test/old/x?q=1", "https://b.test/old/x?q=1")
	f("https://b.test/$path", "", "GET a.test/old/x?q=1", "https://b.test/old/x?q=1")
	f("https://b.test/v2$path", "", "GET a.test/old", "https://b.test/v2/old")
	f("https://b.test/v2$path", "/old", "GET a.test/old", "https://b.test/v2/")
	f("https://b.test/v2$path/end", "/old", "GET a.test/old/x?q", "https://b.test/v2/x/end?q")
	f("https://b.test$path?own=1", "", "GET a.test/old?q=1", "https://b.test/old?own=1")
	f("https://$host$path", "", "GET a.test:8080/old?q=1", "https://a.test/old?q=1")
	f("https://$host:8443/x", "", "GET A.test/old", "https://A.test:8443/x")
	f("/new$path", "", "GET a.test//evil.test", "/new//evil.test")
	f("http://[::1]:80/x", "", "GET a.test/", "http://[::1]:80/x")

	rt := route{redirect: (&Redirect{Code: 301, To: "https://$host/"}).build()}
	if _, err := rt.appendLocation(nil, nil, []byte("/x"), nil); err != errNoHost {
		t.Errorf("unexpected error without a host: %v", err)
	}

	secure := func(line string, port int, want string) {
		t.Helper()
		h := request(t, line)
		got, err := appendSecureLocation(nil, h.Host, h.Path, h.Query(), port)
		if err != nil || string(got) != want {
			t.Errorf("unexpected secure location of %s; got %q, %v; want %s", line, got, err, want)
		}
	}
	secure("GET a.test:80/x?y", 443, "https://a.test/x?y")
	secure("GET a.test/", 8443, "https://a.test:8443/")
	secure("GET [::1]:80/", 443, "https://[::1]/")
	if _, err := appendSecureLocation(nil, nil, []byte("/x"), nil, 443); err != errNoHost {
		t.Errorf("unexpected error without a host: %v", err)
	}
	if secureCode([]byte("GET")) != 301 || secureCode([]byte("POST")) != 308 {
		t.Error("unexpected status of a redirect to HTTPS")
	}
}

func TestCanary(t *testing.T) {
	t.Parallel()
	stable := &Service{name: "web"}
	led := func(name string, percent float64) map[uint64]bool {
		rt := route{service: stable, canary: newCanary(&Service{name: name}, percent)}
		keys := make(map[uint64]bool)
		for i := range uint64(20_000) {
			key := balance.HashAddr(addrOf(i))
			if rt.serviceFor(key) != stable {
				keys[key] = true
			}
			if (rt.serviceFor(key) != stable) != keys[key] {
				t.Fatal("a client is led here and there")
			}
		}
		return keys
	}
	f := func(percent float64) map[uint64]bool {
		t.Helper()
		keys := led("next", percent)
		if got := float64(len(keys)) / 200; got < percent*0.9-0.5 || got > percent*1.1+0.5 || percent == 0 && got > 0 || percent == 100 && got < 100 {
			t.Errorf("unexpected share; got %v %%; want %v %%", got, percent)
		}
		return keys
	}
	f(0)
	f(0.5)
	ten := f(10)
	fifty := f(50)
	f(100)
	for key := range ten {
		if !fifty[key] {
			t.Fatal("a client of a small share is not in a larger one")
		}
	}
	both := 0
	for key := range led("other", 10) {
		if ten[key] {
			both++
		}
	}
	if both > 300 {
		t.Errorf("two canaries have the same clients: %d of 2000", both)
	}
	if (&route{service: stable}).serviceFor(1) != stable {
		t.Error("a route without a canary leads elsewhere")
	}
}

func addrOf(i uint64) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func BenchmarkRouterFind(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var routes []Route
			bal := testBalancer(b, "web")
			for i := range n {
				routes = append(routes, Route{Host: fmt.Sprintf("h%d.example.com", i%50), Path: fmt.Sprintf("/api/v%d/things", i), Balancer: bal})
			}
			r, err := newRouter(routes, plainService)
			if err != nil {
				b.Fatal(err)
			}
			i := rand.IntN(n)
			h := &http1.Head{Method: []byte("GET"), Host: []byte(fmt.Sprintf("h%d.example.com:8080", i%50)), Path: []byte(fmt.Sprintf("/api/v%d/things/4711", i))}
			b.ReportAllocs()
			for b.Loop() {
				if routeOf(r, h) == nil {
					b.Fatal("no route")
				}
			}
		})
	}
}
