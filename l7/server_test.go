package l7

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestDrain(t *testing.T) { eachDriver(t, testDrain) }

func testDrain(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-release
		}
		_, _ = io.WriteString(w, "done")
	})
	f := newFront(t, nil, addr)

	idle := f.raw()
	idle.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	idle.response("GET")
	silent := f.raw()
	slow := f.raw()
	slow.write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered

	f.Drain()
	late := f.raw() // still accepted
	late.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, body := late.response("GET"); !resp.Close || body != "done" {
		t.Errorf("unexpected response; got close %v, %q", resp.Close, body)
	}
	late.wantEOF()

	cut := make(chan int, 1)
	go func() { cut <- f.shutdown(patience) }()
	idle.wantEOF()
	silent.wantEOF()
	close(release)
	if resp, body := slow.response("GET"); !resp.Close || body != "done" {
		t.Errorf("unexpected response; got close %v, %q", resp.Close, body)
	}
	slow.wantEOF()
	if n := <-cut; n != 0 {
		t.Errorf("unexpected number of cut connections; got %d; want 0", n)
	}
}

func TestShutdownCuts(t *testing.T) { eachDriver(t, testShutdownCuts) }

func testShutdownCuts(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	wg.Add(3)
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		req, err := http.ReadRequest(c.br)
		if err != nil {
			return
		}
		switch req.URL.Path {
		case "/upgrade":
			c.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
		case "/body":
			c.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		}
		wg.Done()
		_, _ = io.Copy(io.Discard, c)
	})
	f := newFront(t, nil, addr)
	upgraded := f.raw()
	upgraded.write("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
	if _, err := http.ReadResponse(upgraded.br, nil); err != nil {
		t.Fatal(err)
	}
	body := f.raw()
	body.write("GET /body HTTP/1.1\r\nHost: a\r\n\r\n")
	waiting := f.raw()
	waiting.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
	wg.Wait()
	if n := f.shutdown(10 * time.Millisecond); n != 3 {
		t.Errorf("unexpected number of cut connections; got %d; want 3", n)
	}
	for _, c := range []*rawConn{upgraded, body, waiting} {
		_, _ = io.Copy(io.Discard, c.br) // ends
	}
	f.wantMetric(`sluice_l7_failed_total{service="web",reason="draining"}`, 3)
}

func TestShutdownIsQuick(t *testing.T) { eachDriver(t, testShutdownIsQuick) }

func testShutdownIsQuick(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil, deadAddr(t))
	start := time.Now()
	f.shutdown(patience)
	if d := time.Since(start); d > patience/2 {
		t.Errorf("an idle server took %v to shut down", d)
	}
}

// TestNothingIsLeft runs all kinds of requests and counts goroutines. It is
// not parallel, since it looks at those of the whole process.
func TestNothingIsLeft(t *testing.T) { eachDriverInTurn(t, testNothingIsLeft) }

func testNothingIsLeft(t *testing.T) {
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			w.WriteHeader(413)
			return
		case "/truncate":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "short")
			panic(http.ErrAbortHandler)
		}
		_, _ = io.Copy(w, r.Body)
	})
	f := newFront(t, nil, addr, deadAddr(t))
	c := f.client()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range 20 {
				path := []string{"/", "/early", "/truncate", "/echo"}[j%4]
				resp, err := c.Post(f.url(path), "", pattern(int64(i*j*500)))
				if err != nil {
					continue // truncated, or cut off in the middle of its request
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}()
	}
	wg.Wait()
	c.CloseIdleConnections()
	f.shutdown(patience)
	for _, b := range f.pool.Snapshot().All {
		if n := b.Active(); n != 0 {
			t.Errorf("unexpected number of slots taken; got %d; want 0", n)
		}
	}
	var left string
	for range 500 {
		buf := make([]byte, 1<<20)
		left = ""
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "sluice/l7.") && !strings.Contains(g, "testing.") {
				left += g + "\n\n"
			}
		}
		if left == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("goroutines are left:\n%s", left)
}

func TestNewFailure(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	cfg := f.cfg
	cfg.Routes = []Route{{Path: "x"}, {Path: "y"}}
	if _, err := New(f.ln, cfg); err == nil || !strings.Contains(err.Error(), `"x"`) || !strings.Contains(err.Error(), `"y"`) {
		t.Errorf("unexpected error; got %v; want one that names both routes", err)
	}
}
