package gate

import (
	"net/netip"
	"strings"
	"testing"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
)

func testPool(ids ...string) *backend.Pool {
	p := backend.NewPool("web")
	setMembers(p, ids...)
	return p
}

func setMembers(p *backend.Pool, ids ...string) {
	var targets []backend.Target
	for _, id := range ids {
		targets = append(targets, backend.Target{ID: id, Address: id + ".test:80", Weight: 1})
	}
	p.Set(targets)
}

func TestPins(t *testing.T) {
	t.Parallel()
	pool := testPool("a", "b", "c")
	p := newPins("web", []byte("secret"), Cookie{})
	pool.OnChange(p.follow)
	b := pool.Snapshot().All[1]
	line := string(p.appendSetCookie(nil, "sid", b, false))
	value, attributes, _ := strings.Cut(strings.TrimPrefix(line, "Set-Cookie: sid="), ";")
	if attributes != " Path=/; HttpOnly; SameSite=Lax\r\n" || len(value) != 22 || strings.Contains(line, "192.0.2.1") {
		t.Fatalf("unexpected line %q", line)
	}
	if secure := string(p.appendSetCookie(nil, "sid", b, true)); secure != strings.TrimSuffix(line, "\r\n")+"; Secure\r\n" {
		t.Fatalf("unexpected line over HTTPS: %q", secure)
	}
	f := func(what, cookie string, want *backend.Backend, wantKnown bool, tried ...*backend.Backend) {
		t.Helper()
		var tr balance.Tried
		for _, x := range tried {
			tr.Add(x)
		}
		got, known := p.pick([]byte(cookie), &tr)
		if got != want || known != wantKnown {
			t.Errorf("%s: unexpected pick; got %v, %v; want %v, %v", what, got, known, want, wantKnown)
		}
		if got != nil {
			got.Release()
		}
	}
	f("its cookie", value, b, true)
	f("no cookie", "", nil, false)
	f("an address", "192.0.2.1:80", nil, false)
	f("an ID", "b", nil, false)
	f("one that failed", value, nil, false, b)
	f("other service", newPins("other", []byte("secret"), Cookie{}).cookie("b.test:80"), nil, false)
	f("other secret", newPins("web", []byte("other"), Cookie{}).cookie("b.test:80"), nil, false)
	f("another process", newPins("web", []byte("secret"), Cookie{}).cookie("b.test:80"), b, true)

	setMembers(pool, "b", "x", "y", "z")
	f("others come and go", value, b, true)
	b.SetCondition(backend.Condition{State: backend.Down})
	f("it is down", value, nil, false)
	if line := p.appendSetCookie(nil, "sid", b, false); len(line) > 0 {
		t.Errorf("a client is asked to stay with a backend that is down: %s", line)
	}
	b.SetCondition(backend.Condition{State: backend.Up})
	f("it is up again", value, b, true)
	setMembers(pool, "x", "y", "z")
	f("it is gone", value, nil, false)
}

func TestPinsBoundLoad(t *testing.T) {
	t.Parallel()
	pool := testPool("a", "b", "c", "d")
	p := newPins("web", nil, Cookie{})
	pool.OnChange(p.follow)
	all := pool.Snapshot().All
	cookie := []byte(p.cookie("a.test:80"))
	active := func(b *backend.Backend, n int64) {
		for b.Active() < n {
			b.Acquire()
		}
		for b.Active() > n {
			b.Release()
		}
	}
	f := func(a, others int64, want bool) {
		t.Helper()
		active(all[0], a)
		for _, b := range all[1:] {
			active(b, others)
		}
		b, known := p.pick(cookie, &balance.Tried{})
		if (b != nil) != want || !known {
			t.Errorf("unexpected pick with %d and %d active; got %v, %v", a, others, b, known)
		}
	}
	f(31, 0, true)
	f(32, 0, false)
	f(59, 20, true) // half of all is twice its part
	f(61, 20, false)
	f(100, 100, true)
}

func TestStickyKey(t *testing.T) {
	t.Parallel()
	client := netip.MustParseAddr("192.0.2.1")
	f := func(s Sticky, want uint64, wantOK bool, header ...string) {
		t.Helper()
		if err := s.validate(); err != nil {
			t.Fatal(err)
		}
		if got, ok := s.key(lines(t, header...), client); got != want || ok != wantOK {
			t.Errorf("unexpected key of %+v with %q; got %x, %v; want %x, %v", s, header, got, ok, want, wantOK)
		}
	}
	f(Sticky{}, balance.HashAddr(client), true)
	f(Sticky{By: StickyClient}, balance.HashAddr(client), true)
	f(Sticky{By: StickyHeader, Name: "x-user"}, balance.HashString("joe"), true, "X-Other: 1", "X-USER: joe", "X-User: jim")
	f(Sticky{By: StickyHeader, Name: "x-user"}, 0, false, "X-Other: 1", "X-User: ")
	for _, s := range []Sticky{{By: StickyHeader}, {By: StickyHeader, Name: "X-User"}, {By: StickyCookie, Name: "a b"}, {By: StickyCookie + 1}} {
		if s.validate() == nil {
			t.Errorf("unexpected approval of %+v", s)
		}
	}
}

func TestCookies(t *testing.T) {
	t.Parallel()
	f := func(want string, header ...string) {
		t.Helper()
		var got []string
		walk := cookies{fields: lines(t, header...), name: "sid"}
		for c := walk.next(); c != nil; c = walk.next() {
			got = append(got, string(c))
		}
		if all := strings.Join(got, " "); all != want {
			t.Errorf("unexpected cookies in %q; got %q; want %q", header, all, want)
		}
	}
	f("", "X: sid=1")
	f("1", "Cookie: sid=1")
	f("1 2", "cookie: a=b; sid=1; sid=2")
	f("1 2 3", "Cookie: sid=1", "X: sid=9", "COOKIE: sid=2;sid=3")
	f("1", "Cookie: a=b", "COOKIE: sidx=9;xsid=8;\tsid=1")
	f("", "Cookie: sid; SID=1; a=sid=1")
	f("a=b", "Cookie: ;;sid=a=b")
	f("2", "Cookie: sid=; sid=2")
	f("1 2", `Cookie: sid="1"; sid="2"`)
	f(`"1 2" "`, `Cookie: sid="1; sid=2"; sid="`)
}

// TestCookieOf tries that each cookie of the name counts, not the first one
// alone: a client may have one of another path that means nobody here.
func TestCookieOf(t *testing.T) {
	t.Parallel()
	pool := testPool("a", "b")
	p := newPins("web", nil, Cookie{})
	pool.OnChange(p.follow)
	a, b := p.cookie("a.test:80"), p.cookie("b.test:80")
	f := func(want string, header ...string) {
		t.Helper()
		if got := string(p.cookieOf(lines(t, header...), "sid")); got != want {
			t.Errorf("unexpected cookie in %q; got %q; want %q", header, got, want)
		}
	}
	f(a, "Cookie: sid="+a)
	f(a, "Cookie: sid=old; sid="+a+"; sid="+b)
	f(b, "Cookie: sid=old", `Cookie: x=1; sid="`+b+`"`)
	f("", "Cookie: sid=old", "Cookie: sid=older")
}
