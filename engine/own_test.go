package engine

import (
	"net/netip"
	"strings"
	"testing"

	"sluice/pkg/config"
)

func TestIsOwn(t *testing.T) {
	t.Parallel()
	local := []netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("2001:db8::5"), netip.MustParseAddr("127.0.0.1")}
	listeners := []ownListener{
		{addr: netip.MustParseAddrPort("[::]:80")},
		{addr: netip.MustParseAddrPort("0.0.0.0:81")},
		{addr: netip.MustParseAddrPort("10.0.0.5:82")},
		{addr: netip.MustParseAddrPort("127.0.0.2:83")},
	}
	registrations := []registered{{"lb-host-443", "203.0.113.1", 443}, {"db-1", "", 5432}, {"web-1", "lb.example.com", 8443}}
	f := func(want bool, id, address string) {
		t.Helper()
		if got := isOwn(id, address, listeners, local, registrations); got != want {
			t.Errorf("unexpected result for %q at %s: %v", id, address, got)
		}
	}
	for _, own := range []string{
		"10.0.0.5:80", "127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "[2001:db8::5]:80", "[::ffff:10.0.0.5]:80", "0.0.0.0:80", "[::]:80",
		"10.0.0.5:81", "127.0.0.1:81", "10.0.0.5:82", "127.0.0.2:83", "0.0.0.0:83",
		"203.0.113.1:443", "lb.example.com:8443", "LB.Example.com.:8443",
	} {
		f(true, "node/x", own)
	}
	for _, other := range []string{
		"10.0.0.6:80", "10.0.0.5:84", "[2001:db8::5]:81", "[::1]:81", "127.0.0.1:82", "127.0.0.1:83", "10.0.0.5:83",
		"203.0.113.1:444", "203.0.113.2:443", "www.example.com:8443", "garbage", "",
	} {
		f(false, "node/x", other)
	}
	// An ID counts with its port: the address may be another name of the same.
	f(true, "node/db-1", "192.0.2.9:5432")
	f(true, "consul/node/db-1", "192.0.2.9:5432")
	f(true, "db-1", "192.0.2.9:5432")
	f(false, "node/db-1", "192.0.2.9:5433")
	f(false, "node/mydb-1", "192.0.2.9:5432")
}

func TestLoops(t *testing.T) {
	t.Parallel()
	local := []netip.Addr{netip.MustParseAddr("10.0.0.5")}
	f := func(want string, args ...string) {
		t.Helper()
		c := config.Default()
		for _, a := range args {
			flag, spec, _ := strings.Cut(a, " ")
			var err error
			switch flag {
			case "l4":
				var l config.L4
				l, err = config.ParseL4(spec)
				c.L4 = append(c.L4, l)
			case "l7":
				var l config.L7
				l, err = config.ParseL7(spec)
				c.L7 = append(c.L7, l)
			case "route":
				var r config.Route
				r, err = config.ParseRoute(spec)
				c.Routes = append(c.Routes, r)
			case "backend":
				var b config.Backend
				b, err = config.ParseBackend(spec)
				c.Backends = append(c.Backends, b)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		got := ""
		back := loops(&c, local)
		for _, b := range c.Backends {
			if back[b.Service+"="+b.Addr] {
				got += b.Service + "=" + b.Addr + " "
			}
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("unexpected loops of %q; got %q; want %q", args, got, want)
		}
	}
	f("", "l4 :80=web", "backend web=10.0.0.6:80")
	f("web=10.0.0.5:80", "l4 :80=web", "backend web=10.0.0.5:80", "backend web=10.0.0.6:80")
	f("web=localhost:80", "l4 127.0.0.1:80=web", "backend web=localhost:80")
	f("web=[::1]:80", "l7 :80", "route /=web", "backend web=[::1]:80")
	f("", "l7 :80", "route /=web", "backend web=127.0.0.1:81", "l4 :81=db", "backend db=10.0.0.6:80") // a chain
	f("a=127.0.0.1:82 b=127.0.0.1:81", "l4 :81=a", "l4 :82=b", "backend a=127.0.0.1:82", "backend b=127.0.0.1:81")
	f("b=127.0.0.1:82", "l4 :81=a", "l4 :82=b", "backend a=127.0.0.1:82", "backend b=127.0.0.1:82") // a leads into a loop, and is none
	f("", "l4 :0=a", "backend a=127.0.0.1:82")
	f("web=127.0.0.1:80", "l7 :80", "route /a=web", "route /b=api,canary=web:5", "backend web=127.0.0.1:80", "backend api=10.0.0.6:1")
	f("shadow=127.0.0.1:80", "l7 :80", "route /=web,mirror=shadow:5", "backend web=10.0.0.6:80", "backend shadow=127.0.0.1:80", "backend shadow=10.0.0.6:81")
	f("", "l7 :80", "route /=web,mirror=shadow", "backend web=10.0.0.6:80", "backend shadow=127.0.0.1:81")
}
