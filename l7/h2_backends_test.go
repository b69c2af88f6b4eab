package l7

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"sluice/pkg/backend"
)

// speak makes all members speak a protocol.
func (f *front) speak(p backend.Protocol, addrs ...string) {
	var targets []backend.Target
	for _, a := range addrs {
		targets = append(targets, backend.Target{ID: a, Address: a, Weight: 1, Protocol: p})
	}
	f.pool.Set(targets)
}

// newClearBackend starts a backend that speaks HTTP/2 without TLS, and counts its
// connections.
func newClearBackend(t *testing.T, maxStreams int, h http.HandlerFunc) (addr string, conns *atomic.Int32) {
	t.Helper()
	conns = new(atomic.Int32)
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: maxStreams}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), conns
}

// TestHTTP2Backends has requests of both HTTPs reach backends of HTTP/2, and what
// they say come back.
func TestHTTP2Backends(t *testing.T) {
	t.Parallel()
	h := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("cannot read the body: %v", err)
		}
		if r.URL.Path == "/none" {
			w.WriteHeader(204)
			return
		}
		w.Header().Set("Trailer", "X-After")
		w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %d %s", r.Proto, r.Method, r.Host, r.ContentLength, r.Trailer.Get("X-Sum")))
		_, _ = w.Write(body)
		w.Header().Set("X-After", "yes")
	}
	clear, _ := newClearBackend(t, 0, h)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(h))
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	one := httptest.NewTLSServer(http.HandlerFunc(h))
	t.Cleanup(one.Close)
	large := strings.Repeat("0123456789abcdef", 100_000)
	for name, b := range map[string]struct {
		p    backend.Protocol
		addr string
		want string
	}{
		"h2c":   {backend.H2C, clear, "HTTP/2.0"},
		"h2":    {backend.H2, secure.Listener.Addr().String(), "HTTP/2.0"},
		"https": {backend.HTTPS, one.Listener.Addr().String(), "HTTP/1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newClearFront(t, func(c *Config) {
				withPolicy(t, c, PolicyConfig{TLS: &tls.Config{InsecureSkipVerify: true}})
			})
			f.speak(b.p, b.addr)
			for version, client := range map[string]*http.Client{"1": f.client(), "2": f.client2()} {
				for _, x := range []struct {
					method, path, body string
					sized              bool
				}{
					{"GET", "/", "", true}, {"HEAD", "/", "", true}, {"POST", "/", "", true}, {"POST", "/", "hello", true}, {"POST", "/", "hello", false},
					{"PUT", "/", large, true}, {"PUT", "/", large, false}, {"POST", "/none", "x", true},
				} {
					var body io.Reader
					if x.body != "" {
						if body = strings.NewReader(x.body); !x.sized {
							body = struct{ io.Reader }{body}
						}
					}
					req, err := http.NewRequest(x.method, f.url(x.path), body)
					if err != nil {
						t.Fatal(err)
					}
					req.Host = "example.com"
					if !x.sized {
						req.Trailer = http.Header{"X-Sum": {"7"}}
					}
					resp, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil {
						t.Fatalf("%s %s by HTTP/%s: %v", x.method, x.path, version, err)
					}
					if x.path == "/none" {
						if resp.StatusCode != 204 {
							t.Errorf("unexpected status %d", resp.StatusCode)
						}
						continue
					}
					length, sum := len(x.body), ""
					if !x.sized {
						length, sum = -1, "7"
					}
					if b.p == backend.HTTPS && x.method == "POST" && x.body == "" {
						length = 0
					}
					want := fmt.Sprintf("%s %s example.com %d %s", b.want, x.method, length, sum)
					if version == "2" && !x.sized && len(x.body) < 100 { // it came whole, with its length known
						want = resp.Header.Get("X-Seen")
					}
					if resp.Header.Get("X-Seen") != strings.TrimSpace(want) && resp.Header.Get("X-Seen") != want || x.method != "HEAD" && string(got) != x.body {
						t.Errorf("unexpected exchange of %s with %d bytes by HTTP/%s: %q, want %q; %d bytes back", x.method, len(x.body), version, resp.Header.Get("X-Seen"), want, len(got))
					}
					if x.body == large && resp.Trailer.Get("X-After") != "yes" {
						t.Errorf("unexpected trailer by HTTP/%s: %v", version, resp.Trailer)
					}
				}
			}
		})
	}
}

// TestHTTP2Untrusted has a backend whose certificate nobody believes get no
// request.
func TestHTTP2Untrusted(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	f := newClearFront(t, nil)
	for _, p := range []backend.Protocol{backend.H2, backend.HTTPS} {
		f.speak(p, s.Listener.Addr().String())
		resp, err := f.client().Get(f.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 502 {
			t.Errorf("unexpected status: %d", resp.StatusCode)
		}
		f.speak(p)
	}
}

// TestHTTP2Share has requests share connections up to what the backend takes, and
// more be made then.
func TestHTTP2Share(t *testing.T) {
	t.Parallel()
	const streams, requests = 10, 60
	var in sync.WaitGroup
	in.Add(requests)
	addr, conns := newClearBackend(t, streams, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/quick" {
			in.Done()
			in.Wait() // all of them are under way at once
		}
	})
	f := newClearFront(t, nil)
	f.speak(backend.H2C, addr)
	client := f.client()
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() {
			resp, err := client.Get(f.url("/"))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Errorf("unexpected status: %d", resp.StatusCode)
			}
		})
	}
	wg.Wait()
	if n := conns.Load(); n < requests/streams || n > 2*requests/streams+4 {
		t.Errorf("unexpected number of connections; got %d; want about %d", n, requests/streams)
	}
	before := conns.Load()
	for range 20 {
		wg.Go(func() {
			if resp, err := client.Get(f.url("/quick")); err == nil {
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	if n := conns.Load(); n > before {
		t.Errorf("%d connections more were made where there was room", n-before)
	}
}

// frameBackend starts a backend that serves each connection, of which it is the
// n-th, frame by frame.
func frameBackend(t *testing.T, serve func(n int, fr *framer), settings ...http2.Setting) string {
	var mu sync.Mutex
	var conns []net.Conn
	addr := newRawBackend(t, func(n int, c *rawConn) {
		mu.Lock()
		conns = append(conns, c)
		mu.Unlock()
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c.br, preface); err != nil || string(preface) != http2.ClientPreface {
			t.Errorf("unexpected preface %q, %v", preface, err)
			return
		}
		fr := newFramer(t, c)
		fr.Framer = http2.NewFramer(c, c.br)
		_ = fr.WriteSettings(settings...)
		_ = fr.WriteSettingsAck()
		serve(n, fr)
	})
	t.Cleanup(func() { // before it is waited for
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
	})
	return addr
}

// request reads frames until a request is whole, and returns its stream.
func (fr *framer) request() (id uint32, ok bool) {
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return 0, false
		}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			if f.StreamEnded() {
				return f.StreamID, true
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				return f.StreamID, true
			}
		}
	}
}

// TestHTTP2Unprocessed has requests, also such as may not be sent twice, be tried
// elsewhere if a backend says that it did nothing for them.
func TestHTTP2Unprocessed(t *testing.T) {
	t.Parallel()
	good, _ := newClearBackend(t, 0, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	for name, refuse := range map[string]func(fr *framer, id uint32){
		"refused": func(fr *framer, id uint32) { _ = fr.WriteRSTStream(id, http2.ErrCodeRefusedStream) },
		"leaving": func(fr *framer, id uint32) { _ = fr.WriteGoAway(id-2&0x7fffffff, http2.ErrCodeNo, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := frameBackend(t, func(_ int, fr *framer) {
				for {
					id, ok := fr.request()
					if !ok {
						return
					}
					if id == 1 && name == "leaving" {
						_ = fr.WriteGoAway(0, http2.ErrCodeNo, nil)
						continue
					}
					refuse(fr, id)
				}
			})
			f := newClearFront(t, nil)
			f.speak(backend.H2C, bad, good)
			for _, client := range []*http.Client{f.client(), f.client2()} {
				for i := range 8 {
					resp, err := client.Post(f.url("/"), "text/plain", bytes.NewReader([]byte("once")))
					if err != nil {
						t.Fatal(err)
					}
					body, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					if resp.StatusCode != 200 || string(body) != "once" {
						t.Fatalf("unexpected response %d: %d, %q", i, resp.StatusCode, body)
					}
				}
			}
		})
	}
}

// TestHTTP2Garbled has a backend that breaks off, or says what is no HTTP/2, make
// no whole response.
func TestHTTP2Garbled(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		answer func(fr *framer, id uint32)
		status int // 0: the response breaks off
	}{
		"no status":     {func(fr *framer, id uint32) { fr.open(id, true, "x", "y") }, 502},
		"line in field": {func(fr *framer, id uint32) { fr.open(id, true, ":status", "200", "x", "a\r\nb: c") }, 502},
		"101":           {func(fr *framer, id uint32) { fr.open(id, false, ":status", "101") }, 502},
		"reset":         {func(fr *framer, id uint32) { _ = fr.WriteRSTStream(id, http2.ErrCodeInternal) }, 502},
		"closed":        {func(fr *framer, _ uint32) { fr.c.Close() }, 502},
		"no frame":      {func(fr *framer, _ uint32) { _, _ = fr.c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, 502},
		"too short": {func(fr *framer, id uint32) {
			fr.open(id, false, ":status", "200", "content-length", "5")
			_ = fr.WriteData(id, true, []byte("abc"))
		}, 0},
		"reset in a body": {func(fr *framer, id uint32) {
			fr.open(id, false, ":status", "200")
			_ = fr.WriteData(id, false, []byte("abc"))
			_ = fr.WriteRSTStream(id, http2.ErrCodeInternal)
		}, 0},
		"closed in a body": {func(fr *framer, id uint32) {
			fr.open(id, false, ":status", "200")
			_ = fr.WriteData(id, false, []byte("abc"))
			fr.c.Close()
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newClearFront(t, func(c *Config) { c.Retries = -1 })
			f.speak(backend.H2C, frameBackend(t, func(_ int, fr *framer) {
				for {
					id, ok := fr.request()
					if !ok {
						return
					}
					x.answer(fr, id)
				}
			}))
			for _, client := range []*http.Client{f.client(), f.client2()} {
				resp, err := client.Post(f.url("/"), "text/plain", strings.NewReader("x"))
				if err != nil {
					if x.status == 0 {
						continue
					}
					t.Fatal(err)
				}
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				if x.status == 0 && err == nil || x.status != 0 && resp.StatusCode != x.status {
					t.Errorf("unexpected response: %d, %v", resp.StatusCode, err)
				}
			}
		})
	}
}

// TestHTTP2Member has connections to a backend that is none any more end, after
// what is under way on them.
func TestHTTP2Member(t *testing.T) {
	t.Parallel()
	entered, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "whole")
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(ended)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	f := newClearFront(t, nil)
	f.speak(backend.H2C, s.Listener.Addr().String())
	got := make(chan string, 1)
	go func() {
		resp, err := f.client().Get(f.url("/"))
		if err != nil {
			got <- err.Error()
			return
		}
		body, _ := io.ReadAll(resp.Body)
		got <- string(body)
	}()
	<-entered
	f.speak(backend.H2C)
	select {
	case <-ended:
		t.Error("the connection ended with a request under way")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if body := <-got; body != "whole" {
		t.Errorf("unexpected response: %q", body)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the connection to a backend that is none any more stays")
	}
}
