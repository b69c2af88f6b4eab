package l7

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"sluice/pkg/backend"
	"sluice/pkg/headeredit"
)

// asked collects what a backend was asked.
type asked struct {
	mu  sync.Mutex
	all []string
}

func (a *asked) add(r *http.Request, body []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, fmt.Sprintf("%s %s %s %s %d %x", r.Method, r.Host, r.RequestURI, r.Header.Get("X-Copy"), len(body), sha256.Sum256(body)))
}

func (a *asked) sorted() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := slices.Clone(a.all)
	slices.Sort(all)
	return all
}

// mirrored makes the first route's requests go to addrs as well.
func mirrorTo(t *testing.T, c *Config, percent float64, edit []string, addrs ...string) *backend.Pool {
	t.Helper()
	b := balancerOf(t, "shadow", "p2c", addrs...)
	p, err := NewPolicy(PolicyConfig{Pool: b.Pool(), Logger: c.Logger, Metrics: c.Metrics, RequestHeaders: edits(t, headeredit.Request, edit...)})
	if err != nil {
		t.Fatal(err)
	}
	c.Routes[0].Mirror = Mirror{Balancer: b, Policy: p, Percent: percent, MaxBody: 50_000}
	return b.Pool()
}

// TestMirror has a second service get the same requests as the first.
func TestMirror(t *testing.T) { eachDriver(t, testMirror) }

func testMirror(t *testing.T) {
	t.Parallel()
	var first, second asked
	serve := func(a *asked, answer int) string {
		return newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			a.add(r, body)
			w.WriteHeader(answer)
			_, _ = w.Write(body)
		})
	}
	var pool *backend.Pool
	shadow := serve(&second, 500) // of which nobody hears
	f := newFront(t, func(c *Config) { pool = mirrorTo(t, c, 100, []string{"set:X-Copy: ${service}"}, shadow) }, serve(&first, 200))
	client := f.client()
	sizes := []int{0, 1, 100, 8 << 10, 8<<10 + 1, 50_000, 50_001, 1 << 20}
	skipped := 0
	for _, n := range sizes {
		for _, chunks := range []bool{false, true} {
			for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
				if n > 0 && method != "POST" {
					continue
				}
				var body io.Reader = strings.NewReader(strings.Repeat("x", n))
				if chunks {
					body = struct{ io.Reader }{body} // of no known length
				}
				if n == 0 && !chunks {
					body = nil
				}
				if n > 50_000 {
					skipped++
				}
				req, err := http.NewRequest(method, f.url(fmt.Sprintf("/%d?%v", n, chunks)), body)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				got, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if want := n; resp.StatusCode != 200 || method != "HEAD" && len(got) != want {
					t.Errorf("%s with %d bytes, chunks %v: unexpected answer %d with %d bytes", method, n, chunks, resp.StatusCode, len(got))
				}
			}
		}
	}
	var want []string
	for _, line := range first.sorted() {
		if strings.Contains(line, " /50001?") || strings.Contains(line, " /1048576?") {
			continue
		}
		want = append(want, strings.Replace(line, "  ", " shadow ", 1)) // as its own edits say
	}
	f.wantMetric(`sluice_l7_mirrored_total{service="shadow",result="skipped"}`, float64(skipped))
	f.wantMetric(`sluice_l7_mirrored_total{service="shadow",result="answered"}`, float64(len(want)))
	if got := second.sorted(); !slices.Equal(got, want) {
		t.Errorf("unexpected copies; got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, b := range pool.Snapshot().All {
		if n := b.Active(); n != 0 {
			t.Errorf("unexpected number of slots taken: %d", n)
		}
	}
}

// TestMirrorHangs has copies get no answer, or nobody to send them to, which
// the requests themselves must not feel.
func TestMirrorHangs(t *testing.T) { eachDriver(t, testMirrorHangs) }

func testMirrorHangs(t *testing.T) {
	t.Parallel()
	hangs := newRawBackend(t, func(_ int, c *rawConn) { _, _ = io.Copy(io.Discard, c) })
	for what, x := range map[string]struct {
		addrs  []string
		series string
		n      int
	}{
		"it hangs":   {[]string{hangs}, `result="dropped"`, 200 - 128},
		"it is dead": {[]string{deadAddr(t)}, `result="failed"`, 200},
		"nobody":     {nil, `result="dropped"`, 200},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFront(t, func(c *Config) { mirrorTo(t, c, 100, nil, x.addrs...) }, named(t, "web"))
			c := f.raw()
			for n := range 200 {
				if resp, body := c.do("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"); resp.StatusCode != 200 || !strings.HasPrefix(body, "web") {
					t.Fatalf("unexpected answer: %d %q", resp.StatusCode, body)
				}
				if x.addrs != nil && what == "it is dead" { // one after the other, so that there is a place for each
					f.wantMetric("sluice_l7_mirrored_total{", float64(n+1))
				}
			}
			f.wantMetric(`sluice_l7_mirrored_total{service="shadow",`+x.series, float64(x.n))
			c.Close()
			f.shutdown(patience) // does not wait for them either
		})
	}
}

// TestMirrorShare copies a part of the requests, and no upload that breaks off.
func TestMirrorShare(t *testing.T) { eachDriver(t, testMirrorShare) }

func testMirrorShare(t *testing.T) {
	t.Parallel()
	var copies asked
	shadow := newBackend(t, func(_ http.ResponseWriter, r *http.Request) { copies.add(r, nil) })
	f := newFront(t, func(c *Config) { mirrorTo(t, c, 50, nil, shadow) }, named(t, "web"))
	c := f.raw()
	for range 400 {
		c.do("GET /one HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	c.Close()
	for range 20 {
		c := f.raw()
		c.write("POST /broken HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
		c.Close()
	}
	f.wantMetric("sluice_l7_requests{", 0)
	eventually(t, "a share has been copied", func() bool { return len(copies.sorted()) >= 130 })
	all := copies.sorted()
	if n := len(all); n < 130 || n > 270 || strings.Contains(strings.Join(all, "\n"), "broken") {
		t.Errorf("unexpected copies of 400 requests: %d, %q", n, all[:min(n, 3)])
	}
}

// TestMirrorProtocols has copies reach services that speak HTTP/2, or TLS.
func TestMirrorProtocols(t *testing.T) { eachDriver(t, testMirrorProtocols) }

func testMirrorProtocols(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]backend.Protocol{"https": backend.HTTPS, "h2c": backend.H2C, "h2": backend.H2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got asked
			version := make(chan string, 64)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got.add(r, body)
				_, _ = w.Write(body)
				version <- r.Proto
			}))
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetHTTP1(p == backend.HTTPS)
			s.Config.Protocols.SetUnencryptedHTTP2(p == backend.H2C)
			if s.EnableHTTP2 = p == backend.H2; s.EnableHTTP2 {
				s.Config.Protocols.SetHTTP2(true)
			}
			if p.Secure() {
				s.StartTLS()
			} else {
				s.Start()
			}
			t.Cleanup(s.Close)
			addr := s.Listener.Addr().String()
			f := newFront(t, func(c *Config) {
				pool := mirrorTo(t, c, 100, []string{"set:X-Copy: yes"}, addr)
				pool.Set([]backend.Target{{ID: addr, Address: addr, Weight: 1, Protocol: p, SkipVerify: true}})
			}, newBackend(t, func(http.ResponseWriter, *http.Request) {}))
			client, want := f.client(), []string{}
			for _, size := range []int{0, 5, 40_000} {
				body := strings.Repeat("x", size)
				resp, err := client.Post(f.url(fmt.Sprint("/", size)), "text/plain", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				want = append(want, fmt.Sprintf("POST %s /%d yes %d %x", f.addr, size, size, sha256.Sum256([]byte(body))))
				if v := <-version; (v == "HTTP/2.0") != p.Multiplexed() {
					t.Errorf("unexpected protocol of a copy: %s", v)
				}
			}
			slices.Sort(want)
			if all := got.sorted(); !slices.Equal(all, want) {
				t.Errorf("unexpected copies:\n%q\nwant\n%q", all, want)
			}
			f.wantMetric(`sluice_l7_mirrored_total{service="shadow",result="answered"}`, 3)
		})
	}
}
