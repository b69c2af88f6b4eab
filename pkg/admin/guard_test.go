package admin

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
)

// endpoints are all paths that need the token.
func endpoints() []string {
	return []string{"/", "/metrics", "/admin/backends", "/admin/config", "/debug/pprof/", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline", "/debug/pprof/symbol", "/nowhere"}
}

func TestToken(t *testing.T) {
	t.Parallel()
	var l log
	s := start(t, Config{Token: "s3cret", Logger: slog.New(slog.NewTextHandler(&l, nil))})
	var refusals []string
	f := func(header, path string, wantOK bool) {
		t.Helper()
		got := do(t, s, "GET", path, func(r *http.Request) {
			if header != "" {
				r.Header.Set("Authorization", header)
			}
		})
		if ok := got.code != http.StatusUnauthorized; ok != wantOK {
			t.Fatalf("unexpected answer to %s with %q; got %d", path, header, got.code)
		}
		if !wantOK {
			if got.header.Get("WWW-Authenticate") != "Bearer" {
				t.Fatalf("unexpected WWW-Authenticate %q", got.header.Get("WWW-Authenticate"))
			}
			refusals = append(refusals, got.body)
		}
	}
	for _, path := range endpoints() {
		f("", path, false)
		f("Bearer s3cret", path, true)
	}
	f("bearer s3cret", "/", true)
	f("Bearer  s3cret", "/", true)
	f("Bearer wrong", "/", false)
	f("Bearer s3cre", "/", false)
	f("Bearer s3cretx", "/", false)
	f("Bearer S3CRET", "/", false)
	f("Bearer ", "/", false)
	f("Bearer", "/", false)
	f("Basic s3cret", "/", false)
	f("s3cret", "/", false)
	f("", "/?token=s3cret&access_token=s3cret", false)
	for _, body := range refusals {
		if body != refusals[0] {
			t.Fatalf("refusals differ: %q and %q", body, refusals[0])
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		f("", path, true)
	}
	if n := strings.Count(l.String(), "no valid token"); n != 1 || strings.Contains(l.String(), "s3cret") {
		t.Fatalf("unexpected log %q; want one line without the token", l.String())
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	f := func(address, host string, want int) {
		t.Helper()
		s := start(t, Config{Address: address, AllowInsecure: true})
		for _, path := range []string{"/", "/healthz"} {
			if got := do(t, s, "GET", path, func(r *http.Request) { r.Host = host }); got.code != want {
				t.Fatalf("unexpected status of %s on %s with Host %q; got %d; want %d", path, address, host, got.code, want)
			}
		}
	}
	for _, host := range []string{"localhost", "LocalHost:9900", "localhost:1", "127.0.0.1", "127.0.0.1:80", "127.8.9.10", "[::1]", "[::1]:9900", "[::ffff:127.0.0.1]"} {
		f("127.0.0.1:0", host, 200)
	}
	for _, host := range []string{"evil.test", "evil.test:9900", "localhost.evil.test", "127.0.0.1.evil.test", "10.0.0.1", "0.0.0.0", "[::]", "[2001:db8::1]:80", "127.1", "localhost."} {
		f("127.0.0.1:0", host, 421)
	}
	f("127.9.8.7:0", "127.9.8.7:1", 200) // the bound address itself
	// Bound to all addresses there is no telling by which name it is reached.
	f("0.0.0.0:0", "evil.test", 200)

	s := start(t, Config{})
	for _, text := range []string{
		"GET / HTTP/1.0\r\n\r\n", // no Host at all
		"GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
		"GET http://evil.test/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
	} {
		if got := raw(t, s, text); !strings.Contains(got, " 421 ") {
			t.Fatalf("unexpected answer to %q: %q", text, got)
		}
	}
}

func TestAllowedHosts(t *testing.T) {
	t.Parallel()
	// A name that the address was given by is one to be called by.
	h := allowedHosts("MyHost:9900")
	if !h.allow("myhost:9900") || !h.allow("MYHOST") || h.allow("other") {
		t.Fatal("unexpected verdict on the configured name")
	}
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	f := func(path string, header map[string]string, want int) {
		t.Helper()
		got := do(t, s, "GET", path, func(r *http.Request) {
			for k, v := range header {
				r.Header.Set(k, v)
			}
		})
		if got.code != want {
			t.Fatalf("unexpected status of %s with %v; got %d; want %d", path, header, got.code, want)
		}
		if got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Fatal("unexpected Access-Control-Allow-Origin")
		}
	}
	own := "http://" + s.Addr().String()
	f("/metrics", map[string]string{"Sec-Fetch-Site": "same-origin"}, 200)
	f("/metrics", map[string]string{"Sec-Fetch-Site": "none"}, 200) // typed by the user
	f("/metrics", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403)
	f("/metrics", map[string]string{"Sec-Fetch-Site": "same-site"}, 403)
	f("/metrics", map[string]string{"Sec-Fetch-Site": "other"}, 403)
	f("/metrics", map[string]string{"Origin": own}, 200)
	f("/metrics", map[string]string{"Origin": "http://evil.test"}, 403)
	f("/metrics", map[string]string{"Origin": "null"}, 403)
	f("/metrics", map[string]string{"Origin": "%"}, 403)

	link := map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
	f("/", link, 200)
	f("/metrics", link, 403)
	frame := maps.Clone(link)
	frame["Sec-Fetch-Dest"] = "iframe"
	f("/", frame, 403)
}

func TestMethodsAndPaths(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	f := func(method, path string, want int) {
		t.Helper()
		got := do(t, s, method, path, nil)
		if got.code != want {
			t.Fatalf("unexpected status of %s %s; got %d %q; want %d", method, path, got.code, got.body, want)
		}
		if want == 405 && got.header.Get("Allow") != "GET, HEAD" {
			t.Fatalf("unexpected Allow of %s %s: %q", method, path, got.header.Get("Allow"))
		}
	}
	for _, path := range []string{"/", "/metrics", "/admin/backends", "/admin/config", "/debug/pprof/", "/debug/pprof/profile", "/debug/pprof/trace", "/debug/pprof/symbol", "/debug/pprof/cmdline"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
			f(method, path, 405)
		}
	}
	for _, path := range []string{"/", "/admin", "/admin/", "/admin/openapi.json", "/healthz", "/readyz", "/metrics", "/admin/backends", "/admin/config", "/debug/pprof/"} {
		f("HEAD", path, 200)
	}
	for _, path := range []string{"/nowhere", "/admin/nowhere", "/admin/config/x", "/debug/pprof/nothing", "/debug/pprof/heap/x", "/metrics/", "/index.html", "/%2e%2e/etc/passwd"} {
		f("GET", path, 404)
	}
	f("GET", "/debug/pprof", 307) // to the index beneath
	if got := raw(t, s, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
		t.Fatalf("unexpected answer to OPTIONS *: %q", got)
	}
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for _, path := range append(endpoints(), "/healthz", "/readyz") {
		h := get(t, s, path).header
		for name, want := range map[string]string{
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
			"X-Frame-Options":         "DENY",
			"Content-Security-Policy": "default-src 'none'",
			"Cache-Control":           "no-store",
		} {
			if !strings.HasPrefix(h.Get(name), want) {
				t.Fatalf("unexpected %s of %s; got %q; want %q", name, path, h.Get(name), want)
			}
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	if got := raw(t, s, "GET / HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Fatalf("unexpected answer to a large header: %.100q", got)
	}
	if got := raw(t, s, fmt.Sprintf("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\nx", 10<<20)); !strings.HasPrefix(got, "HTTP/1.1 413 ") {
		t.Fatalf("unexpected answer to a large body: %.100q", got)
	}
}

// TestConcurrency fills every place and shows that probes still pass.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	svc := newService("web")
	svc.Strategy = func() string { entered <- struct{}{}; <-release; return "p2c" }
	var l log
	s := start(t, Config{Services: listed(svc), Logger: slog.New(slog.NewTextHandler(&l, nil))})
	codes := make(chan int, maxRequests)
	for range maxRequests {
		go func() {
			resp, err := http.Get("http://" + s.Addr().String() + "/admin/backends")
			if err != nil {
				codes <- 0
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			codes <- resp.StatusCode
		}()
	}
	for range maxRequests {
		<-entered
	}
	if got := get(t, s, "/admin/config"); got.code != 503 || got.header.Get("Retry-After") != "1" {
		t.Fatalf("unexpected answer beyond the limit: %+v", got)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := get(t, s, path); got.code != 200 {
			t.Fatalf("unexpected status of %s at the limit; got %d; want 200", path, got.code)
		}
	}
	close(release)
	for range maxRequests {
		if code := <-codes; code != 200 {
			t.Fatalf("unexpected status within the limit; got %d; want 200", code)
		}
	}
	if got := get(t, s, "/admin/config"); got.code != 200 {
		t.Fatalf("unexpected status after the rush; got %d; want 200", got.code)
	}
	if !strings.Contains(l.String(), "too many requests") {
		t.Fatalf("unexpected log %q", l.String())
	}
}
