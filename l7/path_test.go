package l7

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestPathNormal(t *testing.T) {
	t.Parallel()
	f := func(raw, normal, plain string) {
		t.Helper()
		var p path
		if why := p.set([]byte(raw), &PathPolicy{}); why != "" {
			t.Errorf("unexpected refusal of %q: %s", raw, why)
			return
		}
		if string(p.normal) != normal || string(p.plain) != plain {
			t.Errorf("unexpected forms of %q; got %q, %q; want %q, %q", raw, p.normal, p.plain, normal, plain)
		}
	}
	same := func(raw string) {
		t.Helper()
		f(raw, raw, raw)
	}
	same("/")
	same("*")
	same("/a/b.c/d-e_f~g")
	same("/a/..b/.c/d../...")
	same("/a+b@c:d!e$f&g'h(i)j*k,l=m")
	same("/\xe9/\xff") // Latin-1
	same("/a;b=c")
	same(`/a\b`)
	// Unreserved bytes, hexadecimal digits.
	f("/%61dmin", "/admin", "/admin")
	f("/%41%2d%2E%5f%7e", "/A-._~", "/A-._~")
	f("/%c3%a4/%C3%A4", "/%C3%A4/%C3%A4", "/\u00e4/\u00e4")
	f("/a%20b%2b%40", "/a%20b%2B%40", "/a b+@")
	f("/a%2fb%2Fc", "/a%2Fb%2Fc", "/a%2Fb%2Fc")
	f("/a%5cb%3bc%3f%23", "/a%5Cb%3Bc%3F%23", `/a\b;c?#`)
	// What was encoded twice stays that.
	f("/%2561dmin", "/%2561dmin", "/%2561dmin")
	f("/%25%36%31", "/%2561", "/%2561")
	f("/%252f", "/%252f", "/%252f")
	// Empty segments.
	f("//", "/", "/")
	f("//a", "/a", "/a")
	f("/a//b///", "/a/b/", "/a/b/")
	// Dot segments (RFC 3986 5.2.4).
	f("/.", "/", "/")
	f("/./Packages", "/Packages", "/Packages")
	f("/a/./b", "/a/b", "/a/b")
	f("/a/.", "/a/", "/a/")
	f("/a/..", "/", "/")
	f("/a/b/..", "/a/", "/a/")
	f("/a/b/../", "/a/", "/a/")
	f("/a/b/c/./../../g", "/a/g", "/a/g")
	f("/a//../b", "/b", "/b") // as file systems and nginx have it
	f("/a/%2e%2E/b", "/b", "/b")
	f("/a/.%2e/b/%2e", "/b/", "/b/")
	f("/a/...", "/a/...", "/a/...")

	refused := func(raw, want string) {
		t.Helper()
		var p path
		if why := p.set([]byte(raw), &PathPolicy{}); !strings.Contains(why, want) || why == "" {
			t.Errorf("unexpected judgement of %q; got %q; want %q", raw, why, want)
		}
	}
	for _, raw := range []string{"/..", "/../a", "/a/../..", "/a/../../b", "/%2e%2e", "//..", "/./..", "/a/..//../b"} {
		refused(raw, "above its root")
	}
	for _, raw := range []string{"/%", "/a%", "/%2", "/%2/", "/%zz", "/%u002e", "/%2g", "/%g2", "/100%", "/%%61"} {
		refused(raw, "no percent-encoding")
	}
	for _, raw := range []string{"/%c0%ae%c0%ae/", "/\xc0\xaf", "/%c1%9c", "/%e0%80%af", "/%f0%80%80%af", "/%f8%80%80%80%ae", "/%C0%80"} {
		refused(raw, "overlong")
	}
	refused("/a%00", "NUL")
	refused("/%2500x%00", "NUL")
}

// TestPathStable holds that a normal form has no other, and that forms are
// the same for all spellings of a path.
func TestPathStable(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	bits := []string{"/", "/", "//", ".", "..", "/./", "/../", "%2e", "%2F", "%2f", "%5c", `\`, ";", "%3b", "%25", "%2", "a", "b", "admin", "%61", "%41", "%c3%a4", "\xc3\xa4", "%3f", "%20", "+", "%2B", "%00", "%c0%ae"}
	for range 50_000 {
		raw := "/"
		for range rnd.IntN(8) {
			raw += bits[rnd.IntN(len(bits))]
		}
		policy := PathPolicy{EncodedSlash: PathRule(rnd.IntN(3)), Backslash: PathRule(rnd.IntN(3)), AllowNUL: true}
		var p, again path
		if p.set([]byte(raw), &policy) != "" {
			continue
		}
		if why := again.set(p.normal, &policy); why != "" || !bytes.Equal(again.normal, p.normal) || !bytes.Equal(again.plain, p.plain) || again.joined {
			t.Fatalf("the normal form %q of %q has another: %q, %s", p.normal, raw, again.normal, why)
		}
		if strings.Contains(string(p.normal), "//") || !strings.HasPrefix(string(p.normal), "/") {
			t.Fatalf("unexpected normal form of %q: %q", raw, p.normal)
		}
		var other []byte // the same, spelled with an encoding for each byte
		for i := 0; i < len(raw); i++ {
			switch c := raw[i]; {
			case c == '%' && i+2 < len(raw) && isHex(raw[i+1]) && isHex(raw[i+2]):
				other = append(other, strings.ToUpper(raw[i:i+3])...)
				i += 2
			case c == '/', c == '\\':
				other = append(other, c)
			default:
				other = append(other, '%', upperHex(c>>4), upperHex(c&15))
			}
		}
		if why := again.set(other, &policy); why != "" || !bytes.Equal(again.plain, p.plain) {
			t.Fatalf("%q and %q have different plain forms: %q, %q, %s", raw, other, p.plain, again.plain, why)
		}
		for n := range len(p.plain) + 1 { // however much is stripped, what is left is the rest
			if rest := behind(p.normal, n); len(rest) == 0 != (n >= len(p.plain)) && !strings.ContainsAny(string(p.plain), "%") {
				t.Fatalf("unexpected rest of %q behind %d bytes of %q: %q", p.normal, n, p.plain, rest)
			}
		}
	}
}

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
	f := func(policy PathPolicy, line, want string) {
		t.Helper()
		h := request(t, line)
		var p path
		got := "refused"
		if p.set(h.path, &policy) == "" {
			l := lookup{r: r, h: h}
			if rt := l.find(p.plain); p.odd == 0 || p.unambiguous(l, rt) {
				got = rt.service.name
			}
		}
		if got != want {
			t.Errorf("unexpected route of %s; got %s; want %s", line, got, want)
		}
	}
	check := PathPolicy{}
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

	f(PathPolicy{EncodedSlash: PathKeep}, "GET h/admin%2fs", "a")
	f(PathPolicy{EncodedSlash: PathKeep}, "GET h/x/..%2fadmin", "a")
	f(PathPolicy{EncodedSlash: PathDecode}, "GET h/admin%2fs", "b")
	f(PathPolicy{EncodedSlash: PathDecode}, "GET h/pub%2f..%2fadmin", "b")
	f(PathPolicy{EncodedSlash: PathDecode}, "GET h/admin%252fs", "refused")
	f(PathPolicy{EncodedSlash: PathReject}, "GET h/a%2fb", "refused")
	f(PathPolicy{EncodedSlash: PathReject}, "GET h/a%5cb", "a")
	f(PathPolicy{Backslash: PathKeep}, `GET h/admin\s`, "a")
	f(PathPolicy{Backslash: PathDecode}, `GET h/admin\s`, "b")
	f(PathPolicy{Backslash: PathDecode}, `GET h/pub\..%5cadmin`, "b")
	f(PathPolicy{Backslash: PathReject}, "GET h/a%5cb", "refused")
	f(PathPolicy{Semicolon: PathKeep}, "GET h/admin;x", "a")
	f(PathPolicy{Semicolon: PathReject}, "GET h/a;b", "refused")
	f(PathPolicy{AllowNUL: true}, "GET h/a%00b", "a")
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
	f := func(policy PathPolicy, form PathForm, target, want string) {
		t.Helper()
		h := request(t, "GET h"+target)
		var p path
		if why := p.set(h.path, &policy); why != "" {
			t.Fatalf("unexpected refusal of %s: %s", target, why)
		}
		l := lookup{r: r, h: h}
		rt := l.find(p.plain)
		p.choose(l, rt, form)
		if got := string(rt.appendTarget(nil, p.forward, h.query())); got != want {
			t.Errorf("unexpected target forwarded for %s; got %s; want %s", target, got, want)
		}
	}
	none := PathPolicy{}
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
	f(PathPolicy{EncodedSlash: PathDecode}, PathRaw, "/a%2Fb", "/a/b")
	f(PathPolicy{Backslash: PathDecode}, PathAuto, `/a\b`, "/a/b")
	f(PathPolicy{Backslash: PathKeep}, PathAuto, `/a\b`, `/a\b`)
}
