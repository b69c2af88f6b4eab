package gate

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sluice/l7/http1"
	"sluice/pkg/tracing"
)

func prefixes(ss ...string) (ps []netip.Prefix) {
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// lines makes fields of "Name: value" lines, as the parser does.
func lines(t *testing.T, lines ...string) (fields []http1.Field) {
	t.Helper()
	for _, l := range lines {
		f, ok := http1.ParseField([]byte(l))
		if !ok {
			t.Fatalf("%q is not a field", l)
		}
		fields = append(fields, f)
	}
	return fields
}

func TestFindClient(t *testing.T) {
	t.Parallel()
	trusted := prefixes("10.0.0.0/8", "fd00::/8")
	f := func(peer, want string, header ...string) {
		t.Helper()
		o := origin{peer: netip.MustParseAddr(peer)}
		o.trusted = contains(trusted, o.peer)
		o.find(lines(t, append([]string{"Host: a.test", "X-Forwarded-Host: 192.0.2.99"}, header...)...), trusted)
		if o.client != netip.MustParseAddr(want) {
			t.Errorf("unexpected client of a request from %s with %q; got %s; want %s", peer, header, o.client, want)
		}
	}
	list := func(peer, want string, values ...string) {
		t.Helper()
		var header []string
		for _, v := range values {
			header = append(header, "X-Forwarded-For: "+v)
		}
		f(peer, want, header...)
	}
	list("192.0.2.1", "192.0.2.1")
	list("192.0.2.1", "192.0.2.1", "198.51.100.1") // made up
	list("10.0.0.1", "10.0.0.1")
	list("10.0.0.1", "198.51.100.1", "198.51.100.1")
	list("10.0.0.1", "198.51.100.1", "192.0.2.66, 198.51.100.1")
	list("10.0.0.1", "198.51.100.1", "192.0.2.66,198.51.100.1 , 10.0.0.9,\t10.0.0.8")
	list("10.0.0.1", "198.51.100.1", "192.0.2.66", "198.51.100.1, 10.2.3.4")
	list("10.0.0.1", "198.51.100.1", "198.51.100.1", "10.2.3.4", "10.2.3.5")
	list("10.0.0.1", "10.9.9.9", "10.9.9.9, 10.2.3.4") // all are trusted: the first one
	list("10.0.0.1", "10.2.3.4", "198.51.100.1, unknown, 10.2.3.4")
	list("10.0.0.1", "10.2.3.4", "198.51.100.1,,10.2.3.4")
	list("10.0.0.1", "10.0.0.1", "_hidden")
	list("10.0.0.1", "198.51.100.1", "198.51.100.1:4711")
	list("10.0.0.1", "2001:db8::1", "2001:db8::1")
	list("10.0.0.1", "2001:db8::1", "[2001:db8::1]")
	list("10.0.0.1", "2001:db8::1", "[2001:db8::1]:80, fd00::1")
	list("10.0.0.1", "10.0.0.1", "[2001:db8::1")
	list("10.0.0.1", "10.0.0.1", "[]:80")
	list("10.0.0.1", "10.0.0.1", ":80")
	list("10.0.0.1", "10.0.0.1", "fe80::1%eth0")
	list("10.0.0.1", "10.0.0.1", strings.Repeat("1", 100))
	list("10.0.0.1", "198.51.100.1", "::ffff:198.51.100.1")
	list("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1")
	list("10.0.0.1", "10.0.0.3", "198.51.100.1"+strings.Repeat(",10.0.0.3", 1000)) // no list is walked for ever
	// Other words, if there is no X-Forwarded-For.
	f("10.0.0.1", "198.51.100.1", "Forwarded: for=192.0.2.66, for=198.51.100.1, for=10.0.0.9")
	f("10.0.0.1", "2001:db8::1", `Forwarded: For="[2001:db8::1]:4711";proto=https`, "forwarded: by=x;for=10.0.0.9")
	f("10.0.0.1", "10.0.0.9", "Forwarded: for=198.51.100.1, for=unknown, for=10.0.0.9")
	f("10.0.0.1", "10.0.0.1", `Forwarded: for="198.51.100.1`)
	f("10.0.0.1", "10.0.0.1", "Forwarded: for=198.51.100.1 x")
	f("10.0.0.1", "10.0.0.1", "Forwarded: proto=https")
	f("10.0.0.1", "10.0.0.1", "Forwarded: "+strings.Repeat("for=10.0.0.2,", 33)+"for=10.0.0.2")
	f("192.0.2.1", "192.0.2.1", "Forwarded: for=198.51.100.1", "X-Real-IP: 198.51.100.1")
	f("10.0.0.1", "198.51.100.2", "Forwarded: for=198.51.100.1", "X-Forwarded-For: 198.51.100.2")
	f("10.0.0.1", "10.0.0.1", "Forwarded: for=198.51.100.1", "X-Forwarded-For: unknown")
	f("10.0.0.1", "198.51.100.1", "X-Real-IP: 198.51.100.1")
	f("10.0.0.1", "198.51.100.2", "X-Real-IP: 198.51.100.1", "X-Forwarded-For: 198.51.100.2")
	f("10.0.0.1", "10.0.0.1", "X-Real-IP: x")
}

// TestFindScheme tries what is found of a client's scheme, host and port, and
// that everything that is said of it agrees.
func TestFindScheme(t *testing.T) {
	t.Parallel()
	f := func(tls, trusted bool, want string, header ...string) {
		t.Helper()
		proxies := prefixes("10.0.0.0/8")
		h := http1.Head{Fields: lines(t, header...)}
		o := origin{peer: netip.MustParseAddr("10.0.0.1"), trusted: trusted, secure: tls, asked: []byte("a.test"), port: 8080, forwarded: true}
		o.find(h.Fields, proxies)
		if got := fmt.Sprintf("%s://%s %d", o.proto(), o.asked, o.port); got != want {
			t.Errorf("unexpected finding, tls %v, trusted %v, %q; got %s; want %s", tls, trusted, header, got, want)
		}
		text := string(o.appendOrigin(nil, &h, 0))
		host := string(o.asked)
		if !http1.IsToken(o.asked) {
			host = `"` + host + `"`
		}
		for _, line := range []string{
			"X-Forwarded-Proto: " + o.proto(), "X-Forwarded-Host: " + string(o.asked), fmt.Sprint("X-Forwarded-Port: ", o.port), "X-Real-IP: " + o.client.String(),
			"Forwarded: " + string(appendNode([]byte("for="), o.client)) + ";host=" + host + ";proto=" + o.proto(), "X-Forwarded-For: " + o.client.String(),
		} {
			if !strings.Contains("\r\n"+text, "\r\n"+line) {
				t.Errorf("%q is not said, with %q: %s", line, header, text)
			}
		}
	}
	const plain, secure, listened = "http://a.test 80", "https://a.test 443", "http://a.test 8080"
	f(false, true, listened)
	f(true, true, "https://a.test 8080")
	f(false, false, listened, "X-Forwarded-Proto: https", "X-Forwarded-Host: b", "X-Forwarded-Port: 1", "Forwarded: proto=https")
	for _, v := range []string{"https", "HTTPS", "wss", "WSS", "https,http", "https, http", "wss , http", "https,https"} {
		f(false, true, secure, "X-Forwarded-Proto: "+v)
	}
	for _, v := range []string{"http", "ws", "http, https", "HTTP"} {
		f(false, true, plain, "X-Forwarded-Proto: "+v)
		f(true, true, plain, "X-Forwarded-Proto: "+v) // what the client uses, not the proxy
	}
	f(false, true, listened, "X-Forwarded-Proto: ftp")
	f(false, true, listened, "X-Forwarded-Proto:")
	f(true, true, "https://a.test 8080", "X-Forwarded-Proto: x")
	f(false, true, plain, "X-Forwarded-Proto: http", "X-Forwarded-Proto: https")
	f(false, true, secure, "X-Forwarded-Proto: https", "x-forwarded-proto: http")
	// A list as long as that of addresses is read at the client's place: what is before that it made up.
	f(false, true, plain, "X-Forwarded-For: 192.0.2.66, 192.0.2.1, 10.0.0.2", "X-Forwarded-Proto: https, http, https")
	f(false, true, secure, "X-Forwarded-For: 192.0.2.1, 10.0.0.2", "X-Forwarded-Proto: https, http")
	f(false, true, secure, "X-Forwarded-For: 192.0.2.66, 192.0.2.1", "X-Forwarded-Proto: https")
	f(false, true, "http://b.test 80", "X-Forwarded-For: 192.0.2.66", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: evil, b.test", "X-Forwarded-Proto: https", "X-Forwarded-Proto: http")
	// Forwarded: the element about the client, or what the next ones know.
	f(false, true, secure, "Forwarded: proto=https")
	f(false, true, "https://b.test:8443 8443", `Forwarded: for=192.0.2.1;host="b.test:8443";proto=https, for=10.0.0.2;proto=http;host=inner`)
	f(false, true, plain, "Forwarded: for=192.0.2.66;proto=https, for=192.0.2.1;proto=http")
	f(false, true, secure, "Forwarded: for=192.0.2.1", "Forwarded: for=10.0.0.2;Proto=HTTPS")
	f(false, true, secure, `Forwarded: for=192.0.2.1 ; proto="https" ,`)
	f(false, true, plain, "Forwarded: for=192.0.2.1;proto=https", "X-Forwarded-Proto: http")
	f(false, true, secure, "Forwarded: for=192.0.2.1;proto=http", "X-Forwarded-Proto: https")
	f(false, true, listened, `Forwarded: for="x\";proto=https`)
	f(false, true, listened, "Forwarded: for=x;proto")
	// Host and port.
	f(false, true, "http://b.test 8080", "X-Forwarded-Host: b.test")
	f(false, true, "http://b.test:81 81", "X-Forwarded-Host: b.test:81")
	f(false, true, "http://b.test:81 82", "X-Forwarded-Host: b.test:81, c", "X-Forwarded-Port: 82,83")
	f(false, true, "https://a.test 8443", "X-Forwarded-Proto: https", "X-Forwarded-Port: 8443")
	for _, v := range []string{"0", "65536", "x", "-1", "", "99999", "000080"} {
		f(false, true, listened, "X-Forwarded-Port: "+v)
	}
	for _, v := range []string{"a b", "a/b", "", "a@b"} {
		f(false, true, listened, "X-Forwarded-Host: "+v)
	}
	f(false, true, secure, "X-Forwarded-Ssl: on")
	f(false, true, plain, "X-Forwarded-Ssl: off")
	f(false, true, secure, "X-Forwarded-Scheme: https")
	f(false, true, plain, "X-Forwarded-Ssl: on", "X-Forwarded-Proto: http")
	// The whole chain is said, from the client on.
	f(false, true, "http://a.test 8080", "Forwarded: for=192.0.2.1, for=10.0.0.3, for=10.0.0.2")
	o := origin{peer: netip.MustParseAddr("10.0.0.1"), trusted: true, forwarded: true}
	h := http1.Head{Fields: lines(t, "Forwarded: for=192.0.2.66, for=192.0.2.1, for=10.0.0.3, for=10.0.0.2")}
	o.find(h.Fields, prefixes("10.0.0.0/8"))
	if got := string(o.appendOrigin(nil, &h, 0)); !strings.Contains(got, "X-Forwarded-For: 192.0.2.1, 10.0.0.3, 10.0.0.2, 10.0.0.1\r\n") ||
		!strings.Contains(got, "Forwarded: for=192.0.2.1;proto=http, for=10.0.0.3, for=10.0.0.2, for=10.0.0.1\r\n") {
		t.Errorf("unexpected chain: %s", got)
	}
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
		id := tracing.NewTraceID()
		b := appendTraceparent(nil, id, tracing.NewSpanID(), sampled)
		if got := string(traceID(b)); got != id.String() || strings.HasSuffix(string(b), "01") != sampled {
			t.Errorf("unexpected new traceparent %q", b)
		}
	}
	if got := string(appendTraceparent(nil, tracing.TraceID{0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9d}, tracing.SpanID{0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31}, true)); got != "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-01" {
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
