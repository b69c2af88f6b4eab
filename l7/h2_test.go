package l7

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"sluice/pkg/listen"
)

// TestHTTP2 has the messages of HTTP/2 come to a backend of HTTP/1.1, and its
// come back, as they are.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	type seen struct {
		*http.Request
		body    string
		trailer http.Header
	}
	requests := make(chan seen, 1)
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("cannot read the body: %v", err)
		}
		requests <- seen{r, string(body), r.Trailer}
		switch r.URL.Path {
		case "/none":
			w.WriteHeader(204)
		case "/hints":
			w.Header().Set("Link", "</a.css>")
			w.WriteHeader(103)
			_, _ = w.Write(body)
		case "/trailers":
			w.Header().Set("Trailer", "X-After")
			_, _ = w.Write(body)
			w.(http.Flusher).Flush()
			w.Header().Set("X-After", "yes")
		default:
			w.Header().Set("Keep-Alive", "timeout=5")
			w.Header().Set("X-Path", r.URL.RequestURI())
			_, _ = w.Write(body)
		}
	})
	f := newClearFront(t, nil, addr)
	large := strings.Repeat("0123456789abcdef", 300_000)
	for _, x := range []struct {
		name, method, target, body string
		unsized                    bool
		status                     int
		check                      func(t *testing.T, r *http.Response, s seen)
	}{
		{name: "get", method: "GET", target: "/a?b=c", status: 200, check: func(t *testing.T, r *http.Response, s seen) {
			if s.Host != "example.com" || s.RequestURI != "/a?b=c" || s.Proto != "HTTP/1.1" || len(s.TransferEncoding) != 0 || s.Header.Get("X-Forwarded-Host") != "example.com" {
				t.Errorf("unexpected request: %+v", s.Request)
			}
			if r.Header.Get("Keep-Alive") != "" || r.Header.Get("X-Path") != "/a?b=c" || r.Proto != "HTTP/2.0" {
				t.Errorf("unexpected response: %+v", r)
			}
		}},
		{name: "head", method: "HEAD", target: "/a", status: 200},
		{name: "empty post", method: "POST", target: "/", status: 200, check: func(t *testing.T, _ *http.Response, s seen) {
			if s.ContentLength != 0 || s.Header.Get("Content-Length") != "0" {
				t.Errorf("a POST without a body does not say so: %+v", s.Header)
			}
		}},
		{name: "post", method: "POST", target: "/", body: "hello", status: 200},
		{name: "unsized post", method: "POST", target: "/", body: "hello", unsized: true, status: 200},
		{name: "large", method: "PUT", target: "/", body: large, status: 200},
		{name: "large and unsized", method: "PUT", target: "/", body: large, unsized: true, status: 200},
		{name: "no content", method: "POST", target: "/none", body: "x", status: 204},
		{name: "hints", method: "GET", target: "/hints", status: 200},
		{name: "trailers", method: "POST", target: "/trailers", body: "x", unsized: true, status: 200, check: func(t *testing.T, r *http.Response, s seen) {
			if r.Trailer.Get("X-After") != "yes" || s.trailer.Get("X-Sum") != "1" {
				t.Errorf("unexpected trailers: %v, %v", r.Trailer, s.trailer)
			}
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			var body io.Reader
			if x.body != "" {
				body = strings.NewReader(x.body)
			}
			if x.unsized {
				body = struct{ io.Reader }{body}
			}
			req, err := http.NewRequest(x.method, f.url(x.target), body)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "example.com"
			if x.name == "trailers" {
				req.Trailer = http.Header{"X-Sum": {"1"}}
			}
			resp, err := f.client2().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			s := <-requests
			if resp.StatusCode != x.status || s.body != x.body || x.status == 200 && x.method != "HEAD" && string(got) != x.body {
				t.Errorf("unexpected exchange: %d, %d bytes there, %d back", resp.StatusCode, len(s.body), len(got))
			}
			if x.check != nil {
				x.check(t, resp, s)
			}
		})
	}
	f.wantMetric(`sluice_l7_requests_total{service="web",code="2xx"`, 10)
}

// TestHTTP2Interims has interim responses pass.
func TestHTTP2Interims(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(103)
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	fr := newClearFront(t, nil, addr).framer()
	fr.open(1, false, post2("/", "expect", "100-continue", "content-length", "2")...)
	var statuses []string
	for len(statuses) == 0 {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if h, ok := f.(*http2.HeadersFrame); ok {
			fields, _ := fr.dec.DecodeFull(h.HeaderBlockFragment())
			statuses = append(statuses, fields[0].Value)
		}
	}
	fr.ok(fr.WriteData(1, true, []byte("ok")))
	a := fr.mustRead(1)
	if statuses[0] != "100" || len(a.heads) != 2 || a.heads[0][":status"][0] != "103" || a.status != "200" || a.body != "ok" {
		t.Errorf("unexpected responses: %v, %+v", statuses, a)
	}
}

// TestHTTP2Cookies has cookies come joined, and lists in the order of coming.
func TestHTTP2Cookies(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 1)
	addr := newBackend(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header })
	fr := newClearFront(t, nil, addr).framer()
	fr.open(1, true, get2("/", "cookie", "a=1", "x-list", "1", "cookie", "b=2", "x-list", "2", "te", "trailers", "host", "A")...)
	fr.mustRead(1)
	h := <-got
	if c := h["Cookie"]; len(c) != 1 || c[0] != "a=1; b=2" {
		t.Errorf("unexpected cookies: %q", c)
	}
	if l := h["X-List"]; len(l) != 2 || l[0] != "1" || l[1] != "2" {
		t.Errorf("unexpected list: %q", l)
	}
}

// TestHTTP2Malformed has requests refused that are none, or could become two of
// HTTP/1.1, and the connection serve others.
func TestHTTP2Malformed(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	addr := newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/good" {
			reached.Add(1)
			t.Errorf("the backend was asked for %q, %v", r.RequestURI, r.Header)
		}
	})
	f := newClearFront(t, nil, addr)
	without := func(i int) []string {
		all := get2("/")
		return append(append([]string(nil), all[:2*i]...), all[2*i+2:]...)
	}
	set := func(i int, value string) []string {
		all := get2("/")
		all[2*i+1] = value
		return all
	}
	for _, x := range []struct {
		name   string
		fields []string
	}{
		{"no method", without(0)},
		{"no scheme", without(1)},
		{"no path", without(3)},
		{"empty path", set(3, "")},
		{"path without a slash", set(3, "x")},
		{"absolute path", set(3, "http://b/")},
		{"star", set(3, "*")},
		{"line in a path", set(3, "/ HTTP/1.1\r\nHost: b\r\n\r\nGET /evil HTTP/1.1\r\nx:")},
		{"space in a path", set(3, "/a b")},
		{"NUL in a path", set(3, "/\x00")},
		{"line in a method", set(0, "GET / HTTP/1.1\r\nx: y\r\n\r\nGET")},
		{"space in a method", set(0, "GET /evil HTTP/1.1\r\nx:")},
		{"empty method", set(0, "")},
		{"line in a host", set(2, "a\r\nx: y")},
		{"user in a host", set(2, "u@a")},
		{"unknown scheme", set(1, "ftp")},
		{"line in a value", get2("/", "x", "a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n")},
		{"CR in a value", get2("/", "x", "a\rb")},
		{"LF in a value", get2("/", "x", "a\nb")},
		{"NUL in a value", get2("/", "x", "a\x00b")},
		{"space before a value", get2("/", "x", " a")},
		{"space behind a value", get2("/", "x", "a ")},
		{"tab behind a value", get2("/", "x", "a\t")},
		{"line in a name", get2("/", "x: y\r\nz", "a")},
		{"colon in a name", get2("/", "x:y", "a")},
		{"space in a name", get2("/", "transfer-encoding ", "chunked")},
		{"capital in a name", get2("/", "X-A", "a")},
		{"empty name", get2("/", "", "a")},
		{"connection", get2("/", "connection", "x-forwarded-for")},
		{"keep-alive", get2("/", "keep-alive", "timeout=5")},
		{"proxy-connection", get2("/", "proxy-connection", "close")},
		{"transfer-encoding", post2("/", "transfer-encoding", "chunked")},
		{"upgrade", get2("/", "upgrade", "h2c")},
		{"te", get2("/", "te", "trailers, deflate")},
		{"a pseudo field twice", get2("/", ":path", "/b")},
		{"a pseudo field behind others", append([]string{"x", "y"}, get2("/")...)},
		{"an unknown pseudo field", get2("/")[:0:0]},
		{"a pseudo field of responses", append([]string{":status", "200"}, get2("/")...)},
		{"another host", get2("/", "host", "b")},
		{"two hosts", get2("/", "host", "a", "host", "a")},
		{"a length of words", post2("/", "content-length", "five")},
		{"a signed length", post2("/", "content-length", "+5")},
		{"two lengths", post2("/", "content-length", "5", "content-length", "5")},
		{"a length and no body", post2("/", "content-length", "5")},
		{"a protocol without CONNECT", get2("/", ":protocol", "websocket")},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			fr := f.framer()
			fields := x.fields
			if len(fields) == 0 {
				fields = append([]string{":unknown", "x"}, get2("/")...)
			}
			fr.open(1, true, fields...)
			a, err := fr.read(1)
			if err != nil || !a.wasRST || a.reset != http2.ErrCodeProtocol {
				t.Errorf("unexpected answer: %+v, %v", a, err)
			}
			fr.open(3, true, get2("/good")...)
			if a := fr.mustRead(3); a.status != "200" {
				t.Errorf("unexpected answer to a good request: %+v", a)
			}
		})
	}
	t.Run("bodies", func(t *testing.T) {
		t.Parallel()
		for n, parts := range map[string][]string{"longer": {"abc", "def"}, "shorter": {"a", ""}} {
			fr := f.framer()
			fr.open(1, false, post2("/good", "content-length", "5")...)
			for i, p := range parts {
				fr.ok(fr.WriteData(1, i == len(parts)-1, []byte(p)))
			}
			if a, err := fr.read(1); err != nil || !a.wasRST || a.reset != http2.ErrCodeProtocol {
				t.Errorf("unexpected answer to a body that is %s: %+v, %v", n, a, err)
			}
		}
	})
	t.Run("answers", func(t *testing.T) {
		t.Parallel()
		for status, fields := range map[string][]string{
			"400": {":method", "GET", ":scheme", "http", ":path", "/good"}, // without a host
			"405": {":method", "CONNECT", ":authority", "a:443"},
			"431": get2("/good", "x-a", strings.Repeat("a", 30<<10), "x-b", strings.Repeat("b", 30<<10)),
		} {
			fr := f.framer()
			fr.ok(fr.writeLong(1, block(fields...)))
			if a := fr.mustRead(1); a.status != status {
				t.Errorf("unexpected answer: %+v; want %s", a, status)
			}
		}
	})
}

// writeLong opens a stream whose header block may be long.
func (fr *framer) writeLong(id uint32, b []byte) error {
	first := b[:min(len(b), 16000)]
	b = b[len(first):]
	if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: true, EndHeaders: len(b) == 0}); err != nil {
		return err
	}
	for len(b) > 0 {
		part := b[:min(len(b), 16000)]
		b = b[len(part):]
		if err := fr.WriteContinuation(id, len(b) == 0, part); err != nil {
			return err
		}
	}
	return nil
}

// TestHTTP2Floods has clients that send what brings nothing told to be calm, and
// left, while others are served.
func TestHTTP2Floods(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}
	})
	f := newClearFront(t, nil, addr)
	good := f.client2()
	const many = 100_000
	slow := func(fr *framer, i int, end bool, fields ...string) error {
		return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block(post2("/slow", fields...)...), EndStream: end, EndHeaders: true})
	}
	floods := map[string]func(fr *framer, i int) error{
		"pings":    func(fr *framer, _ int) error { return fr.WritePing(false, [8]byte{1}) },
		"settings": func(fr *framer, _ int) error { return fr.WriteSettings() },
		"resets": func(fr *framer, i int) error {
			return errors.Join(slow(fr, i, true), fr.WriteRSTStream(uint32(2*i+1), http2.ErrCodeCancel))
		},
		"continuations": func(fr *framer, i int) error {
			if i == 0 {
				return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(get2("/")...)})
			}
			return fr.WriteContinuation(1, false, block("x", "y"))
		},
		"empty data": func(fr *framer, i int) error {
			if i == 0 {
				return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(post2("/slow")...), EndHeaders: true})
			}
			return fr.WriteData(1, false, nil)
		},
		"priorities": func(fr *framer, i int) error {
			return fr.WritePriority(uint32(2*i+1), http2.PriorityParam{StreamDep: 0, Weight: 1})
		},
		"unknown frames": func(fr *framer, _ int) error { return fr.WriteRawFrame(0xbb, 0, 0, []byte("x")) },
		"windows":        func(fr *framer, _ int) error { return fr.WriteWindowUpdate(0, 1) },
		// A client can also have its requests be reset (CVE-2025-8671).
		"windows by nothing": func(fr *framer, i int) error {
			return errors.Join(slow(fr, i, true), fr.WriteWindowUpdate(uint32(2*i+1), 0))
		},
		"windows that overflow": func(fr *framer, i int) error {
			return errors.Join(slow(fr, i, true), fr.WriteWindowUpdate(uint32(2*i+1), 1<<31-1))
		},
		"dependence on itself": func(fr *framer, i int) error {
			return errors.Join(slow(fr, i, true), fr.WritePriority(uint32(2*i+1), http2.PriorityParam{StreamDep: uint32(2*i + 1)}))
		},
		"data behind the end": func(fr *framer, i int) error {
			return errors.Join(slow(fr, i, true), fr.WriteData(uint32(2*i+1), true, []byte("x")))
		},
		"bodies too long": func(fr *framer, i int) error {
			return errors.Join(slow(fr, i, false, "content-length", "1"), fr.WriteData(uint32(2*i+1), true, []byte("xx")))
		},
		"trailers that are none": func(fr *framer, i int) error {
			return errors.Join(slow(fr, i, false), fr.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block(":path", "/"), EndStream: true, EndHeaders: true}))
		},
		"malformed": func(fr *framer, i int) error { return slow(fr, i, true, "connection", "close") },
		"streams beyond the limit": func(fr *framer, i int) error {
			return slow(fr, i, true)
		},
	}
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fr := f.framer()
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := range many {
					if flood(fr, i) != nil {
						return
					}
				}
				t.Error("nobody minded the flood")
				fr.c.Close()
			}()
			fr.wantCalm(http2.ErrCodeEnhanceYourCalm)
			fr.c.Close()
			<-done
			resp, err := good.Get(f.url("/"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		})
	}
	t.Cleanup(func() { f.wantMetric(`sluice_l7_h2_faults_total{code="enhance_your_calm"}`, float64(len(floods))) })
}

// TestHTTP2Pings has a client that measures by pings, as those of gRPC do, go on
// for ever: each of them follows something of use.
func TestHTTP2Pings(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	fr := newClearFront(t, nil, addr).framer()
	const rounds, batch = 40, 60
	for r := range uint32(rounds) {
		first := 2*batch*r + 1
		for i := range uint32(batch) {
			fr.ok(fr.WritePing(false, [8]byte{1}))
			fr.open(first+2*i, true, get2("/")...)
		}
		fr.mustEnd(batch)
	}
}

// TestHTTP2SlowReader has a stream whose client takes nothing of it hold up no
// other one of its connection, and go on when it does.
func TestHTTP2SlowReader(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = w.Write(make([]byte, size))
		}
		if r.Method == "POST" {
			_, _ = io.Copy(io.Discard, r.Body)
		}
	})
	f := newClearFront(t, nil, addr)
	fr := f.framer(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	for id := uint32(1); id < 40; id += 2 {
		fr.open(id, true, get2("/large")...)
	}
	for id := uint32(101); id < 141; id += 2 {
		fr.open(id, true, get2("/")...)
		if a := fr.mustRead(id); a.status != "200" {
			t.Fatalf("unexpected answer: %+v", a)
		}
	}
	fr.ok(fr.WriteWindowUpdate(0, 1<<30))
	fr.ok(fr.WriteWindowUpdate(1, 1<<30))
	if a := fr.mustRead(1); len(a.body) != size {
		t.Errorf("unexpected length of a body that had waited: %d", len(a.body))
	}
}

// TestHTTP2SlowUpload has an upload that no backend takes hold up no other one.
func TestHTTP2SlowUpload(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	addr := newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/deaf" {
			<-stop
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})
	f := newClearFront(t, nil, addr)
	client := f.client2()
	ctx := t.Context()
	for range 8 {
		go func() {
			req, _ := http.NewRequestWithContext(ctx, "POST", f.url("/deaf"), bytes.NewReader(make([]byte, 32<<20)))
			if resp, err := client.Do(req); err == nil {
				resp.Body.Close()
			}
		}()
	}
	defer close(stop)
	for range 10 {
		resp, err := client.Post(f.url("/"), "text/plain", bytes.NewReader(make([]byte, 1<<20)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
}

// TestHTTP2Drain has a session be told twice that it ends: first that it shall
// open no more streams, then which was the last; what is under way ends.
func TestHTTP2Drain(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}, 8), make(chan struct{})
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- struct{}{}
			<-release
		}
		_, _ = io.WriteString(w, "done")
	})
	f := newClearFront(t, nil, addr)
	fr := f.framer()
	fr.open(1, true, get2("/slow")...)
	<-entered
	f.Drain()
	first := fr.goAway()
	if first.LastStreamID != 1<<31-1 || first.ErrCode != http2.ErrCodeNo {
		t.Fatalf("unexpected first GOAWAY: %+v", first)
	}
	fr.open(3, true, get2("/slow")...) // it was on its way
	<-entered
	if second := fr.goAway(); second.LastStreamID != 3 || second.ErrCode != http2.ErrCodeNo {
		t.Fatalf("unexpected second GOAWAY: %+v", second)
	}
	fr.open(5, true, get2("/slow")...) // it is lost, and known to be
	late := f.framer()
	late.open(1, true, get2("/")...)
	if a := late.mustRead(1); a.body != "done" {
		t.Errorf("unexpected answer on a connection that came while draining: %+v", a)
	}
	cut := make(chan int, 1)
	go func() { cut <- f.shutdown(patience) }()
	close(release)
	got := map[uint32]string{}
	for len(got) < 2 {
		fr2, err := fr.ReadFrame()
		if err != nil {
			t.Fatalf("the connection ended before its streams: %v, %v", got, err)
		}
		if d, ok := fr2.(*http2.DataFrame); ok && d.StreamEnded() {
			got[d.StreamID] = string(d.Data())
		}
	}
	if got[1] != "done" || got[3] != "done" {
		t.Errorf("unexpected bodies: %v", got)
	}
	if n := <-cut; n != 0 {
		t.Errorf("unexpected number of cut connections; got %d; want 0", n)
	}
	if _, err := fr.read(0); !errors.Is(err, io.EOF) {
		t.Errorf("unexpected end of the connection: %v", err)
	}
}

// goAway reads until GOAWAY.
func (fr *framer) goAway() http2.GoAwayFrame {
	fr.t.Helper()
	_ = fr.c.SetReadDeadline(time.Now().Add(patience))
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			fr.t.Fatalf("no GOAWAY: %v", err)
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			return http2.GoAwayFrame{LastStreamID: g.LastStreamID, ErrCode: g.ErrCode}
		}
	}
}

// TestHTTP2WebSocket has a WebSocket of HTTP/2 (RFC 8441) reach a backend of
// HTTP/1.1.
func TestHTTP2WebSocket(t *testing.T) {
	t.Parallel()
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		req, err := http.ReadRequest(c.br)
		if err != nil {
			return
		}
		if req.Method != "GET" || req.Header.Get("Sec-Websocket-Version") != "13" {
			t.Errorf("unexpected request: %v", req)
		}
		sum := sha1.Sum([]byte(req.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		accept := base64.StdEncoding.EncodeToString(sum[:])
		if req.URL.Path == "/wrong" {
			accept = "wrong"
		}
		c.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\nhello")
		_, _ = io.Copy(c, c.br)
		_ = c.CloseWrite()
	})
	f := newClearFront(t, nil, addr)
	connect := func(path string) []string {
		return []string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", path, "sec-websocket-version", "13"}
	}
	fr := f.framer()
	fr.open(1, false, connect("/chat")...)
	fr.ok(fr.WriteData(1, false, []byte(" world")))
	fr.ok(fr.WriteData(1, true, []byte("!")))
	if a := fr.mustRead(1); a.status != "200" || a.body != "hello world!" {
		t.Errorf("unexpected tunnel: %+v", a)
	}
	fr.open(3, false, connect("/wrong")...)
	if a, err := fr.read(3); err != nil || !a.wasRST {
		t.Errorf("unexpected end of a tunnel that was not agreed on: %+v, %v", a, err)
	}
}

// TestHTTP2Truncated has a response that breaks off end as no response does.
func TestHTTP2Truncated(t *testing.T) {
	t.Parallel()
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		if _, _, err := c.request(); err == nil {
			c.write("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		}
	})
	fr := newClearFront(t, nil, addr).framer()
	fr.open(1, true, get2("/")...)
	if a, err := fr.read(1); err != nil || a.body != "hello" || !a.wasRST || a.reset != http2.ErrCodeInternal {
		t.Errorf("unexpected end: %+v, %v", a, err)
	}
	fr.open(3, true, post2("/", "content-type", "application/grpc")...)
	a := fr.mustRead(3)
	if last := a.heads[len(a.heads)-1]; a.body != "hello" || last.get("grpc-status") != "14" || len(last["grpc-status"]) != 1 {
		t.Errorf("unexpected end of a call: %+v", a)
	}
}

// TestHTTP2Calls has callers of gRPC get a status where others get a page.
func TestHTTP2Calls(t *testing.T) {
	t.Parallel()
	dead := deadAddr(t)
	f := newClearFront(t, func(c *Config) { c.Routes[0].Path = "/pkg.Service" }, dead)
	for path, want := range map[string]string{"/pkg.Service/Method": "14", "/none/Method": "12"} {
		fr := f.framer()
		fr.open(1, true, post2(path, "content-type", "application/grpc+proto", "te", "trailers")...)
		a := fr.mustRead(1)
		if len(a.heads) != 1 || a.status != "200" || a.body != "" {
			t.Fatalf("unexpected answer, which is not trailers alone: %+v", a)
		}
		h := a.heads[0]
		if h.get("grpc-status") != want || h.get("grpc-message") == "" || h.get("content-type") != "application/grpc" {
			t.Errorf("unexpected answer for %s: %v", path, h)
		}
		fr.open(3, true, post2(path, "content-type", "application/grpc-web")...)
		if a := fr.mustRead(3); a.status == "200" {
			t.Errorf("unexpected answer to gRPC-Web: %+v", a)
		}
	}
}

// TestHTTP2ALPN has clients of TLS agree on what both speak.
func TestHTTP2ALPN(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get(textproto.CanonicalMIMEHeaderKey("x-forwarded-proto")))
	})
	onlyLoop(t)
	server, client := tls2(t)
	f := newFrontOn(t, listen.Config{TLS: server}, nil, addr)
	for _, two := range []bool{true, false} {
		tr := &http.Transport{TLSClientConfig: client.Clone(), ForceAttemptHTTP2: two}
		if !two {
			tr.TLSClientConfig.NextProtos = []string{"http/1.1"}
		}
		c := &http.Client{Transport: tr, Timeout: patience}
		for range 3 {
			resp, err := c.Get("https://" + f.addr + "/")
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if want := fmt.Sprintf("HTTP/%d", map[bool]int{true: 2, false: 1}[two]); !strings.HasPrefix(resp.Proto, want) || string(body) != "https" {
				t.Errorf("unexpected response: %s, %q; want %s", resp.Proto, body, want)
			}
		}
		tr.CloseIdleConnections()
	}
}

// TestHTTP2Unasked has clear HTTP/2 refused where it is not spoken.
func TestHTTP2Unasked(t *testing.T) {
	t.Parallel()
	c := newFront(t, nil).raw()
	c.write(http2.ClientPreface)
	if resp, _ := c.response("PRI"); resp.StatusCode != 505 {
		t.Errorf("unexpected status: %d", resp.StatusCode)
	}
}
