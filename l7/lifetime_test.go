package l7

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/pkg/certificate"
	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/listen"
)

// TestClientAbort lets a client go away while its request is being answered:
// the backend hears of it at once after a reset, and after FINTimeout if the
// client has only ended its direction.
func TestClientAbort(t *testing.T) { eachDriver(t, testClientAbort) }

func testClientAbort(t *testing.T) {
	t.Parallel()
	for _, reset := range []bool{true, false} {
		begun, gone := make(chan struct{}, 1), make(chan struct{}, 1)
		addr := newRawBackend(t, func(_ int, c *rawConn) {
			if _, _, err := c.request(); err != nil {
				return
			}
			begun <- struct{}{}
			_, _ = io.Copy(io.Discard, c.br)
			gone <- struct{}{}
		})
		f := newFront(t, func(c *Config) {
			if c.FINTimeout = -1; !reset {
				c.FINTimeout = 50 * time.Millisecond
			}
		}, addr)
		c := f.raw()
		c.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok")
		<-begun
		if reset {
			_ = c.SetLinger(0)
			c.Close()
		} else {
			_ = c.CloseWrite()
		}
		<-gone
		f.wantMetric(`sluice_l7_failed_total{service="web",reason="client_abort"}`, 1)
	}
}

// TestHalfClosedClient ends its direction after the request and still gets the
// response, the one to a pipelined request as well.
func TestHalfClosedClient(t *testing.T) { eachDriver(t, testHalfClosedClient) }

func testHalfClosedClient(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		for range 5 { // some response takes a while
			_, _ = io.WriteString(w, r.URL.Path)
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	})
	f := newFront(t, nil, addr)
	c := f.raw()
	c.write("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = c.CloseWrite()
	for _, path := range []string{"/a", "/b"} {
		if _, body := c.response("GET"); body != strings.Repeat(path, 5) {
			t.Errorf("unexpected body; got %q", body)
		}
	}
	c.wantEOF()
	f.wantMetric(`sluice_l7_failed_total`, 0)
}

// TestUploadsCutOff cuts uploads off anywhere, by an end and by a reset: the
// backend never takes one for complete.
func TestUploadsCutOff(t *testing.T) { eachDriver(t, testUploadsCutOff) }

func testUploadsCutOff(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	f := newFront(t, nil, r.addr)
	rnd := rand.New(rand.NewPCG(9, 9))
	big := strings.Repeat("0123456789abcdef", 12<<10)
	texts := []string{
		post(fmt.Sprint("Content-Length: ", len(big)), big),
		post("Content-Length: 4000", big[:4000]),
		post(te, strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", 3000, big[:3000]), 60)+"0\r\nX-Sum: 1\r\n\r\n"),
	}
	for i := range 300 {
		text := texts[i%len(texts)]
		cut := rnd.IntN(len(text))
		if i%5 == 0 {
			cut = len(text) - 1 - rnd.IntN(12) // just before the end
		}
		c := f.raw()
		_, _ = io.WriteString(c, text[:cut])
		if i%2 == 0 {
			_ = c.SetLinger(0)
			c.Close()
		} else {
			_ = c.CloseWrite()
			rest, _ := io.ReadAll(c.br)
			if len(rest) > 0 {
				t.Errorf("an upload that was cut off at %d of %d got %q", cut, len(text), rest)
			}
		}
	}
	f.wantMetric("sluice_l7_requests{", 0)
	if seen := r.take(); len(seen) > 0 {
		t.Errorf("%d uploads that were cut off reached the backend as complete, the first as %.100q", len(seen), seen[0])
	}
}

// TestKilledMidResponse kills a backend's connection anywhere in a response:
// the client always sees that it is not complete.
func TestKilledMidResponse(t *testing.T) { eachDriver(t, testKilledMidResponse) }

func testKilledMidResponse(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789abcdef", 20<<10)
	heads := map[string]string{
		"length":  fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(big)),
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"close":   "HTTP/1.1 200 OK\r\n\r\n",
	}
	addr := newRawBackend(t, func(n int, c *rawConn) {
		req, _, err := c.request()
		if err != nil {
			return
		}
		rnd := rand.New(rand.NewPCG(3, uint64(n)))
		framing := req.URL.Path[1:]
		body := big[:rnd.IntN(len(big)-1)]
		if framing == "chunked" {
			body = strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", 4000, big[:4000]), 70)
			body = body[:rnd.IntN(len(body))]
		}
		c.write(heads[framing] + body)
		if framing == "close" || rnd.IntN(2) == 0 {
			_, _ = c.Write(nil)
			// What was written is read before the reset arrives.
			time.Sleep(time.Millisecond)
			_ = c.SetLinger(0)
		}
	})
	f := newFront(t, nil, addr)
	for i := range 150 {
		framing := []string{"length", "chunked", "close"}[i%3]
		proto := []string{"HTTP/1.1", "HTTP/1.0"}[i%2]
		c := f.raw()
		c.write("GET /" + framing + " " + proto + "\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(c.br, nil)
		if err == nil && resp.StatusCode == 200 {
			_, err = io.Copy(io.Discard, resp.Body)
		} else if err == nil {
			err = errors.New(resp.Status) // the reset came before the head was read
		}
		if err == nil {
			t.Errorf("a response framed by %s that was cut off looks complete to a client of %s", framing, proto)
		}
		c.Close()
	}
}

// TestBackPressure lets a client take nothing: the backend is read no further
// than what buffers on the way hold.
func TestBackPressure(t *testing.T) { eachDriver(t, testBackPressure) }

func testBackPressure(t *testing.T) {
	t.Parallel()
	var written atomic.Int64
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		req, err := http.ReadRequest(c.br)
		if err != nil {
			return
		}
		if req.Method == "POST" { // takes nothing itself
			time.Sleep(300 * time.Millisecond)
			return
		}
		c.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Write(buf)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	f := newFront(t, nil, addr)
	c := f.raw()
	_ = c.SetReadBuffer(64 << 10)
	c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	for last := int64(0); last == 0 || last != written.Load(); { // until it gets no further
		last = written.Load()
		time.Sleep(200 * time.Millisecond)
	}
	if n := written.Load(); n > 64<<20 {
		t.Errorf("%d bytes were read for a client that takes none", n)
	}
	c.Close()

	c = f.raw()
	c.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
	c.write("x") // in the time it takes
	sent := int64(1)
	_ = c.SetWriteDeadline(time.Now().Add(150 * time.Millisecond))
	for buf := make([]byte, 1<<20); ; {
		n, err := c.Write(buf)
		if sent += int64(n); err != nil {
			break
		}
	}
	if sent > 64<<20 {
		t.Errorf("%d bytes were taken for a backend that takes none", sent)
	}
}

// TestUpgradeHalfCloses ends each direction of an upgraded connection on its
// own, in both orders.
func TestUpgradeHalfCloses(t *testing.T) { eachDriver(t, testUpgradeHalfCloses) }

func testUpgradeHalfCloses(t *testing.T) {
	t.Parallel()
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		req, _, err := c.request()
		if err != nil {
			return
		}
		c.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
		if req.URL.Path == "/first" {
			c.write("bye")
			_ = c.CloseWrite()
			if got, err := io.ReadAll(c.br); string(got) != "late words" || err != nil {
				t.Errorf("the backend got %q, %v after it had ended its direction", got, err)
			}
			return
		}
		got, err := io.ReadAll(c.br)
		if err != nil {
			t.Errorf("unexpected end at the backend: %v", err)
		}
		c.write("you said " + string(got))
	})
	f := newFront(t, nil, addr)
	open := func(path string) *rawConn {
		c := f.raw()
		c.write("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
		if resp, err := http.ReadResponse(c.br, nil); err != nil || resp.StatusCode != 101 {
			t.Fatalf("unexpected response %v, %v", resp, err)
		}
		return c
	}
	c := open("/last")
	c.write("hello")
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c.br); string(got) != "you said hello" || err != nil {
		t.Errorf("unexpected end; got %q, %v", got, err)
	}
	c = open("/first")
	if got, err := io.ReadAll(c.br); string(got) != "bye" || err != nil {
		t.Errorf("unexpected end; got %q, %v", got, err)
	}
	c.write("late words")
	_ = c.CloseWrite()
	f.wantMetric(`sluice_l7_requests_total{service="web",code="1xx"}`, 2)
	f.wantMetric(`sluice_l7_failed_total`, 0)
}

// TestSlowloris opens thousands of connections that never complete a head.
// They harm nobody, and end by the deadline for heads. It is not parallel, for
// the descriptors it takes.
func TestSlowloris(t *testing.T) { eachDriverInTurn(t, testSlowloris) }

func testSlowloris(t *testing.T) {
	conns := 2000
	if testing.Short() || raceEnabled {
		conns = 1000
	}
	addr := newBackend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	f := newFront(t, func(c *Config) { c.HeadTimeout = 1500 * time.Millisecond }, addr)
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	slow := make([]net.Conn, conns)
	for i := range slow {
		c, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX-")
		slow[i] = c
	}
	c := f.client()
	for i := range 200 {
		for j := range 10 {
			_, _ = io.WriteString(slow[(i*10+j)%conns], "a")
		}
		if status, _, body := get(t, c, f.url("/")); status != 200 || body != "ok" {
			t.Fatalf("unexpected response among slow clients; got %d %q", status, body)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&during)
	most := int64(4 << 10)
	if driverOf(t).name != "loop" {
		most = 6 << 10 // a server with goroutines has stacks
	}
	if each := (int64(during.HeapAlloc) - int64(before.HeapAlloc)) / int64(conns); each > most {
		t.Errorf("a slow client takes %d bytes, this test's own part included", each)
	}
	for _, c := range slow {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		got, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(got), "HTTP/1.1 408 ") {
			t.Fatalf("a slow client got %q; want 408", got)
		}
	}
	f.wantMetric(`sluice_l7_rejected_total{reason="request_timeout"}`, float64(conns))
}

// TestTLS serves the same requests on connections that speak TLS.
func TestTLS(t *testing.T) { eachDriver(t, testTLS) }

func testTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificatetest.NewAuthority(t).Write(t, "a.example")
	store, err := certificate.Open(slog.New(slog.DiscardHandler), certificate.Source{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Header.Get("X-Forwarded-Proto"))
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	f := newFrontOn(t, listen.Config{TLS: store.Server()}, nil, addr)
	c := f.client()
	c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true, ServerName: "a.example"}
	for _, size := range []int64{0, 1, 5000, 100_000, 5 << 20} {
		resp, err := c.Post("https://"+f.addr+"/", "text/plain", pattern(size))
		if err != nil {
			t.Fatal(err)
		}
		got, n, err := sum(resp.Body)
		resp.Body.Close()
		want, _, _ := sum(pattern(size))
		if err != nil || got != want || resp.Header.Get("X-Proto") != "https" {
			t.Errorf("unexpected echo of %d bytes; got %d, %v, %v", size, n, err, resp.Header)
		}
	}
	f.wantMetric(`sluice_l7_failed_total`, 0)
}

// TestBulkAfterPause lets a client with a small buffer pause, so that splices and
// writes towards it come back short, and then take the rest: nothing gets stuck.
func TestBulkAfterPause(t *testing.T) { eachDriver(t, testBulkAfterPause) }

func testBulkAfterPause(t *testing.T) {
	t.Parallel()
	size := int64(48 << 20)
	if raceEnabled {
		size = 12 << 20
	}
	want, _, _ := sum(pattern(size))
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.Copy(w, pattern(size))
	})
	plain := newFront(t, nil, addr)
	certFile, keyFile := certificatetest.NewAuthority(t).Write(t, "a.example")
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	secure := newFrontOn(t, listen.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, HandshakeTimeout: patience}, nil, addr)
	for _, f := range []*front{plain, plain, secure, secure} {
		raw := f.raw()
		_ = raw.SetReadBuffer(64 << 10)
		c := net.Conn(raw)
		if f == secure {
			c = tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		if got, n, err := sum(resp.Body); err != nil || got != want {
			t.Fatalf("unexpected body of %d bytes, %v", n, err)
		}
		c.Close()
	}
}

// TestConnectDeadline has backends that do not answer connects: all attempts
// together end by the deadline.
func TestConnectDeadline(t *testing.T) { eachDriver(t, testConnectDeadline) }

func testConnectDeadline(t *testing.T) {
	t.Parallel()
	var full []string
	for range 3 {
		full = append(full, fullBacklog(t))
	}
	f := newFront(t, func(c *Config) {
		c.ConnectTimeout, c.ConnectDeadline = 150*time.Millisecond, 200*time.Millisecond
	}, full...)
	c := f.raw()
	c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, _ := c.response("GET")
	if resp.StatusCode != 504 || resp.Header.Get("X-Sluice-Reason") != "connect_timeout" {
		t.Errorf("unexpected answer; got %d %v", resp.StatusCode, resp.Header)
	}
	f.wantMetric(`sluice_l7_retries_total`, 1)
}

// fullBacklog returns the address of a listener that answers no connect any
// more.
func fullBacklog(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
	for i, taken := 0, false; i < 10; i++ {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil && (taken || i > 2) { // else it may be that not even a SYN was sent in time
			return addr
		}
		if err != nil {
			continue
		}
		taken = true
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this system does not fill a backlog")
	return ""
}
