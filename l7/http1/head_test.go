package http1

import (
	"strings"
	"testing"
)

// parseAll parses text as conn does.
func parseAll(h *Head, text string) (Fault, string) {
	n, ok := ScanHead([]byte(text), 0)
	if !ok {
		return BadHead, "a line does not end in CRLF"
	}
	if n == 0 || n != len(text) {
		return BadHead, "that is not one head"
	}
	return h.Parse([]byte(text))
}

func TestCheckSuccess(t *testing.T) {
	t.Parallel()
	f := func(text, target string, length int64, closes bool) {
		t.Helper()
		var h Head
		if r, why := parseAll(&h, text); r != 0 {
			t.Fatalf("unexpected refusal of %q: %d: %s", text, r, why)
		}
		if string(h.Target) != target || h.Length != length || h.Close != closes {
			t.Fatalf("unexpected head of %q; got %q, %d, %v; want %q, %d, %v", text, h.Target, h.Length, h.Close, target, length, closes)
		}
	}
	f("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", NoLength, false)
	f("GET /a%20b?c=%2e%2e&d;e HTTP/1.1\r\nHost: a:80\r\n\r\n", "/a%20b?c=%2e%2e&d;e", NoLength, false)
	f("GET /x/..../.a/b. HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "/x/..../.a/b.", NoLength, false)
	f("GET //x//y HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", "//x//y", NoLength, true)
	f("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n", "/", 7, false)
	f("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: \tCHUNKED \r\n\r\n", "/", Chunked, false)
	f("GET http://a.b/x?y HTTP/1.1\r\nHost: A.B\r\n\r\n", "/x?y", NoLength, false)
	f("GET http://a?y HTTP/1.1\r\nHost: a\r\n\r\n", "/?y", NoLength, false)
	f("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "/", NoLength, false)
	f("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "*", NoLength, false)
	f("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", NoLength, false)
	f("GET / HTTP/1.0\r\n\r\n", "/", NoLength, true)
	f("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", NoLength, false)
	f("GET / HTTP/1.0\r\n\r\n", "/", NoLength, true)
	f("BREW / HTTP/1.1\r\nHost: a\r\nX: \x80\xff\r\nY:\r\n\r\n", "/", NoLength, false)
}

func TestCheckFailure(t *testing.T) {
	t.Parallel()
	f := func(text string, want Fault) {
		t.Helper()
		var h Head
		if r, _ := parseAll(&h, text); r != want {
			t.Fatalf("unexpected verdict on %q; got %d; want %d", text, r, want)
		}
	}
	get := func(headers string) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" }
	target := func(s string) string { return "GET " + s + " HTTP/1.1\r\nHost: a\r\n\r\n" }
	host := func(s string) string { return "GET / HTTP/1.1\r\nHost: " + s + "\r\n\r\n" }

	for _, proto := range []string{"HTTP/2.0", "HTTP/0.9", "HTTP/x.y"} {
		f("GET / "+proto+"\r\nHost: a\r\n\r\n", BadVersion)
	}
	for _, line := range []string{"", "GET", "GET /", "GET / ", "GET / http/1.1", "GET / HTTP/1.10", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET  / HTTP/1.1", "GET / HTTP/1.1\t"} {
		f(line+"\r\nHost: a\r\n\r\n", BadHead)
	}
	f("GET /"+strings.Repeat("x", MaxTarget)+" HTTP/1.1\r\nHost: a\r\n\r\n", TargetTooLong)
	f("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", BadMethod)
	f("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", BadMethod)
	f("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", BadHead)

	for _, s := range []string{
		"", "x", "/#", "/a\x00", "/a\x7f", "*", "ftp://a/", "http://b/", "http://a@a/", "http:///", "a:443", "http://a:81/",
	} {
		f(target(s), BadHead)
	}
	for _, s := range []string{"", "a@b", "a b", "a/b", "a:x", "a:123456", "[::1", "[::1]x", "[g]", "a,b@c", "a\"", "[]", ":80"} {
		f(host(s), BadHead)
	}
	f("GET / HTTP/1.1\r\n\r\n", BadHead)
	f("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BadHead)

	for _, s := range []string{
		"X : y\r\n", "X y: z\r\n", ": y\r\n", "X\r\n", "X: y\n", "X: a\rb\r\n", "X: a\x00\r\n", "X: a\x01\r\n", "X: a\x7f\r\n",
		" X: y\r\n", "X: y\r\n z\r\n", "X: y\r\n\tz\r\n", "X\x80: y\r\n", "(X): y\r\n",
		"Content-Length: \r\n", "Content-Length: +1\r\n", "Content-Length: -1\r\n", "Content-Length: 0x1\r\n", "Content-Length: 1_0\r\n",
		"Content-Length: 1 1\r\n", "Content-Length: 1, 1\r\n", "Content-Length: 9223372036854775808\r\n", "Content-Length: 99999999999999999999\r\n",
		"Content-Length: 1\r\nContent-Length: 1\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n",
		"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n", "Transfer-Encoding: gzip, chunked\r\n",
		"Transfer-Encoding: chunked, chunked\r\n", "Transfer-Encoding: ,chunked\r\n", "Transfer-Encoding: \x0bchunked\r\n", "Transfer-Encoding:\r\n",
		"Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: \"chunked\"\r\n",
	} {
		f(get(s), BadHead)
	}
	f("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", BadHead)
	f(get("Expect: 200-maybe\r\n"), BadExpectation)
	f(get(strings.Repeat("X: y\r\n", MaxFields)), HeadTooLarge)
	f(get("")+"X: y\r\n", BadHead)
}
