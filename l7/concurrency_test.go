package l7

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// staying is a backend whose answers stay under way: /ws switches protocols,
// /sse is a stream that goes on, /download breaks off in the middle of nowhere,
// and whatever else is asked is answered at once.
func staying(t *testing.T) string {
	return newRawBackend(t, func(_ int, c *rawConn) {
		for {
			req, err := http.ReadRequest(c.br)
			if err != nil {
				return
			}
			switch req.URL.Path {
			case "/ws":
				c.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
			case "/sse":
				c.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n: hi\n\n\r\n")
			case "/download":
				c.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegins")
			default:
				if _, err := io.Copy(io.Discard, req.Body); err != nil {
					return
				}
				c.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				continue
			}
			_, _ = io.Copy(io.Discard, c.br)
			return
		}
	})
}

// stay makes n requests that stay under way, and returns when they do.
func (f *front) stay(path string, n int) {
	f.t.Helper()
	for range n {
		c := f.raw()
		switch path {
		case "/ws":
			c.write("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		case "/upload":
			c.write(fmt.Sprintf("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", 1<<20, strings.Repeat("x", 100)))
			continue
		default:
			c.write("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		}
		resp, err := http.ReadResponse(c.br, nil)
		if err != nil || resp.StatusCode >= 300 {
			f.t.Fatalf("cannot begin %s: %v, %+v", path, err, resp)
		}
	}
	f.wantMetric("sluice_l7_requests{", float64(n))
}

// TestAdaptiveAndStaying fills an adaptive limit with what stays: what it does
// not time it must not count.
func TestAdaptiveAndStaying(t *testing.T) { eachDriver(t, testAdaptiveAndStaying) }

func testAdaptiveAndStaying(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/ws", "/sse", "/download", "/upload"} {
		t.Run(path[1:], func(t *testing.T) {
			t.Parallel()
			f := newFront(t, func(c *Config) { withPolicy(t, c, PolicyConfig{Adaptive: true, MaxRequests: 8}) }, staying(t))
			f.stay(path, 8)
			for range 3 {
				if status, reason, _ := get(t, f.client(), f.url("/")); status != 200 {
					t.Errorf("unexpected answer beside 8 that stay; got %d %s", status, reason)
				}
			}
		})
	}
}

// TestAdaptiveUploads checks that a request whose body has gone up is counted,
// until its answer begins, so that a service which takes uploads and then
// does not answer is noticed.
func TestAdaptiveUploads(t *testing.T) { eachDriver(t, testAdaptiveUploads) }

func testAdaptiveUploads(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	f := newFront(t, func(c *Config) { withPolicy(t, c, PolicyConfig{Adaptive: true, MaxRequests: 1}) }, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if _, _ = io.Copy(io.Discard, r.Body); r.Method == "POST" {
			<-answer
		}
	}))
	client := f.client()
	c := f.raw()
	c.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 50_000))
	f.wantMetric("sluice_l7_requests{", 1)
	if status, reason, _ := get(t, client, f.url("/")); status != 200 {
		t.Errorf("unexpected answer beside an upload; got %d %s", status, reason)
	}
	c.write(strings.Repeat("x", 50_000))
	eventually(t, "the upload is counted", func() bool {
		status, reason, _ := get(t, client, f.url("/"))
		return status == 503 && reason == "overloaded"
	})
	close(answer)
	if resp, _ := c.response("POST"); resp.StatusCode != 200 {
		t.Errorf("unexpected status of the upload; got %d", resp.StatusCode)
	}
	eventually(t, "nothing is counted", func() bool {
		status, _, _ := get(t, client, f.url("/"))
		return status == 200
	})
}

// TestFixedAndStaying checks that a fixed limit counts streams until their end,
// and upgraded connections not at all.
func TestFixedAndStaying(t *testing.T) { eachDriver(t, testFixedAndStaying) }

func testFixedAndStaying(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{"/ws": 200, "/sse": 503, "/download": 503, "/upload": 503} {
		f := newFront(t, func(c *Config) { withPolicy(t, c, PolicyConfig{MaxRequests: 2}) }, staying(t))
		f.stay(path, 2)
		if status, reason, _ := get(t, f.client(), f.url("/")); status != want {
			t.Errorf("unexpected answer beside 2 of %s; got %d %s; want %d", path, status, reason, want)
		}
		ups := 0.0
		if path == "/ws" {
			ups = 2
		}
		f.wantMetric("sluice_l7_upgraded_connections{", ups)
		f.shutdown(0)
		f.wantMetric("sluice_l7_upgraded_connections{", 0)
	}
}
