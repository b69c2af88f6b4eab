package l7

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// pattern yields n bytes that are not all the same.
func pattern(n int64) io.Reader { return io.LimitReader(&counterReader{}, n) }

type counterReader struct{ n uint32 }

func (r *counterReader) Read(p []byte) (int, error) {
	for i := range p {
		r.n = r.n*1664525 + 1013904223
		p[i] = byte(r.n >> 24)
	}
	return len(p), nil
}

func sum(r io.Reader) (string, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return fmt.Sprintf("%x", h.Sum(nil)), n, err
}

// TestBulk moves 100 MiB each way, or as many bytes as SLUICE_TEST_BULK says.
// It is not parallel: it looks at the memory of the whole process.
func TestBulk(t *testing.T) { eachDriverInTurn(t, testBulk) }

func testBulk(t *testing.T) {
	size := int64(100 << 20)
	if s := os.Getenv("SLUICE_TEST_BULK"); s != "" {
		var err error
		if size, err = strconv.ParseInt(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	} else if raceEnabled {
		size = 20 << 20
	}
	want, _, _ := sum(pattern(size))
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/up":
			got, n, err := sum(r.Body)
			fmt.Fprintf(w, "%s %d %v %d", got, n, err, r.ContentLength)
		case "/down":
			if r.URL.RawQuery == "cl" {
				w.Header().Set("Content-Length", fmt.Sprint(size))
			}
			_, _ = io.Copy(w, pattern(size))
		}
	})
	f := newFront(t, nil, addr)
	c := f.client()
	var peak atomic.Uint64
	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapInuse))
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	for _, framing := range []string{"cl", "chunked"} {
		req, _ := http.NewRequest("POST", f.url("/up"), pattern(size))
		length := int64(-1)
		if framing == "cl" {
			req.ContentLength, length = size, size
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got, want := string(body), fmt.Sprintf("%s %d <nil> %d", want, size, length); got != want {
			t.Fatalf("unexpected upload (%s); got %s; want %s", framing, got, want)
		}
		resp, err = c.Get(f.url("/down?" + framing))
		if err != nil {
			t.Fatal(err)
		}
		got, n, err := sum(resp.Body)
		resp.Body.Close()
		if err != nil || n != size || got != want {
			t.Fatalf("unexpected download (%s); got %d bytes, %v, sum %s", framing, n, err, got)
		}
	}
	close(stop)
	<-watched
	if got := peak.Load(); got > 64<<20 {
		t.Errorf("unexpected memory use; got %d MiB; want less than 64", got>>20)
	}
	f.wantMetric(`sluice_l7_bytes_total{service="web",direction="in"}`, float64(2*size))
}

func TestFullDuplexEcho(t *testing.T) { eachDriver(t, testFullDuplexEcho) }

func testFullDuplexEcho(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		w.WriteHeader(200)
		_ = rc.Flush()
		buf := make([]byte, 1024)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = rc.Flush()
			if err != nil {
				return
			}
		}
	})
	f := newFront(t, nil, addr)
	pr, pw := io.Pipe()
	req, _ := http.NewRequest("POST", f.url("/"), pr)
	resp, err := f.client().Do(req) // the head comes before any body byte is sent
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for i := range 100 {
		line := fmt.Sprintf("line %d\n", i)
		if _, err := io.WriteString(pw, line); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(line))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != line {
			t.Fatalf("unexpected echo; got %q, %v; want %q", got, err, line)
		}
	}
	pw.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Fatalf("unexpected end; got %q, %v", rest, err)
	}
	f.wantMetric(`sluice_l7_requests_total{service="web",code="2xx"}`, 1)
	f.wantMetric(`sluice_l7_failed_total`, 0)
}

// TestFullDuplexBulk echoes more than all buffers on the way hold.
func TestFullDuplexBulk(t *testing.T) { eachDriver(t, testFullDuplexBulk) }

func testFullDuplexBulk(t *testing.T) {
	t.Parallel()
	const size = 20 << 20
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	f := newFront(t, nil, addr)
	for _, length := range []int64{-1, size} {
		req, _ := http.NewRequest("POST", f.url("/"), pattern(size))
		req.ContentLength = length
		resp, err := f.client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, n, err := sum(resp.Body)
		resp.Body.Close()
		want, _, _ := sum(pattern(size))
		if err != nil || got != want {
			t.Fatalf("unexpected echo; got %d bytes, %v", n, err)
		}
	}
}

func TestEarlyResponse(t *testing.T) { eachDriver(t, testEarlyResponse) }

func testEarlyResponse(t *testing.T) {
	t.Parallel()
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		if _, err := http.ReadRequest(c.br); err != nil {
			return
		}
		c.write("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope")
	})
	f := newFront(t, nil, addr)
	for _, framing := range []string{"Content-Length: 100000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n100000\r\n"} {
		c := f.raw()
		c.write("POST / HTTP/1.1\r\nHost: a\r\n" + framing + strings.Repeat("f", 1<<14))
		resp, body := c.response("POST")
		if resp.StatusCode != 413 || body != "nope" || !resp.Close {
			t.Errorf("unexpected response; got %d, %q, close %v", resp.StatusCode, body, resp.Close)
		}
	}
	// A client that goes on sending meanwhile still gets the response.
	req, _ := http.NewRequest("POST", f.url("/"), pattern(8<<20))
	req.ContentLength = 8 << 20
	resp, err := f.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("unexpected status; got %d; want 413", resp.StatusCode)
	}
}

func TestTruncatedResponse(t *testing.T) { eachDriver(t, testTruncatedResponse) }

func testTruncatedResponse(t *testing.T) {
	t.Parallel()
	f := func(response string, http10 bool) {
		t.Helper()
		addr := newRawBackend(t, func(_ int, c *rawConn) {
			if _, _, err := c.request(); err != nil {
				return
			}
			c.write(response)
			_ = c.SetLinger(0)
			if !http10 {
				_ = c.SetLinger(-1)
			}
		})
		fr := newFront(t, nil, addr)
		c := fr.raw()
		if http10 {
			c.write("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
		} else {
			c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		}
		resp, err := http.ReadResponse(c.br, nil)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		if err == nil {
			t.Errorf("unexpected success of a response truncated by %q", response)
		}
		fr.wantMetric(`sluice_l7_failed_total{service="web",reason="truncated_response"}`, 1)
	}
	f("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", false)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", false)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n", false)
	f("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", true)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true)
}

func TestTruncatedUpload(t *testing.T) { eachDriver(t, testTruncatedUpload) }

func testTruncatedUpload(t *testing.T) {
	t.Parallel()
	f := func(request string) {
		t.Helper()
		begun, ended := make(chan struct{}, 1), make(chan error, 1)
		addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			begun <- struct{}{}
			_, err := io.ReadAll(r.Body)
			ended <- err
		})
		fr := newFront(t, nil, addr)
		c := fr.raw()
		c.write("POST / HTTP/1.1\r\nHost: a\r\n" + request)
		<-begun
		_ = c.CloseWrite()
		if err := <-ended; err == nil {
			t.Errorf("the backend saw a complete request; want an error for %.40q", request)
		}
		c.wantEOF()
		fr.wantMetric(`sluice_l7_failed_total{service="web",reason="client_abort"}`, 1)
	}
	f("Content-Length: 20000\r\n\r\n" + strings.Repeat("x", 15000))
	f("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	f("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhe")
}

func TestBadChunk(t *testing.T) { eachDriver(t, testBadChunk) }

func testBadChunk(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}, 1), make(chan error, 1)
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		_, err := io.ReadAll(r.Body)
		ended <- err
	})
	f := newFront(t, nil, addr)
	// What comes with the head is judged before a backend hears of it.
	c := f.raw()
	c.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n")
	resp, _ := c.response("POST")
	if resp.StatusCode != 400 || resp.Header.Get("X-Sluice-Reason") != "bad_request" {
		t.Errorf("unexpected response; got %d %v", resp.StatusCode, resp.Header)
	}
	if len(begun) > 0 {
		t.Error("the backend was reached")
	}
	c = f.raw()
	c.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	<-begun
	c.write("xyz\r\n")
	resp, _ = c.response("POST")
	if resp.StatusCode != 400 || resp.Header.Get("X-Sluice-Reason") != "bad_request" {
		t.Errorf("unexpected response; got %d %v", resp.StatusCode, resp.Header)
	}
	if err := <-ended; err == nil {
		t.Error("the backend saw a complete request")
	}
}

// TestSmallTruncatedUpload never reaches a backend.
func TestSmallTruncatedUpload(t *testing.T) { eachDriver(t, testSmallTruncatedUpload) }

func testSmallTruncatedUpload(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(http.ResponseWriter, *http.Request) { t.Error("the backend was reached") })
	f := newFront(t, nil, addr)
	c := f.raw()
	c.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
	_ = c.CloseWrite()
	c.wantEOF()
	f.wantMetric(`sluice_l7_rejected_total{reason="client_abort"}`, 1)
}

func TestFlush(t *testing.T) { eachDriver(t, testFlush) }

func testFlush(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
	})
	f := newFront(t, nil, addr)
	resp, err := f.client().Get(f.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for i := range 3 {
		want := fmt.Sprintf("data: %d\n\n", i)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Fatalf("unexpected event; got %q, %v; want %q", got, err, want)
		}
		next <- struct{}{}
	}
}

func TestClientGoesAway(t *testing.T) { eachDriver(t, testClientGoesAway) }

func testClientGoesAway(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		buf := make([]byte, 64<<10)
		for {
			if _, err := w.Write(buf); err != nil {
				return
			}
		}
	})
	f := newFront(t, nil, addr)
	resp, err := f.client().Get(f.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<20)
	resp.Body.Close()
	<-gone
	f.wantMetric(`sluice_l7_failed_total{service="web",reason="client_abort"}`, 1)
}

func TestBodyTimeouts(t *testing.T) { eachDriver(t, testBodyTimeouts) }

func testBodyTimeouts(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		req, _, err := c.request()
		if err != nil {
			return
		}
		if req.Method == "GET" {
			c.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		}
		<-release
	})
	t.Cleanup(func() { close(release) })
	f := newFront(t, func(c *Config) { c.BodyTimeout = 50 * time.Millisecond }, addr)

	resp, err := f.client().Get(f.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("unexpected end of a stalled response; got %v; want %v", err, io.ErrUnexpectedEOF)
	}
	resp.Body.Close()
	f.wantMetric(`sluice_l7_failed_total{service="web",reason="backend_stalled"}`, 1)

	c := f.raw()
	c.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	if resp, _ := c.response("POST"); resp.StatusCode != 408 {
		t.Errorf("unexpected status for a stalled upload; got %d; want 408", resp.StatusCode)
	}
	c = f.raw()
	c.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
	if resp, _ := c.response("POST"); resp.StatusCode != 408 {
		t.Errorf("unexpected status for a stalled small upload; got %d; want 408", resp.StatusCode)
	}
}
