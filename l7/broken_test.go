package l7

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/l7/gate"
	"sluice/pkg/backend"
	"sluice/pkg/limit"
	"sluice/pkg/reactor"
)

// stuff writes to c until nothing is taken any more.
func stuff(t *testing.T, c net.Conn) {
	t.Helper()
	p := make([]byte, 64<<10)
	for {
		_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := c.Write(p); err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				return
			}
			t.Error(err)
			return
		}
	}
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	c.Close()
}

// TestResetWhileStuck resets one side while the other one takes nothing, in a
// body either way and in a tunnel: the request ends, and gives its slot back,
// long before a time-out.
func TestResetWhileStuck(t *testing.T) { eachDriver(t, testResetWhileStuck) }

func testResetWhileStuck(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("it is not noticed here")
	}
	const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n"
	const upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
	const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
	stuck := func(t *testing.T, what, request string, answer string, fromClient bool, want gate.Reason) {
		t.Parallel()
		backends := make(chan *rawConn, 1)
		over := make(chan struct{})
		addr := newRawBackend(t, func(_ int, c *rawConn) { backends <- c; <-over })
		t.Cleanup(func() { close(over) })
		f := newFront(t, nil, addr)
		c := f.raw()
		defer c.Close()
		c.write(request)
		b := <-backends
		b.write(answer)
		if answer != "" { // its head is through
			_, _ = c.Read(make([]byte, 1))
		}
		src := b.TCPConn
		if fromClient {
			src = c.TCPConn
		}
		stuff(t, src)
		reset(src)
		eventually(t, what, func() bool {
			return f.gauge("sluice_l7_requests{") == 0 && f.pool.Snapshot().All[0].Active() == 0
		})
		if n := f.gauge(fmt.Sprintf("sluice_l7_failed_total{service=%q,reason=%q}", "web", want)); n == 0 {
			t.Errorf("%s: unexpected end; want %s", what, want)
		}
		b.Close()
	}
	g := func(what, request string, answer string, fromClient bool, want gate.Reason) {
		t.Run(what, func(t *testing.T) { stuck(t, what, request, answer, fromClient, want) })
	}
	g("an upload", post, "", true, gate.ClientAbort)
	g("a download", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", false, gate.TruncatedResponse)
	g("a tunnel's client", upgrade, switched, true, gate.ClientAbort)
	g("a tunnel's backend", upgrade, switched, false, gate.BackendReset)
}

// TestResetBehindAnEnd resets a client that has ended its direction,
// and one that is ahead with more requests than are read, while the backend
// thinks.
func TestResetBehindAnEnd(t *testing.T) { eachDriver(t, testResetBehindAnEnd) }

func testResetBehindAnEnd(t *testing.T) {
	t.Parallel()
	if !atOnce {
		t.Skip("it is not noticed here")
	}
	asked, over := make(chan struct{}, 9), make(chan struct{})
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		_, _, _ = c.request()
		asked <- struct{}{}
		<-over
	})
	t.Cleanup(func() { close(over) })
	f := newFront(t, func(c *Config) { c.FINTimeout = -1 }, addr)
	for _, ahead := range []string{"", strings.Repeat("GET /more HTTP/1.1\r\nHost: a\r\n\r\n", 4*16<<10/30)} {
		c := f.raw()
		c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n" + ahead)
		<-asked
		if ahead == "" {
			_ = c.CloseWrite()
		}
		reset(c.TCPConn)
		eventually(t, "the request ends", func() bool { return f.gauge("sluice_l7_requests{") == 0 })
	}
}

// TestBytesAreCountedOnTheWay looks at the counters while bodies are under way,
// either way and in a tunnel: health takes for silence what is not counted.
func TestBytesAreCountedOnTheWay(t *testing.T) { eachDriver(t, testBytesAreCountedOnTheWay) }

func testBytesAreCountedOnTheWay(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	f := newFront(t, nil, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.CopyN(io.Discard, r.Body, 100_000)
		_, _ = w.Write(make([]byte, 50_000))
		_ = http.NewResponseController(w).Flush()
		<-goOn
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	body, send := io.Pipe()
	go func() { _, _ = send.Write(make([]byte, 100_000)) }()
	req, err := http.NewRequest("POST", f.url("/"), body)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan *http.Response, 1)
	go func() {
		resp, err := f.client().Do(req)
		if err != nil {
			t.Error(err)
		}
		answered <- resp
	}()
	b := f.pool.Snapshot().All[0]
	for dir, want := range map[string]float64{"in": 100_000, "out": 50_000} {
		eventually(t, "bytes "+dir, func() bool {
			return f.gauge(fmt.Sprintf("sluice_l7_bytes_total{service=%q,direction=%q}", "web", dir)) == want
		})
	}
	if in, out := b.Counters.BytesIn.Load(), b.Counters.BytesOut.Load(); in != 100_000 || out != 50_000 {
		t.Fatalf("unexpected bytes of the backend: %d, %d", in, out)
	}
	close(goOn)
	send.Close()
	if resp := <-answered; resp != nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// TestRescueMany has more connections than one turn looks at, and several
// backends that fall one after the other.
func TestRescueMany(t *testing.T) { eachDriver(t, testRescueMany) }

func testRescueMany(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	var mutes []string
	for range 3 {
		mutes = append(mutes, newRawBackend(t, func(_ int, c *rawConn) { <-over }))
	}
	t.Cleanup(func() { close(over) })
	f := newFront(t, func(c *Config) { c.Routes[0].RetryBudget = limit.NewBudget(-1, 0, time.Now()) }, mutes...)
	const n = 3 * 512 // as many as three turns look at
	answers := make(chan string, n)
	var conns []*rawConn
	for range n {
		c := f.raw()
		c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		conns = append(conns, c)
	}
	eventually(t, "all are asked", func() bool { return f.gauge("sluice_l7_requests{") == n })
	good := newBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "good") })
	f.setBackends(append(mutes, good)...)
	for _, b := range f.pool.Snapshot().All {
		if b.Addr() == good {
			b.SetCondition(backend.Condition{State: backend.Up})
		}
	}
	for _, b := range f.pool.Snapshot().All {
		if b.Addr() != good {
			b.SetCondition(backend.Condition{State: backend.Down})
		}
	}
	for _, c := range conns {
		go func() {
			resp, err := http.ReadResponse(c.br, nil)
			if err != nil {
				answers <- err.Error()
				return
			}
			body, _ := io.ReadAll(resp.Body)
			answers <- string(body)
		}()
	}
	for range n {
		select {
		case got := <-answers:
			if got != "good" {
				t.Fatalf("unexpected answer: %q", got)
			}
		case <-time.After(patience):
			t.Fatal("they are not rescued")
		}
	}
	for _, c := range conns {
		c.Close()
	}
}

// TestAnswerBeforeRequest has backends that answer as soon as they are connected
// to, and end their connection or not, while the loops are so busy that both come
// with one event: the answer is passed on.
func TestAnswerBeforeRequest(t *testing.T) { eachDriver(t, testAnswerBeforeRequest) }

func testAnswerBeforeRequest(t *testing.T) {
	t.Parallel()
	own, err := reactor.NewGroup(1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	own.Start()
	t.Cleanup(own.Close)
	over := make(chan struct{})
	addr := newRawBackend(t, func(n int, c *rawConn) {
		c.write("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		if n%2 == 0 {
			_ = c.CloseWrite()
		}
		<-over
	})
	t.Cleanup(func() { close(over) })
	f := newFront(t, func(c *Config) { c.Loops, c.ResponseTimeout = own, 5*time.Second }, addr)
	var stop atomic.Bool
	defer stop.Store(true)
	go func() {
		for !stop.Load() {
			done := make(chan struct{})
			if !own.Loops()[0].Post(func() { time.Sleep(2 * time.Millisecond); close(done) }) {
				return
			}
			<-done
		}
	}()
	for range 10 {
		if resp, body := f.raw().do("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); resp.StatusCode != 429 || body != "no" {
			t.Fatalf("unexpected answer; got %d %q %v", resp.StatusCode, body, resp.Header)
		}
	}
}
