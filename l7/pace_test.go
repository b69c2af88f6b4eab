package l7

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// drip writes text a byte at a time until the connection breaks, or stop is
// closed.
func (c *rawConn) drip(text string, every time.Duration, stop <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range text {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
	}
}

// TestSlowUploads has clients that send their bodies a byte at a time, of every
// kind: each is answered with 408 and leaves the place that it held.
func TestSlowUploads(t *testing.T) { eachDriver(t, testSlowUploads) }

func testSlowUploads(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	f := newFront(t, func(c *Config) {
		c.MinBodyRate, c.MinBodyRateOver = 10_000, 100*time.Millisecond
		withPolicy(t, c, PolicyConfig{MaxRequests: 3})
	}, addr)
	var wg sync.WaitGroup
	for _, head := range []string{"Content-Length: 8000", "Content-Length: 100000", "Transfer-Encoding: chunked"} {
		wg.Go(func() {
			c := f.raw()
			c.write("POST / HTTP/1.1\r\nHost: a\r\n" + head + "\r\n\r\n")
			stop := make(chan struct{})
			defer close(stop)
			text := strings.Repeat("1\r\nx\r\n", 100_000)
			go c.drip(text, 2*time.Millisecond, stop)
			resp, err := http.ReadResponse(c.br, nil)
			if err != nil {
				t.Errorf("%s: no answer: %v", head, err)
				return
			}
			if got := fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("X-Sluice-Reason")); got != "408 client_too_slow" {
				t.Errorf("%s: unexpected answer; got %s", head, got)
			}
		})
	}
	wg.Wait()
	if status, reason, _ := get(t, f.client(), f.url("/")); status != 200 {
		t.Errorf("unexpected answer after slow uploads; got %d %s", status, reason)
	}
	// Who is fast enough may take any time.
	c := f.raw()
	text := strings.Repeat("x", 40_000)
	c.write(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", len(text)))
	for piece := 0; piece < len(text); piece += 4000 {
		c.write(text[piece : piece+4000])
		time.Sleep(40 * time.Millisecond)
	}
	if resp, body := c.response("POST"); resp.StatusCode != 200 || body != text {
		t.Errorf("unexpected answer to an upload that is fast enough; got %d, %d bytes", resp.StatusCode, len(body))
	}
}

// TestSlowDownload has a client that takes its response a little at a time: it
// is cut off, with a reset. One that takes nothing is for the body timeout.
func TestSlowDownload(t *testing.T) { eachDriver(t, testSlowDownload) }

func testSlowDownload(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(64<<20))
		_, _ = w.Write(make([]byte, 64<<20))
	})
	for _, slow := range []bool{true, false} {
		if slow && !atOnce {
			continue // what a client has taken is not known
		}
		f := newFront(t, func(c *Config) {
			c.MinBodyRate, c.MinBodyRateOver, c.BodyTimeout = 1, 100*time.Millisecond, 2*time.Second
			if slow {
				c.MinBodyRate = 100 << 20
			}
		}, addr)
		c := f.raw()
		c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		want := "client_stalled"
		if slow {
			want = "client_too_slow"
			buf := make([]byte, 32<<10)
			for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				if _, err := c.Read(buf); err != nil {
					break
				}
			}
		}
		f.wantMetric(fmt.Sprintf("sluice_l7_failed_total{service=%q,reason=%q}", "web", want), 1)
	}
}

// TestTotalTimeout lets a request take too long in each of its phases.
func TestTotalTimeout(t *testing.T) { eachDriver(t, testTotalTimeout) }

func testTotalTimeout(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/wait":
			<-hold
		case "/stream":
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "data: x\n\n")
				w.(http.Flusher).Flush()
				time.Sleep(5 * time.Millisecond)
			}
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})
	defer close(hold)
	f := newFront(t, func(c *Config) {
		c.TotalTimeout = 300 * time.Millisecond
		c.Routes[0].Waits = Waits{}
	}, addr)
	if status, reason, _ := get(t, f.client(), f.url("/wait")); status != 504 || reason != "total_timeout" {
		t.Errorf("unexpected answer of a backend that takes too long; got %d %s", status, reason)
	}
	c := f.raw()
	c.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
	stop := make(chan struct{})
	go c.drip(strings.Repeat("x", 100_000), time.Millisecond, stop)
	if resp, err := http.ReadResponse(c.br, nil); err != nil || resp.StatusCode != 408 {
		t.Errorf("unexpected answer to an upload that takes too long; got %v, %+v", err, resp)
	}
	close(stop)
	if got := f.fetchPath("/stream"); !strings.HasSuffix(got, " cut") {
		t.Errorf("unexpected end of a stream that takes too long; got %.100q", got)
	}
	f.wantMetric(`sluice_l7_failed_total{service="web",reason="total_timeout"}`, 2)
}

// fetchPath gets a path and says what came.
func (f *front) fetchPath(path string) string {
	resp, err := f.client().Get(f.url(path))
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return string(body) + " cut"
	}
	return string(body)
}

// TestLinger has a client that sends on for long after its early answer, and
// only then reads it: it is not lost.
func TestLinger(t *testing.T) { eachDriver(t, testLinger) }

func testLinger(t *testing.T) {
	t.Parallel()
	early := newRawBackend(t, func(_ int, c *rawConn) {
		if _, err := http.ReadRequest(c.br); err == nil {
			c.write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly")
		}
	})
	for _, head := range []string{"Content-Length: 100000000", "Transfer-Encoding: chunked"} {
		for _, most := range []int64{0, 20} { // the backend's own answer, and one of sluice
			t.Run(fmt.Sprint(head, most), func(t *testing.T) {
				t.Parallel()
				f := newFront(t, func(c *Config) {
					c.MaxBodyBytes, c.LingerTimeout, c.MinBodyRate = most, 250*time.Millisecond, -1
				}, early)
				c := f.raw()
				c.write("POST / HTTP/1.1\r\nHost: a\r\n" + head + "\r\n\r\n32\r\n" + strings.Repeat("x", 50) + "\r\n")
				for range 60 {
					time.Sleep(10 * time.Millisecond)
					if _, err := io.WriteString(c, "32\r\n"+strings.Repeat("x", 50)+"\r\n"); err != nil {
						t.Fatalf("%s, %d: cannot go on sending: %v", head, most, err)
					}
				}
				_ = c.CloseWrite()
				resp, err := http.ReadResponse(c.br, nil)
				if err != nil {
					t.Fatalf("%s, %d: the early answer is lost: %v", head, most, err)
				}
				if want := map[int64]int{0: 401, 20: 413}[most]; resp.StatusCode != want {
					t.Errorf("%s, %d: unexpected answer; got %d; want %d", head, most, resp.StatusCode, want)
				}
				if _, err := io.ReadAll(resp.Body); err != nil {
					t.Errorf("%s, %d: the early answer breaks off: %v", head, most, err)
				}
			})
		}
	}
}

// TestLingerEnds checks that nobody may send for ever, nor slowly.
func TestLingerEnds(t *testing.T) { eachDriver(t, testLingerEnds) }

func testLingerEnds(t *testing.T) {
	t.Parallel()
	for _, edit := range []func(*Config){
		func(c *Config) { c.LingerTime, c.MinBodyRate = 100*time.Millisecond, -1 },
		func(c *Config) { c.LingerTimeout, c.MinBodyRate = 100*time.Millisecond, -1 },
		func(c *Config) { c.MinBodyRate, c.MinBodyRateOver = 1<<20, 100*time.Millisecond },
	} {
		slow := false
		f := newFront(t, func(c *Config) {
			edit(c)
			c.MaxBodyBytes, slow = 1, c.LingerTimeout == 0
		}, deadAddr(t))
		c := f.raw()
		c.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
		if resp, _ := c.response("POST"); resp.StatusCode != 413 {
			t.Fatalf("unexpected status; got %d", resp.StatusCode)
		}
		if slow {
			stop := make(chan struct{})
			go c.drip(strings.Repeat("x", 1<<20), time.Millisecond, stop)
			defer close(stop)
		}
		f.wantMetric(`sluice_listener_connections{`, 0)
	}
}
