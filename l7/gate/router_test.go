package gate

import (
	"strings"
	"testing"

	"sluice/l7/http1"
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

func plainService(r *Route) *Service { return &Service{name: r.Balancer.Pool().Service()} }

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
		if r := rt.match(&http1.Head{Host: []byte(host)}, []byte(path), secure); r != nil {
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
		if got := string(routeOf(rt, &http1.Head{Host: []byte(host), Path: []byte(path)}).appendTarget(nil, []byte(path), []byte(target[len(path):]))); got != want {
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
