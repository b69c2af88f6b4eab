package l7

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/l7/http1"
)

// vector is what a client sends and what it must get.
type vector struct {
	text   string
	status int    // of the only response, if it is not 0
	seen   string // otherwise what backends must have seen, of all requests
}

func get1(headers string) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" }

func post(framing, body string) string {
	return "POST / HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n\r\n" + body
}

const te = "Transfer-Encoding: chunked"

// vectors are the rules of framing, one by one.
func vectors() []vector {
	var vs []vector
	refuse := func(status int, texts ...string) {
		for _, text := range texts {
			vs = append(vs, vector{text: text, status: status})
		}
	}
	pass := func(text string, seen ...string) {
		vs = append(vs, vector{text: text, seen: strings.Join(seen, "|")})
	}
	const next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
	const nextSeen = "GET /next a [] []"

	// Line ends.
	refuse(400,
		"GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\n", "GET / HTTP/1.1\nHost: a\r\n\r\n",
		"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r \r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX\r: y\r\n\r\n",
	)
	pass("\r\n"+next, nextSeen)
	pass("\r\n\r\n"+next+"\r\n"+next, nextSeen, nextSeen)
	// Request lines.
	refuse(400,
		"GET /\r\n\r\n", "GET / \r\n\r\n", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "GET / HTTP/1.1\tx\r\nHost: a\r\n\r\n",
		"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "GET/ / HTTP/1.1\r\nHost: a\r\n\r\n", "G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
		"GET / http/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.11\r\nHost: a\r\n\r\n", "GET / HTTP/11\r\nHost: a\r\n\r\n", "GET / HTTP 1.1\r\nHost: a\r\n\r\n", "GET / XTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET x HTTP/1.1\r\nHost: a\r\n\r\n", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "GET ?x HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a:443/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a/#x HTTP/1.1\r\nHost: a\r\n\r\n", "GET http:/a/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://u@a HTTP/1.0\r\n\r\n",
		"GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n",
	)
	refuse(505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", "GET / HTTP/3.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	refuse(400, "head / HTTP/1.1\r\nHost: a\r\n\r\n", "Head / HTTP/1.1\r\nHost: a\r\n\r\n")
	refuse(405, "trace / HTTP/1.1\r\nHost: a\r\n\r\n", "Connect a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
	refuse(405, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n")
	pass("GET http://A/x?y HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x?y a [] []")
	pass("GET http://a:80/x HTTP/1.1\r\nHost: A\r\n\r\n", "GET /x A [] []")
	pass("GET http://a/x HTTP/1.1\r\nHost: a:80\r\n\r\n", "GET /x a:80 [] []")
	pass("GET http://a:/x HTTP/1.1\r\nHost: a:80\r\n\r\n", "GET /x a:80 [] []")
	pass("GET https://a:443/x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x a [] []")
	pass("GET http://[::1]:80/ HTTP/1.1\r\nHost: [::1]\r\n\r\n", "GET / [::1] [] []")
	pass("GET http://a:8080/x HTTP/1.0\r\n\r\n", "GET /x a:8080 [] []")
	pass("GET /x HTTP/1.2\r\nHost: a\r\n\r\n"+next, "GET /x a [] []", nextSeen)
	pass("GET /x HTTP/1.9\r\nHost: a\r\n\r\n"+next, "GET /x a [] []", nextSeen)
	pass("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * a [] []")
	pass("GET //b/x://y?a;b=http://c/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET //b/x://y?a;b=http://c/ a [] []")
	pass("BREW-1 /%01\xff HTTP/1.1\r\nHost: a\r\n\r\n", "BREW-1 /%01\xff a [] []")
	refuse(400, "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /% HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%c0%ae HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a%2f..%2fb HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a/..;x=y/b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a\\..\\b HTTP/1.1\r\nHost: a\r\n\r\n")
	pass("GET /./x%2f/../y?/./ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /y?/./ a [] []")
	// Hosts.
	refuse(400,
		"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.1\r\nHost: \t\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\x80\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
	)
	// Header lines.
	refuse(400,
		get1("X : y\r\n"), get1("X\t: y\r\n"), get1("X y: z\r\n"), get1(": y\r\n"), get1("X\r\n"), get1("X: a\x00b\r\n"), get1("X: a\x0bb\r\n"), get1("X: \x7f\r\n"), get1("X\x00: y\r\n"),
		get1("(X): y\r\n"), get1("X\xe9: y\r\n"), get1("X: y\r\n z\r\n"), get1("X: y\r\n\tz\r\n"), get1(" X: y\r\n"), get1("X: y\r\n \r\n"), get1("\tX: y\r\n"), get1("X: y\r\n\x0bZ: 1\r\n"),
		"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\n\tHost: a\r\nHost: a\r\n\r\n",
	)
	refuse(431, get1(strings.Repeat("X: y\r\n", http1.MaxFields)), get1("X: "+strings.Repeat("x", 33<<10)+"\r\n"), get1(strings.Repeat("x", 40<<10)))
	refuse(414, "GET /"+strings.Repeat("x", 17<<10)+" HTTP/1.1\r\nHost: a\r\n\r\n", "GET /"+strings.Repeat("x", 40<<10), strings.Repeat("G", 40<<10))
	pass("GET /"+strings.Repeat("x", 8000)+" HTTP/1.1\r\nHost: a\r\n\r\n", "GET /"+strings.Repeat("x", 8000)+" a [] []")
	// Empty lines, behind a body also with LF alone, as old clients add them.
	for _, stray := range []string{"\r\n", "\n", "\n\n", "\r\n\n\r\n"} {
		pass(post("Content-Length: 5", "hello")+stray+next, "POST / a [hello] []", nextSeen)
		pass(post(te, "5\r\nhello\r\n0\r\n\r\n")+stray+next, "POST / a [hello] []", nextSeen)
	}
	pass(post("Content-Length: 5", "hello")+"\n", "POST / a [hello] []")
	// Lengths.
	for _, v := range []string{"+5", "-5", "0x5", "5_0", "5 5", "5,5", "5, 5", "", "5.0", "5;", "\"5\"", "five", "5\x0b", "9223372036854775808", "18446744073709551621", "99999999999999999999999", "\xef\xbc\x95"} {
		refuse(400, post("Content-Length: "+v, "hello"))
	}
	refuse(400,
		post("Content-Length: 5\r\nContent-Length: 5", "hello"), post("Content-Length: 5\r\ncontent-length: 6", "hello"), post("Content-Length: 0\r\nContent-Length: 5", "hello"),
		post("Content-Length : 5", "hello"), post("Content-Length\t: 5", "hello"), post(" Content-Length: 5", "hello"), post("X: y\r\n Content-Length: 5", "hello"),
		post("Content-Length: 5\r\n"+te, "hello"), post(te+"\r\nContent-Length: 5", "0\r\n\r\n"), post("Content-Length: 0\r\n"+te, "0\r\n\r\n"),
		post("Content-Length:5\nTransfer-Encoding: chunked", "hello"),
	)
	pass(post("Content-Length: 5", "hello")+next, "POST / a [hello] []", nextSeen)
	pass(post("Content-Length: 005", "hello")+next, "POST / a [hello] []", nextSeen)
	pass(post("Content-Length:5", "hello")+next, "POST / a [hello] []", nextSeen)
	pass(post("Content-Length: 0", "")+next, "POST / a [] []", nextSeen)
	pass(post("X: y", "")+next, "POST / a [] []", nextSeen)
	pass("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"+next, "GET / a [hello] []", nextSeen)
	pass(post(fmt.Sprint("Content-Length: ", 2*len(next)), next+next), "POST / a ["+next+next+"] []")
	pass(post("Content_Length: 3\r\nTransfer_Encoding: chunked\r\nContent-Length: 5", "hello")+next, "POST / a [hello] []", nextSeen)
	pass(post("Connection: Content-Length, Host\r\nContent-Length: 5", "hello")+next, "POST / a [hello] []", nextSeen)
	pass(post("Connection: Transfer-Encoding\r\n"+te, "5\r\nhello\r\n0\r\n\r\n")+next, "POST / a [hello] []", nextSeen)
	// Transfer codings.
	for _, v := range []string{"", "identity", "gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked,", ",chunked", "xchunked", "chunkedx", "x-chunked", "chunked;q=1", "\"chunked\"", "'chunked'", "chunked identity", "\x0bchunked", "chunked\x00", "chunk\xffed", "chu nked"} {
		refuse(400, post("Transfer-Encoding: "+v, "0\r\n\r\n"))
	}
	refuse(400,
		post(te+"\r\n"+te, "0\r\n\r\n"), post(te+"\r\nTransfer-Encoding: identity", "0\r\n\r\n"), post("Transfer-Encoding: identity\r\n"+te, "0\r\n\r\n"),
		post("Transfer-Encoding : chunked", "0\r\n\r\n"), post("Transfer-Encoding\t: chunked", "0\r\n\r\n"), post("Transfer-Encoding:\r\n chunked", "0\r\n\r\n"), post("Transfer-Encoding: chun\r\n ked", "0\r\n\r\n"),
		"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	)
	pass(post("tRANSFER-eNCODING:\t ChUnKeD \t", "5\r\nhello\r\n0\r\n\r\n")+next, "POST / a [hello] []", nextSeen)
	// Chunks.
	for _, body := range []string{
		"\r\n", "x\r\n", " 5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5\t\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "-0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5_\r\nhello\r\n0\r\n\r\n",
		"5h\r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "5\rhello\r\n0\r\n\r\n", "5\r\rhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r0\r\n\r\n", "5\r\nhellox\r\n0\r\n\r\n", "5\r\nhel\r\n0\r\n\r\n",
		"5;a\nb\r\nhello\r\n0\r\n\r\n", "5;a\rb\r\nhello\r\n0\r\n\r\n", "5;\x00\r\nhello\r\n0\r\n\r\n", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", "5 ;a\r\nhello\r\n0\r\n\r\n", "5\x00;a\r\nhello\r\n0\r\n\r\n", "5;a\r\n\nhello\r\n0\r\n\r\n\r\n\r\n",
		"10000000000000005\r\nhello\r\n0\r\n\r\n", "8000000000000000\r\nhello\r\n", "ffffffffffffffff\r\nhello\r\n", "0000000000000005\r\nhello\r\n0\r\n\r\n",
		"5;" + strings.Repeat("x", http1.MaxChunkLine) + "\r\nhello\r\n0\r\n\r\n", strings.Repeat("1;"+strings.Repeat("x", 200)+"\r\ny\r\n", 100) + "0\r\n\r\n",
		"0\r\nX: y\n\r\n", "0\r\nX : y\r\n\r\n", "0\r\nX y: z\r\n\r\n", "0\r\nX\r\n\r\n", "0\r\n X: y\r\n\r\n", "0\r\nX: y\r\n z\r\n\r\n", "0\r\nX: \x00\r\n\r\n", "0\r\nX: a\rb\r\n\r\n", "0\r\n\n", "0\n\r\n", "0\r\n\rX: y\r\n\r\n",
		"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "0\r\nX: " + strings.Repeat("x", http1.MaxTrailer) + "\r\n\r\n",
	} {
		refuse(400, post(te, body))
	}
	pass(post(te, "0\r\n\r\n")+next, "POST / a [] []", nextSeen)
	pass(post(te, "000\r\n\r\n")+next, "POST / a [] []", nextSeen)
	pass(post(te, "5\r\nhello\r\n00006\r\n world\r\n0\r\n\r\n")+next, "POST / a [hello world] []", nextSeen)
	pass(post(te, "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n")+next, "POST / a [01234567890123456789] []", nextSeen)
	pass(post(te, "5;a=b;c=\"d;\t\"\r\nhello\r\n0;x\r\n\r\n")+next, "POST / a [hello] []", nextSeen)
	pass(post(te, "2\r\n\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n")+next, "POST / a [\r\n0\r\n\r\n] []", nextSeen)
	pass(post(te, "0\r\nX-Sum: 1\r\nx-other:\r\n\r\n")+next, "POST / a [] [X-Sum: 1;x-other: ;]", nextSeen)
	pass(post(te, "0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\nHost: b\r\nX-Forwarded-For: 1\r\nAuthorization: x\r\nX: y\r\nContent_Length: 3\r\nConnection: close\r\nIf-Match: x\r\n\r\n")+next, "POST / a [] [X: y;]", nextSeen)
	pass(post("Content-Length: 5", "0\r\n\r\n")+next, "POST / a [0\r\n\r\n] []", nextSeen)
	// Expectations.
	refuse(417, post("Expect: x\r\nContent-Length: 5", "hello"), post("Expect: 100-continue, x\r\nContent-Length: 5", "hello"))
	// Upgrades that must not be.
	pass(get1("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n")+next, "GET / a [] []", nextSeen)
	pass(get1("Upgrade: websocket\r\n")+next, "GET / a [] []", nextSeen)
	return vs
}

// exchangeText sends text, whole or byte by byte, and returns all that comes
// back until the server closes, or falls silent when the client has ended its
// direction.
func exchangeText(t *testing.T, addr, text string, bytewise, halfClose bool) string {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	if !bytewise {
		_, _ = io.WriteString(nc, text)
	}
	for i := 0; bytewise && i < len(text); i++ {
		if _, err := io.WriteString(nc, text[i:i+1]); err != nil {
			break // it has heard enough
		}
	}
	if halfClose {
		_ = nc.(*net.TCPConn).CloseWrite()
	}
	got, _ := io.ReadAll(nc)
	return string(got)
}

// TestFraming sends every vector whole and byte by byte, on a connection of
// its own, and looks at what the client gets and what the backend saw.
func TestFraming(t *testing.T) { eachDriver(t, testFraming) }

func testFraming(t *testing.T) {
	t.Parallel()
	for _, bytewise := range []bool{false, true} {
		t.Run(fmt.Sprintf("bytewise=%v", bytewise), func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t)
			f := newFront(t, nil, r.addr)
			for _, v := range vectors() {
				if bytewise && len(v.text) > 3000 {
					continue
				}
				got := exchangeText(t, f.addr, v.text, bytewise, v.status == 0)
				v.check(t, got, strings.Join(r.take(), "|"))
			}
		})
	}
}

// check compares what the client got and the backend saw with the vector.
func (v *vector) check(t *testing.T, got, seen string) {
	t.Helper()
	if seen != v.seen {
		t.Errorf("the backend saw of %.300q\n%.300q; want\n%.300q", v.text, seen, v.seen)
	}
	var bodies []string
	for br := newReader(got); ; {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			break
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Errorf("the answer to %.300q is cut off: %q", v.text, got)
		}
		bodies = append(bodies, string(body))
		if v.status == 0 && resp.StatusCode != 200 ||
			v.status != 0 && (resp.StatusCode != v.status || !resp.Close || resp.Header.Get("X-Sluice-Reason") == "") {
			t.Errorf("unexpected answer to %.300q; got %.300q; want %d", v.text, got, v.status)
		}
	}
	switch all := strings.Join(bodies, "|"); {
	case v.status != 0 && len(bodies) != 1:
		t.Errorf("%.300q got %d answers; want 1: %q", v.text, len(bodies), got)
	case v.status == 0 && all != v.seen:
		t.Errorf("the client got for %.300q\n%.300q; want\n%.300q", v.text, all, v.seen)
	}
}
