package gate

import (
	"net/netip"
	"strings"
	"testing"

	"sluice/l7/http1"
)

// parseText parses text as a driver does.
func parseText(h *http1.Head, text string) (Reason, string) {
	n, ok := http1.ScanHead([]byte(text), 0)
	if !ok || n == 0 || n != len(text) {
		return BadRequest, "that is not one head"
	}
	f, why := h.Parse([]byte(text))
	if f != 0 {
		return reasonOf(f), why
	}
	return 0, ""
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST http://a/?x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: x, close\r\nX: y\r\n\r\n",
		"GET /a/%2e./b HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\nX_Forwarded_For: 1\r\n\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var h, again http1.Head
		if r, _ := parseText(&h, text); r != 0 {
			return
		}
		// What is forwarded must pass itself, with the same meaning.
		o := origin{peer: netip.MustParseAddr("192.0.2.1"), requestID: []byte("id")}
		out := string(appendRequest(nil, &h, &o, h.Target, "backend:80"))
		if r, why := parseText(&again, out); r != 0 {
			t.Fatalf("what is forwarded is refused: %s: %s: %q", r, why, out)
		}
		if again.Length != h.Length || string(again.Target) != string(h.Target) || string(again.Method) != string(h.Method) {
			t.Fatalf("what is forwarded means something else: %q", out)
		}
		if n := http1.ResponseHeadLength([]byte(out), 0); n != len(out) {
			t.Fatalf("the forwarded head ends at %d of %d: %q", n, len(out), out)
		}
	})
}

func TestAppendRequest(t *testing.T) {
	t.Parallel()
	f := func(in string, trusted bool, want string) {
		t.Helper()
		var h http1.Head
		if r, why := parseText(&h, in); r != 0 {
			t.Fatalf("unexpected refusal: %s: %s", r, why)
		}
		peer := netip.MustParseAddr("192.0.2.1")
		o := origin{peer: peer, trusted: trusted, requestID: []byte("made"), trace: traceOf(h.Fields), asked: h.Host, port: 8080}
		o.find(h.Fields, nil)
		if id := requestID(&h, trusted); id != nil {
			o.requestID = id
		}
		if got := string(appendRequest(nil, &h, &o, h.Target, "10.0.0.1:80")); got != want {
			t.Errorf("unexpected head for %q; got\n%s\nwant\n%s", in, got, want)
		}
	}
	const ours = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a:1\r\nX-Forwarded-Port: 8080\r\nX-Real-IP: 192.0.2.1\r\nX-Request-ID: made\r\n"
	// Order, case and duplicates stay.
	f("GET /x HTTP/1.1\r\nuser-AGENT: u\r\nHost: a:1\r\nCookie: 1\r\ncookie: 2\r\n\r\n", false,
		"GET /x HTTP/1.1\r\nuser-AGENT: u\r\nHost: a:1\r\nCookie: 1\r\ncookie: 2\r\n"+ours+"\r\n")
	// Hop-by-hop fields go, and those that Connection names; not those that matter to us.
	f("POST / HTTP/1.1\r\nHost: a:1\r\nConnection: close, X-Mine, host, Content-Length, x-forwarded-for\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"+
		"Trailer: x\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nProxy-Authenticate: x\r\nUpgrade: websocket\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", false,
		"POST / HTTP/1.1\r\nHost: a:1\r\n"+ours+"Content-Length: 3\r\nConnection: TE\r\nTE: trailers\r\n\r\n")
	// Where it comes from is not for a stranger to say, however it is spelt.
	claims := "x-forwarded-for: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Ssl: on\r\nx-forwarded-by: me\r\n" +
		"Forwarded: for=1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\nX-Request-ID: theirs\r\nX_Forwarded_For: 1.1.1.1\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n"
	f("GET / HTTP/1.1\r\nHost: a:1\r\n"+claims+"\r\n", false, "GET / HTTP/1.1\r\nHost: a:1\r\n"+ours+"\r\n")
	f("GET / HTTP/1.1\r\nHost: a:1\r\n"+claims+"\r\n", true,
		"GET / HTTP/1.1\r\nHost: a:1\r\nX-Forwarded-Ssl: on\r\nx-forwarded-by: me\r\nForwarded: for=1.1.1.1\r\n"+
			"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 2.2.2.2\r\nX-Request-ID: theirs\r\n\r\n")
	f("GET / HTTP/1.1\r\nHost: a:1\r\nX-Request-ID: a b\r\n\r\n", true, "GET / HTTP/1.1\r\nHost: a:1\r\n"+ours+"\r\n")
	// A wish to switch protocols is passed on, but for h2c.
	f("GET / HTTP/1.1\r\nHost: a:1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", false,
		"GET / HTTP/1.1\r\nHost: a:1\r\n"+ours+"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	f("GET / HTTP/1.1\r\nHost: a:1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", false,
		"GET / HTTP/1.1\r\nHost: a:1\r\n"+ours+"\r\n")
	// HTTP/1.0 becomes HTTP/1.1 with a Host.
	f("GET / HTTP/1.0\r\n\r\n", false,
		"GET / HTTP/1.1\r\nHost: 10.0.0.1:80\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 8080\r\nX-Real-IP: 192.0.2.1\r\nX-Request-ID: made\r\n\r\n")
	// A trace is continued if it is valid, and dropped if not.
	const parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
	f("GET / HTTP/1.1\r\nHost: a:1\r\nTraceState: a=1\r\n"+parent+"tracestate: b=2\r\n\r\n", false,
		"GET / HTTP/1.1\r\nHost: a:1\r\nTraceState: a=1\r\n"+parent+"tracestate: b=2\r\n"+ours+"\r\n")
	f("GET / HTTP/1.1\r\nHost: a:1\r\nConnection: traceparent\r\n"+parent+"tracestate: B=2\r\n\r\n", false, "GET / HTTP/1.1\r\nHost: a:1\r\n"+parent+ours+"\r\n")
	f("GET / HTTP/1.1\r\nHost: a:1\r\n"+parent+parent+"tracestate: b=2\r\n\r\n", true, "GET / HTTP/1.1\r\nHost: a:1\r\n"+ours+"\r\n")
	f("GET / HTTP/1.1\r\nHost: a:1\r\ntraceparent: 00-x\r\ntracestate: b=2\r\n\r\n", true, "GET / HTTP/1.1\r\nHost: a:1\r\n"+ours+"\r\n")
}

func TestAppendRequestOptions(t *testing.T) {
	t.Parallel()
	f := func(edit func(*origin), header, want string) {
		t.Helper()
		var h http1.Head
		if r, why := parseText(&h, "GET / HTTP/1.1\r\nHost: a.test\r\n"+header+"\r\n"); r != 0 {
			t.Fatalf("unexpected refusal: %s: %s", r, why)
		}
		o := origin{peer: netip.MustParseAddr("2001:db8::1"), requestID: []byte("id"), asked: h.Host, port: 8080}
		edit(&o)
		o.find(h.Fields, prefixes("2.0.0.0/8"))
		got := string(appendRequest(nil, &h, &o, h.Target, ""))
		for line := range strings.Lines(want) {
			if !strings.Contains(got, "\r\n"+strings.TrimSuffix(line, "\n")+"\r\n") {
				t.Errorf("the head lacks %q: %s", line, got)
			}
		}
		if n := strings.Count(got, "Host: ") - strings.Count(got, "X-Forwarded-Host: "); n != 1 || strings.Count(got, "\r\nForwarded: ") > 1 {
			t.Errorf("unexpected repetitions: %s", got)
		}
	}
	f(func(o *origin) {}, "", "X-Forwarded-For: 2001:db8::1\nX-Forwarded-Port: 8080\nX-Real-IP: 2001:db8::1")
	f(func(o *origin) { o.secure = true }, "", "X-Forwarded-Proto: https\nX-Forwarded-Port: 8080")
	f(func(o *origin) { o.host = "b.test" }, "", "Host: b.test\nX-Forwarded-Host: a.test")
	f(func(o *origin) { o.forwarded = true }, "Forwarded: for=1.1.1.1\r\n", `Forwarded: for="[2001:db8::1]";host=a.test;proto=http`)
	f(func(o *origin) { o.forwarded, o.trusted = true, true }, "Forwarded: for=1.1.1.1\r\nforwarded: for=2.2.2.2\r\n",
		`Forwarded: for=1.1.1.1;host=a.test;proto=http, for=2.2.2.2, for="[2001:db8::1]"`)
	f(func(o *origin) { o.trusted = true }, "Forwarded: for=1.1.1.1\r\n", "Forwarded: for=1.1.1.1")
	f(func(o *origin) { o.trace.begun = []byte("00-x") }, "", "traceparent: 00-x")
}
