package http1

import "testing"

func TestParseResponseSuccess(t *testing.T) {
	t.Parallel()
	f := func(in string, status int, length int64, closes bool, want string) {
		t.Helper()
		var r Response
		if n := ResponseHeadLength([]byte(in), 0); n != len(in) {
			t.Fatalf("unexpected length of the head %q; got %d; want %d", in, n, len(in))
		}
		if err := r.Parse([]byte(in)); err != nil {
			t.Fatalf("unexpected error for %q: %v", in, err)
		}
		if r.Status != status || r.Length != length || r.Close != closes {
			t.Fatalf("unexpected response for %q; got %d, %d, %v", in, r.Status, r.Length, r.Close)
		}
		if got := string(AppendResponse(nil, &r, r.Length, "")); got != want {
			t.Fatalf("unexpected head; got %q; want %q", got, want)
		}
	}
	f("HTTP/1.1 200 OK\r\nDate: d\r\nSet-Cookie: a\r\nContent-Length: 5\r\nset-cookie: b\r\n\r\n", 200, 5, false,
		"HTTP/1.1 200 OK\r\nDate: d\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 5\r\n\r\n")
	f("HTTP/1.1 299\r\nTransfer-Encoding: Chunked\r\nConnection: close, x-a\r\nX-A: b\r\nX-B: c\r\n\r\n", 299, Chunked, true,
		"HTTP/1.1 299 \r\nX-B: c\r\nTransfer-Encoding: chunked\r\n\r\n")
	f("HTTP/1.0 404 Not  Found\nContent-Length : 1\nContent-Length: 1\n\n", 404, 1, true, "HTTP/1.1 404 Not  Found\r\nContent-Length: 1\r\n\r\n")
	f("HTTP/1.0 200 \r\nConnection: Keep-Alive\r\nKeep-Alive: 3\r\nUpgrade: h2\r\n\r\n", 200, NoLength, false, "HTTP/1.1 200 \r\n\r\n")
}

func TestParseResponseFailure(t *testing.T) {
	t.Parallel()
	f := func(in string) {
		t.Helper()
		var r Response
		if err := r.Parse([]byte(in)); err == nil {
			t.Errorf("unexpected success for %q", in)
		}
	}
	for _, line := range []string{"", "HTTP/1.1", "HTTP/1.1 20", "HTTP/1.1 2000", "HTTP/1.1 099 X", "HTTP/1.1 000", "HTTP/1.1 2x0", "HTTP/2.0 200", "ICY 200 OK", "HTTP/1.1  200", "HTTP/1.1 200 a\x00"} {
		f(line + "\r\n\r\n")
	}
	for _, h := range []string{
		"X\r\n", "X y: z\r\n", " X: y\r\n", "X: a\x00\r\n", "X: a\rb\r\n", "X: y\r\n folded: z\r\n",
		"Content-Length: x\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: 1, 1\r\n",
		"Transfer-Encoding: gzip\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
	} {
		f("HTTP/1.1 200 OK\r\n" + h + "\r\n")
	}
	f("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
}

func TestBindsConnection(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"NTLM", "ntlm TlRMTVNTUAAB", "Negotiate", "Negotiate YIIB==", `Basic realm="a", NTLM`, "Basic realm=x,Negotiate", "Digest a=b, c=d,  negotiate"} {
		if !BindsConnection([]byte(value)) {
			t.Errorf("%q does not bind", value)
		}
	}
	for _, value := range []string{"", "Basic NTLM", "Bearer x", "NTLMX", "Basic realm=NTLM", `Digest realm="Negotiate"`} {
		if BindsConnection([]byte(value)) {
			t.Errorf("%q binds", value)
		}
	}
}
