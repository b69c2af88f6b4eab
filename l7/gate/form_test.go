package gate

import (
	"strings"
	"testing"

	"sluice/l7/http1"
)

// TestPathReadings tries spellings against routes: which one counts, or that
// the request is refused.
func TestPathReadings(t *testing.T) {
	t.Parallel()
	r := newTestRouter(t,
		Route{Path: "/"},                            // a
		Route{Path: "/admin"},                       // b
		Route{Path: "/pub"},                         // c
		Route{Path: "/pub/private/"},                // d
		Route{Path: "/%40x/y"},                      // e, spelled otherwise
		Route{Path: "/admin/z", Host: "other.test"}, // f
		Route{Path: "/", Host: "other.test"},        // g
	)
	f := func(policy http1.PathPolicy, line, want string) {
		t.Helper()
		h := request(t, line)
		var p http1.Path
		got := "refused"
		if p.Set(h.Path, &policy) == "" {
			l := lookup{r: r, h: h}
			if rt := l.find(p.Plain); p.Odd == 0 || unambiguous(&p, l, rt) {
				got = rt.service.name
			}
		}
		if got != want {
			t.Errorf("unexpected route of %s; got %s; want %s", line, got, want)
		}
	}
	check := http1.PathPolicy{}
	for _, path := range []string{"/admin", "/admin/", "/admin/s", "/%61dmin/s", "/%61%64%6D%69%6e", "//admin", "/./admin/s", "/x/../admin", "/pub/%2e%2e/admin", "/pub/..//admin/s", "/admin//s", "/admin/x/../s", "/%2e/admin", "/x/.%2e//admin/%73"} {
		f(check, "GET h"+path, "b")
	}
	for _, path := range []string{
		"/admin%2f", "/admin%2Fs", "/x%2f..%2fadmin", "/x/..%2fadmin", `/admin\s`, "/admin%5cs", `/x\..\admin`, `/x%5c..%5cadmin`, "/admin;x", "/admin;x=y/s", "/;/admin", "/;a=b/admin/s", "/x/..;/admin",
		"/%3b/admin", "/admin%3bx", "/admin%3f", "/admin%23x", "/%252e%252e/admin", "/%2561dmin", "/%25252e/x", "/admin%252fs", "/x%252f..%252fadmin", "/pub;x/../..;/admin", "/admin%2f..%2fx",
		`/pub%2f\private/x`, "/pub/private%2f", "/pub;/private/x", "/pub%2fprivate%2f", "/pub%2Fpublic", "/a%2f.", "/%2f.%2e%2f", "/.;/x", "/%2e;/x", "/..;/",
		`/\x/admin`, `/\x\admin/s`, `/\x;y/%61dmin`,
	} {
		f(check, "GET h"+path, "refused")
	}
	for _, path := range []string{"/api/group%2Fproject", "/api/queues/%2f/x", "/x;jsessionid=1", "/a;b/c;d/e", "/DOMAIN%5Cuser", `/a\b`, "/100%25", "/a%2520b", "/what%3F", "/c%23", "/a%2fb%5cc;d%3f%25"} {
		f(check, "GET h"+path, "a")
	}
	f(check, "GET h/pub/x%2Fy", "c")
	f(check, "GET h/pub/private/x%2Fy", "d")
	f(check, "GET h/@x/y", "e")
	f(check, "GET h/%40x/y", "e")
	// The cut of a parameter may reach over what another server takes for a slash.
	f(check, "GET other.test/admin;x%2Fq/z", "refused")
	f(check, "GET h/"+strings.Repeat("a;%2F%5C%3F%25", 1000), "refused") // too long to be read so often
	f(check, "GET h/"+strings.Repeat("a;", 4000), "a")

	f(http1.PathPolicy{EncodedSlash: http1.PathKeep}, "GET h/admin%2fs", "a")
	f(http1.PathPolicy{EncodedSlash: http1.PathKeep}, "GET h/x/..%2fadmin", "a")
	f(http1.PathPolicy{EncodedSlash: http1.PathDecode}, "GET h/admin%2fs", "b")
	f(http1.PathPolicy{EncodedSlash: http1.PathDecode}, "GET h/pub%2f..%2fadmin", "b")
	f(http1.PathPolicy{EncodedSlash: http1.PathDecode}, "GET h/admin%252fs", "refused")
	f(http1.PathPolicy{EncodedSlash: http1.PathReject}, "GET h/a%2fb", "refused")
	f(http1.PathPolicy{EncodedSlash: http1.PathReject}, "GET h/a%5cb", "a")
	f(http1.PathPolicy{Backslash: http1.PathKeep}, `GET h/admin\s`, "a")
	f(http1.PathPolicy{Backslash: http1.PathDecode}, `GET h/admin\s`, "b")
	f(http1.PathPolicy{Backslash: http1.PathDecode}, `GET h/pub\..%5cadmin`, "b")
	f(http1.PathPolicy{Backslash: http1.PathReject}, "GET h/a%5cb", "refused")
	f(http1.PathPolicy{Semicolon: http1.PathKeep}, "GET h/admin;x", "a")
	f(http1.PathPolicy{Semicolon: http1.PathReject}, "GET h/a;b", "refused")
	f(http1.PathPolicy{AllowNUL: true}, "GET h/a%00b", "a")
}

// TestPathForward tries in which form a path is forwarded, and what is taken
// off it.
func TestPathForward(t *testing.T) {
	t.Parallel()
	r := newTestRouter(t,
		Route{Path: "/"},                   // a
		Route{Path: "/pub", Strip: "/pub"}, // b
		Route{Path: "/get", Methods: []string{"GET"}, Strip: "/get"}, // c
		Route{Path: "/raw", Methods: []string{"GET"}, Form: PathRaw}, // d
		Route{Path: "/norm", Form: PathNormalized, Prepend: "/p"},    // e
		Route{Path: "/caf%C3%A9", Strip: "/caf\xc3\xa9", Host: "h"},  // f
	)
	f := func(policy http1.PathPolicy, form PathForm, target, want string) {
		t.Helper()
		h := request(t, "GET h"+target)
		var p http1.Path
		if why := p.Set(h.Path, &policy); why != "" {
			t.Fatalf("unexpected refusal of %s: %s", target, why)
		}
		l := lookup{r: r, h: h}
		rt := l.find(p.Plain)
		choose(&p, l, rt, form)
		if got := string(rt.appendTarget(nil, p.Forward, h.Query())); got != want {
			t.Errorf("unexpected target forwarded for %s; got %s; want %s", target, got, want)
		}
	}
	none := http1.PathPolicy{}
	f(none, PathAuto, "/x%2a//y%7e?q=//..", "/x%2a//y%7e?q=//..")
	f(none, PathNormalized, "/x%2a//y%7e?q=//..", "/x%2A/y~?q=//..")
	f(none, PathAuto, "/./x?./", "/x?./")
	f(none, PathRaw, "/a/../x", "/x")
	f(none, PathAuto, "/pub//x%7e", "//x%7e")
	f(none, PathAuto, "/%70ub//x%7e", "/x~")
	f(none, PathAuto, "//pub?x", "/?x")
	f(none, PathAuto, "/pub%3F/x", "/pub%3F/x")
	// What parses URLs takes x for a host.
	f(none, PathAuto, "//x/y", "//x/y")
	f(none, PathAuto, "//x/get/y?z", "/x/get/y?z")
	f(none, PathRaw, "//x//g%65t", "/x/get")
	f(none, PathAuto, "//x;/get", "/x;/get")
	f(none, PathAuto, "///get/x", "/x")
	f(none, PathAuto, "/get//x%7e", "/x~")
	f(none, PathRaw, "/get//x%7e", "//x%7e")
	f(none, PathAuto, "/raw//x%7e", "/raw//x%7e")
	f(none, PathNormalized, "/raw//x%7e", "/raw//x%7e")
	f(none, PathAuto, "/raw/./x%7e", "/raw/x~")
	f(none, PathAuto, "/r%61w//x", "/raw/x")
	f(none, PathRaw, "/norm//x?y", "/p/norm/x?y")
	f(none, PathAuto, "/caf%c3%a9/%7e?x", "/~?x")
	f(none, PathAuto, "/caf\xc3\xa9//%7e?x", "//%7e?x")
	f(http1.PathPolicy{EncodedSlash: http1.PathDecode}, PathRaw, "/a%2Fb", "/a/b")
	f(http1.PathPolicy{Backslash: http1.PathDecode}, PathAuto, `/a\b`, "/a/b")
	f(http1.PathPolicy{Backslash: http1.PathKeep}, PathAuto, `/a\b`, `/a\b`)
}
