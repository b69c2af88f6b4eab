package l7

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// refusals are requests that must be answered with an error and a close, and
// never reach a backend.
var refusals = []struct {
	status int
	text   string
}{
	{400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"},
	{400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"},
	{400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"},
	{400, "POST / HTTP/1.1\r\nHost: a\r\nFoo bar: x\r\nContent-Length: 5\r\n\r\n"},
	{400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"},
	{400, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{400, "GET http://b@a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{400, "GET /../etc HTTP/1.1\r\nHost: a\r\n\r\n"},
	{400, "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"},
	{400, "GET / x HTTP/1.1\r\nHost: a\r\n\r\n"},
	{400, "hello\r\n\r\n"},
	{405, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"},
	{405, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{417, "POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 5\r\n\r\n"},
	{431, "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 9<<10) + "\r\n\r\n"},
	{505, "GET / HTTP/2.2\r\nHost: a\r\n\r\n"},
	{505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
}

func TestRefusals(t *testing.T) { eachDriver(t, testRefusals) }

func testRefusals(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a request reached the backend: %s %s %v", r.Method, r.RequestURI, r.Header)
	})
	f := newFront(t, func(c *Config) { c.MaxHeadBytes = 8 << 10 }, addr)
	for _, bytewise := range []bool{false, true} {
		for _, r := range refusals {
			if bytewise && len(r.text) > 1000 {
				continue
			}
			c := f.raw()
			if bytewise {
				for i := range len(r.text) {
					if _, err := io.WriteString(c, r.text[i:i+1]); err != nil {
						break // it has heard enough
					}
				}
			} else {
				c.write(r.text)
			}
			resp, _ := c.response("GET")
			if resp.StatusCode != r.status || !resp.Close || resp.Header.Get("X-Sluice-Reason") == "" {
				t.Errorf("unexpected response to %.200q; got %d, %v; want %d", r.text, resp.StatusCode, resp.Header, r.status)
			}
			if !bytewise {
				c.wantEOF()
			}
		}
	}
	if f.gauge("sluice_l7_rejected_total") == 0 {
		t.Error("nothing was counted")
	}
}

func TestNoRoute(t *testing.T) { eachDriver(t, testNoRoute) }

func testNoRoute(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	f := newFront(t, func(c *Config) { c.Routes[0].Path = "/api" }, addr)
	c := f.raw()
	c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /api HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, _ := c.response("GET"); resp.StatusCode != 404 || resp.Header.Get("X-Sluice-Reason") != "no_route" || resp.Close {
		t.Errorf("unexpected response; got %d %v", resp.StatusCode, resp.Header)
	}
	if resp, _ := c.response("GET"); resp.StatusCode != 200 {
		t.Errorf("unexpected status; got %d; want 200", resp.StatusCode)
	}
	// Of a body that nobody reads nothing may become the next request.
	c.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("GET /api HTTP/1.1\r\nHost: a\r\n\r\n", 10))
	if resp, _ := c.response("POST"); resp.StatusCode != 404 || !resp.Close {
		t.Errorf("unexpected response; got %d, close %v", resp.StatusCode, resp.Close)
	}
	c.wantEOF()
}

func TestPipelining(t *testing.T) { eachDriver(t, testPipelining) }

func testPipelining(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
	})
	f := newFront(t, nil, addr)
	c := f.raw()
	var requests, want strings.Builder
	for i := range 20 {
		fmt.Fprintf(&requests, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
		fmt.Fprintf(&requests, "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", i)
		fmt.Fprintf(&requests, "POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: x\r\n\r\n", i)
		fmt.Fprintf(&requests, "PUT /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n%s", i, strings.Repeat("y", 9000))
		fmt.Fprintf(&want, "GET /%d |POST /%d hello|POST /%d hello|PUT /%d %s|", i, i, i, i, strings.Repeat("y", 9000))
	}
	go c.write(requests.String())
	var got strings.Builder
	for range 80 {
		_, body := c.response("GET")
		got.WriteString(body + "|")
	}
	if got.String() != want.String() {
		t.Errorf("unexpected responses; got %q; want %q", got.String(), want.String())
	}
}

func TestResponsesWithoutBody(t *testing.T) { eachDriver(t, testResponsesWithoutBody) }

func testResponsesWithoutBody(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/304":
			w.WriteHeader(304)
		case "/204":
			w.WriteHeader(204)
		case "/empty":
		case "/cl":
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
		case "/chunked":
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "hello")
		}
	})
	f := newFront(t, nil, addr)
	c := f.raw() // one connection: what is wrong shows in the next response
	for range 2 {
		for _, r := range []struct {
			method, path, body string
			status             int
			length             int64
		}{
			{"GET", "/304", "", 304, 0},
			{"GET", "/204", "", 204, 0},
			{"GET", "/empty", "", 200, 0},
			{"HEAD", "/cl", "", 200, 5},
			{"GET", "/cl", "hello", 200, 5},
			{"HEAD", "/chunked", "", 200, -1},
			{"GET", "/chunked", "hello", 200, -1},
		} {
			c.write(r.method + " " + r.path + " HTTP/1.1\r\nHost: a\r\n\r\n")
			resp, body := c.response(r.method)
			if resp.StatusCode != r.status || body != r.body || resp.Close || r.status == 200 && resp.ContentLength != r.length {
				t.Errorf("unexpected response to %s %s; got %d, %q, length %d, close %v", r.method, r.path, resp.StatusCode, body, resp.ContentLength, resp.Close)
			}
		}
	}
	// After each HEAD the connection rests.
	if n := f.pool.Snapshot().All[0].Counters.Connections.Load(); n > 5 {
		t.Errorf("unexpected number of connections to the backend; got %d; want at most 5", n)
	}
}

func TestLengthWithoutBody(t *testing.T) { eachDriver(t, testLengthWithoutBody) }

func testLengthWithoutBody(t *testing.T) {
	t.Parallel()
	f := func(status, length string) {
		t.Helper()
		addr := newRawBackend(t, func(_ int, c *rawConn) {
			for {
				if _, _, err := c.request(); err != nil {
					return
				}
				c.write("HTTP/1.1 " + status + "\r\nContent-Length: 5\r\n\r\n")
			}
		})
		c := newFront(t, nil, addr).raw()
		for range 2 {
			c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if resp, _ := c.response("GET"); resp.Header.Get("Content-Length") != length {
				t.Errorf("unexpected header of a %s; got %v; want Content-Length %q", status, resp.Header, length)
			}
		}
	}
	f("304 Not Modified", "5")
	f("204 No Content", "") // RFC 9110 8.6 forbids it
}

func TestExpectContinue(t *testing.T) { eachDriver(t, testExpectContinue) }

func testExpectContinue(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if e := r.Header.Get("Expect"); e != "" {
			t.Errorf("Expect was forwarded: %s", e)
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d", len(body))
	})
	f := newFront(t, nil, addr)
	c := f.raw()
	for _, expect := range []string{"100-continue", "100-Continue"} {
		for _, framing := range []string{"Content-Length: 5", "Content-Length: 20000", "Transfer-Encoding: chunked"} {
			c.write("POST / HTTP/1.1\r\nHost: a\r\nExpect: " + expect + "\r\n" + framing + "\r\n\r\n")
			line, err := c.br.ReadString('\n')
			if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
				t.Fatalf("unexpected line; got %q, %v", line, err)
			}
			_, _ = c.br.ReadString('\n')
			want := "5"
			switch framing {
			case "Content-Length: 5":
				c.write("hello")
			case "Content-Length: 20000":
				c.write(strings.Repeat("x", 20000))
				want = "20000"
			default:
				c.write("5\r\nhello\r\n0\r\n\r\n")
			}
			if _, body := c.response("POST"); body != want {
				t.Errorf("unexpected body; got %q; want %q", body, want)
			}
		}
	}
	// HTTP/1.0 knows no 100, and a refused request gets none either.
	c = f.raw()
	c.write("POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
	if resp, body := c.response("POST"); resp.StatusCode != 200 || body != "5" {
		t.Errorf("unexpected response; got %d, %q", resp.StatusCode, body)
	}
	c = f.raw()
	c.write("POST /.. HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	if resp, _ := c.response("POST"); resp.StatusCode != 400 {
		t.Errorf("unexpected status; got %d; want 400", resp.StatusCode)
	}
}

func TestHTTP10(t *testing.T) { eachDriver(t, testHTTP10) }

func testHTTP10(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Proto != "HTTP/1.1" {
			t.Errorf("unexpected protocol %s", r.Proto)
		}
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, "hello")
	})
	f := newFront(t, nil, addr)
	c := f.raw()
	for range 3 {
		c.write("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n")
		resp, body := c.response("GET")
		if body != "hello" || resp.Header.Get("Connection") != "keep-alive" {
			t.Errorf("unexpected response; got %q, %v", body, resp.Header)
		}
	}
	for _, head := range []string{"GET /chunked HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"} {
		c.write(head)
		resp, body := c.response("GET")
		if body != "hello" || !resp.Close || len(resp.TransferEncoding) > 0 {
			t.Errorf("unexpected response to %q; got %q, %v, %v", head, body, resp.Header, resp.TransferEncoding)
		}
		c.wantEOF()
		c = f.raw()
	}
}

func TestBackendHTTP10(t *testing.T) { eachDriver(t, testBackendHTTP10) }

func testBackendHTTP10(t *testing.T) {
	t.Parallel()
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		if _, _, err := c.request(); err == nil {
			c.write("HTTP/1.0 200 OK\r\n\r\nuntil the end")
		}
	})
	f := newFront(t, nil, addr)
	c := f.raw()
	for range 2 {
		c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, body := c.response("GET"); resp.Proto != "HTTP/1.1" || body != "until the end" || resp.Close {
			t.Errorf("unexpected response; got %s, %q, close %v", resp.Proto, body, resp.Close)
		}
	}
}

func TestUpgrade(t *testing.T) { eachDriver(t, testUpgrade) }

func testUpgrade(t *testing.T) {
	t.Parallel()
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		req, _, err := c.request()
		if err != nil {
			return
		}
		if req.Header.Get("Upgrade") != "websocket" || req.Header.Get("Connection") != "Upgrade" {
			t.Errorf("unexpected request; got %v", req.Header)
		}
		c.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\n\r\nfirst ")
		_, _ = io.Copy(c, c.br)
		c.write(" last")
	})
	f := newFront(t, nil, addr)
	c := f.raw()
	c.write("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly ")
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "WebSocket" || resp.Header.Get("Sec-Websocket-Accept") != "x" {
		t.Fatalf("unexpected response; got %v, %v", resp, err)
	}
	big := strings.Repeat("0123456789", 100_000)
	go func() {
		c.write(big)
		_ = c.CloseWrite() // the other direction goes on
	}()
	got, err := io.ReadAll(c.br)
	if want := "first early " + big + " last"; err != nil || string(got) != want {
		t.Errorf("unexpected echo; got %d bytes, %v; want %d", len(got), err, len(want))
	}
	f.wantMetric(`sluice_l7_requests_total{service="web",code="1xx"}`, 1)
	f.wantMetric(`sluice_l7_bytes_total{service="web",direction="in"}`, float64(len(big)+len("early ")))
	f.wantMetric(`sluice_l7_bytes_total{service="web",direction="out"}`, float64(len(big)+len("first early  last")))
	f.wantMetric(`sluice_l7_requests{service="web"}`, 0)
}

func TestUpgradeRefused(t *testing.T) { eachDriver(t, testUpgradeRefused) }

func testUpgradeRefused(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "h2c") && (r.Header.Get("Upgrade") != "" || r.Header.Get("Http2-Settings") != "") {
			t.Errorf("h2c was forwarded: %v", r.Header)
		}
		n.Add(1)
		_, _ = io.WriteString(w, "no")
	})
	f := newFront(t, nil, addr)
	c := f.raw()
	c.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if resp, body := c.response("GET"); resp.StatusCode != 200 || body != "no" {
		t.Errorf("unexpected response; got %d %q", resp.StatusCode, body)
	}
	c.write("GET /h2c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n")
	if resp, body := c.response("GET"); resp.StatusCode != 200 || body != "no" {
		t.Errorf("unexpected response; got %d %q", resp.StatusCode, body)
	}
	if n.Load() != 2 {
		t.Errorf("unexpected number of requests; got %d; want 2", n.Load())
	}
}

func TestHeadTimeout(t *testing.T) { eachDriver(t, testHeadTimeout) }

func testHeadTimeout(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	f := newFront(t, func(c *Config) { c.HeadTimeout = 100 * time.Millisecond }, addr)
	// A head that drips does not get more time.
	c := f.raw()
	c.write("GET / HTTP/1.1\r\n")
	stop := make(chan struct{})
	dripped := make(chan struct{})
	go func() {
		defer close(dripped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				if _, err := io.WriteString(c, "X: y\r\n"); err != nil {
					return
				}
			}
		}
	}()
	resp, _ := c.response("GET")
	close(stop)
	<-dripped
	if resp.StatusCode != 408 || !resp.Close || resp.Header.Get("X-Sluice-Reason") != "request_timeout" {
		t.Errorf("unexpected response; got %d, %v", resp.StatusCode, resp.Header)
	}
	// Who says nothing is told nothing.
	f.raw().wantEOF()
	f.wantMetric(`sluice_l7_rejected_total`, 1)
}

func TestIdleTimeout(t *testing.T) { eachDriver(t, testIdleTimeout) }

func testIdleTimeout(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	f := newFront(t, func(c *Config) { c.IdleTimeout = 50 * time.Millisecond }, addr)
	c := f.raw()
	c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	c.response("GET")
	c.wantEOF()
}

// TestChunkedPieces sends a chunked body in awkward pieces.
func TestChunkedPieces(t *testing.T) { eachDriver(t, testChunkedPieces) }

func testChunkedPieces(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != -1 || len(r.Trailer) > 0 {
			t.Errorf("unexpected framing; got %d, trailer %v", r.ContentLength, r.Trailer)
		}
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v", body, err)
	})
	f := newFront(t, nil, addr)
	c := f.raw()
	w := bufio.NewWriterSize(c, 1)
	for range 3 {
		for _, b := range []byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00002;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n") {
			_ = w.WriteByte(b)
			_ = w.Flush()
		}
		if _, body := c.response("POST"); body != "abcde <nil>" {
			t.Errorf("unexpected body; got %q", body)
		}
	}
}
