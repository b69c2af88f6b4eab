package l7

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func prefixes(ss ...string) (ps []netip.Prefix) {
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// lines makes fields of "Name: value" lines, as the parser does.
func lines(t *testing.T, lines ...string) (fields []field) {
	t.Helper()
	for _, l := range lines {
		f, ok := parseField([]byte(l))
		if !ok {
			t.Fatalf("%q is not a field", l)
		}
		fields = append(fields, f)
	}
	return fields
}

func TestClientOf(t *testing.T) {
	t.Parallel()
	trusted := prefixes("10.0.0.0/8", "fd00::/8")
	f := func(peer, want string, forwardedFor ...string) {
		t.Helper()
		fs := lines(t, "Host: a.test")
		for _, v := range forwardedFor {
			fs = append(fs, lines(t, "X-Forwarded-For: "+v, "X-Forwarded-Host: 192.0.2.99")...)
		}
		if got := clientOf(fs, netip.MustParseAddr(peer), trusted); got != netip.MustParseAddr(want) {
			t.Errorf("unexpected client of a request from %s with %q; got %s; want %s", peer, forwardedFor, got, want)
		}
	}
	f("192.0.2.1", "192.0.2.1")
	f("192.0.2.1", "192.0.2.1", "198.51.100.1") // made up
	f("10.0.0.1", "10.0.0.1")
	f("10.0.0.1", "198.51.100.1", "198.51.100.1")
	f("10.0.0.1", "198.51.100.1", "192.0.2.66, 198.51.100.1")
	f("10.0.0.1", "198.51.100.1", "192.0.2.66,198.51.100.1 , 10.0.0.9,\t10.0.0.8")
	f("10.0.0.1", "198.51.100.1", "192.0.2.66", "198.51.100.1, 10.2.3.4")
	f("10.0.0.1", "198.51.100.1", "198.51.100.1", "10.2.3.4", "10.2.3.5")
	f("10.0.0.1", "10.9.9.9", "10.9.9.9, 10.2.3.4") // all are trusted: the first one
	f("10.0.0.1", "10.2.3.4", "198.51.100.1, unknown, 10.2.3.4")
	f("10.0.0.1", "10.2.3.4", "198.51.100.1,,10.2.3.4")
	f("10.0.0.1", "10.0.0.1", "_hidden")
	f("10.0.0.1", "198.51.100.1", "198.51.100.1:4711")
	f("10.0.0.1", "2001:db8::1", "2001:db8::1")
	f("10.0.0.1", "2001:db8::1", "[2001:db8::1]")
	f("10.0.0.1", "2001:db8::1", "[2001:db8::1]:80, fd00::1")
	f("10.0.0.1", "10.0.0.1", "[2001:db8::1")
	f("10.0.0.1", "10.0.0.1", "[]:80")
	f("10.0.0.1", "10.0.0.1", ":80")
	f("10.0.0.1", "10.0.0.1", "fe80::1%eth0")
	f("10.0.0.1", "10.0.0.1", strings.Repeat("1", 100))
	f("10.0.0.1", "198.51.100.1", "::ffff:198.51.100.1")
	f("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1")
	f("10.0.0.1", "10.0.0.3", "198.51.100.1"+strings.Repeat(",10.0.0.3", 1000)) // no list is walked for ever
}

func TestSecure(t *testing.T) {
	t.Parallel()
	f := func(tls, trusted, want bool, header ...string) {
		t.Helper()
		if got := secure(lines(t, header...), tls, trusted); got != want {
			t.Errorf("unexpected scheme, tls %v, trusted %v, %q; got https: %v", tls, trusted, header, got)
		}
	}
	f(true, false, true)
	f(false, false, false)
	f(false, false, false, "X-Forwarded-Proto: https")
	f(false, true, true, "X-Forwarded-Proto: HTTPS")
	f(false, true, false, "X-Forwarded-Proto: http", "X-Forwarded-Proto: https")
	f(false, true, false, "X-Forwarded-Proto: http, https")
	f(true, true, true, "X-Forwarded-Proto: http")
}

func TestAppendForwarded(t *testing.T) {
	t.Parallel()
	f := func(peer, host, proto, want string) {
		t.Helper()
		a, _ := netip.ParseAddr(peer)
		if got := string(appendForwarded([]byte("x, "), a, []byte(host), proto)); got != "x, "+want {
			t.Errorf("unexpected element; got %q; want %q", got, "x, "+want)
		}
	}
	f("192.0.2.1", "a.test", "http", "for=192.0.2.1;host=a.test;proto=http")
	f("::ffff:192.0.2.1", "a.test:8080", "https", `for=192.0.2.1;host="a.test:8080";proto=https`)
	f("2001:db8::1", "[2001:db8::2]:80", "http", `for="[2001:db8::1]";host="[2001:db8::2]:80";proto=http`)
	f("fe80::1%eth0", "", "http", `for="[fe80::1]";proto=http`)
	f("", "a", "http", "for=unknown;host=a;proto=http")
}

func TestAppendUUID(t *testing.T) {
	t.Parallel()
	f := func(ms int64, r1, r2 uint64, want string) {
		t.Helper()
		got := string(appendUUID([]byte("x"), time.UnixMilli(ms), r1, r2))
		if got != "x"+want || len(got) != 1+uuidLen || !isRequestID([]byte(got)) {
			t.Errorf("unexpected UUID; got %s; want x%s", got, want)
		}
	}
	// The example of RFC 9562, appendix A.6.
	f(0x17F22E279B0, 0xCC3, 0x18C4DC0C0C07398F<<2, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
	f(0, 0, 0, "00000000-0000-7000-8000-000000000000")
	f(1<<48-1, 1<<64-1, 1<<64-1, "ffffffff-ffff-7fff-bfff-ffffffffffff")
}

func TestTraceID(t *testing.T) {
	t.Parallel()
	const id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	f := func(s, want string) {
		t.Helper()
		if got := string(traceID([]byte(s))); got != want {
			t.Errorf("unexpected trace ID of %q; got %q; want %q", s, got, want)
		}
	}
	f("00-"+id+"-"+parent+"-01", id)
	f("00-"+id+"-"+parent+"-ff", id)
	f("01-"+id+"-"+parent+"-01", id)
	f("01-"+id+"-"+parent+"-01-more", id)
	f("cc-"+id+"-"+parent+"-01-", id)
	f("", "")
	f("00-"+id+"-"+parent, "")
	f("00-"+id+"-"+parent+"-1", "")
	f("00-"+id+"-"+parent+"-01-", "")
	f("00-"+id+"-"+parent+"-01 ", "")
	f("01-"+id+"-"+parent+"-01more", "")
	f("ff-"+id+"-"+parent+"-01", "")
	f("0x-"+id+"-"+parent+"-01", "")
	f("00-"+strings.ToUpper(id)+"-"+parent+"-01", "")
	f("00-"+id+"-"+strings.ToUpper(parent)+"-01", "")
	f("00-"+id+"-"+parent+"-0A", "")
	f("00-"+strings.Repeat("0", 32)+"-"+parent+"-01", "")
	f("00-"+id+"-"+strings.Repeat("0", 16)+"-01", "")
	f("00_"+id+"-"+parent+"-01", "")
	f("00-"+id+"_"+parent+"-01", "")
	f("00-"+id+"-"+parent+"_01", "")

	for _, sampled := range []bool{true, false} {
		b := appendTraceparent(nil, 0, 0, 0, sampled)
		if got := string(traceID(b)); got != strings.Repeat("0", 31)+"1" || strings.HasSuffix(string(b), "01") != sampled {
			t.Errorf("unexpected new traceparent %q", b)
		}
	}
	if got := string(appendTraceparent(nil, 0x0af7651916cd43dd, 0x8448eb211c80319d, 0xb7ad6b7169203331, true)); got != "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-01" {
		t.Errorf("unexpected new traceparent %q", got)
	}
}

func TestTraceState(t *testing.T) {
	t.Parallel()
	f := func(want bool, lines ...string) {
		t.Helper()
		var s traceState
		got := true
		for _, l := range lines {
			got = s.add([]byte(l)) && got
		}
		if got != want {
			t.Errorf("unexpected judgement of %q; got %v; want %v", lines, got, want)
		}
	}
	f(true, "")
	f(true, "foo=1")
	f(true, "foo=1,bar=2 , ,baz=a b")
	f(true, "foo=1", "bar=2")
	f(true, "a/b-c_d*e=x", "1t@sys=1", "t@s-1=~!")
	f(true, strings.Repeat("a=1,", 31)+"a=1")
	f(false, strings.Repeat("a=1,", 32)+"a=1")
	f(false, strings.Repeat("a=1,", 20), strings.Repeat("a=1,", 20))
	f(true, strings.Repeat("z", 256)+"="+strings.Repeat("y", 256))
	f(false, strings.Repeat("z", 257)+"=1")
	f(false, "z="+strings.Repeat("y", 257))
	f(false, "foo")
	f(false, "foo=")
	f(false, "=1")
	f(false, "Foo=1")
	f(false, "1foo=1")
	f(false, "foo =1")
	f(false, "foo=1=2")
	f(false, "foo=\x7f")
	f(false, "foo=\xc3\xa4")
	f(false, "@sys=1")
	f(false, "t@=1")
	f(false, "t@1s=1")
	f(false, "t@"+strings.Repeat("s", 15)+"=1")
	f(false, "a@b@c=1")
	f(false, strings.Repeat("a="+strings.Repeat("b", 200)+",", 21))
}
