package admin

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

const drainB = "/admin/drain?url=http://10.0.0.2:80"

// TestRoles tries every call with each token, and none.
func TestRoles(t *testing.T) {
	t.Parallel()
	set := metrics.NewSet()
	s, _, book := plant(t, Config{Token: "all", ReadToken: "look", Counters: set, Metrics: set})
	with := func(method, path, token string) answer {
		return do(t, s, method, path, func(r *http.Request) {
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
		})
	}
	for _, c := range calls() {
		// Each once more without and with too little; nothing may come of it.
		if got := with(c.method, c.path, ""); got.code != 401 || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("unexpected answer to %s %s without a token: %d", c.method, c.path, got.code)
		}
		if got := with(c.method, c.path, "look"); (got.code == 403) != (c.method != "GET") {
			t.Errorf("unexpected answer to %s %s with a token that only looks: %d", c.method, c.path, got.code)
		}
	}
	if book.Overlay().Version != 0 {
		t.Fatalf("something was changed: %v", book.Overlay())
	}
	if got := with("GET", "/debug/pprof/heap", "look"); got.code != 403 {
		t.Errorf("a token that only looks got a profile: %d", got.code)
	}
	if got := with("POST", drainB, "all"); got.code != 200 {
		t.Errorf("unexpected answer with the token: %d %s", got.code, got.body)
	}
	text := with("GET", "/metrics", "look").body
	for _, reason := range []string{"token", "role"} {
		if strings.Contains(text, `sluice_admin_refused_total{reason="`+reason+`"} 0`) || !strings.Contains(text, `sluice_admin_refused_total{reason="`+reason+`"}`) {
			t.Errorf("refusals by %s were not counted", reason)
		}
	}
}

// TestOnlyReadToken has no token that changes anything.
func TestOnlyReadToken(t *testing.T) {
	t.Parallel()
	s, _, _ := plant(t, Config{ReadToken: "look"})
	for token, want := range map[string]int{"": 401, "look": 403, "x": 401} {
		got := do(t, s, "POST", drainB, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
		if got.code != want {
			t.Errorf("unexpected answer with token %q; got %d, want %d", token, got.code, want)
		}
	}
}

// TestGuesses sends wrong tokens until they are not even looked at, which the
// right one always is.
func TestGuesses(t *testing.T) {
	t.Parallel()
	s, _, _ := plant(t, Config{Token: "all"})
	seen := make(map[int]int)
	for range guessBurst + 10 {
		got := do(t, s, "GET", "/admin/services", func(r *http.Request) { r.Header.Set("Authorization", "Bearer wrong") })
		seen[got.code]++
	}
	if seen[401] < guessBurst || seen[429] == 0 || seen[200] > 0 {
		t.Fatalf("unexpected answers: %v", seen)
	}
	if got := do(t, s, "GET", "/admin/services", func(r *http.Request) { r.Header.Set("Authorization", "Bearer all") }); got.code != 200 {
		t.Fatalf("the right token is refused: %d", got.code)
	}
}

func TestTokenFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	var l log
	s, _, _ := plant(t, Config{TokenFile: path, Logger: slog.New(slog.NewTextHandler(&l, nil))})
	try := func(token string) int {
		return do(t, s, "GET", "/admin/services", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }).code
	}
	if try("first") != 200 || try("second") != 401 {
		t.Fatal("unexpected answers to the first token")
	}
	await := func(token string, want int) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); try(token) != want; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("token %q is never answered %d", token, want)
			}
		}
	}
	write("second token file\n") // which no header can carry
	time.Sleep(minFileLook)
	if try("first") != 200 {
		t.Fatal("a file that cannot be used took the last token away")
	}
	write("second\n")
	await("second", 200)
	if try("first") == 200 {
		t.Fatal("the old token is still good")
	}
	if strings.Contains(l.String(), "second") {
		t.Fatalf("the log has a token: %s", l.String())
	}
	for _, bad := range []string{"", "\n", " \n"} {
		write(bad)
		if _, err := New(withDefaults(Config{TokenFile: path})); err == nil || !strings.Contains(err.Error(), "--admin-token-file") {
			t.Errorf("unexpected error of a file with %q: %v", bad, err)
		}
	}
	if _, err := New(withDefaults(Config{ReadTokenFile: path + "x"})); err == nil || !strings.Contains(err.Error(), "--admin-read-token-file") {
		t.Errorf("unexpected error of a file that is not there: %v", err)
	}
}

// TestAttacks sends changes as a web page, a wrong name or a trick would.
func TestAttacks(t *testing.T) {
	t.Parallel()
	s, _, book := plant(t, Config{})
	header := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == "Host" {
					r.Host = pairs[i+1]
				} else {
					r.Header.Set(pairs[i], pairs[i+1])
				}
			}
		}
	}
	body := func(kind, text string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Content-Type", kind)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		}
	}
	for _, c := range []struct {
		name, method, path string
		change             func(*http.Request)
		code               int
	}{
		{"by GET", "GET", drainB, nil, 405},
		{"by HEAD", "HEAD", drainB, nil, 405},
		{"by override", "GET", "/admin/changes?_method=DELETE", header("X-HTTP-Method-Override", "DELETE"), 400},
		{"rebinding", "POST", drainB, header("Host", "evil.test"), 421},
		{"other origin", "POST", drainB, header("Origin", "http://evil.test"), 403},
		{"no origin", "POST", drainB, header("Origin", "null"), 403},
		{"origin of another port", "POST", drainB, header("Origin", "http://127.0.0.1:1"), 403},
		{"cross-site", "POST", drainB, header("Sec-Fetch-Site", "cross-site"), 403},
		{"same-site", "POST", drainB, header("Sec-Fetch-Site", "same-site"), 403},
		{"form of another site", "POST", "/admin/drain", func(r *http.Request) {
			body("application/x-www-form-urlencoded", "url=b")(r)
			header("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")(r)
		}, 403},
		{"text", "POST", "/admin/drain", body("text/plain", `{"url":"b"}`), 415},
		{"multipart", "POST", "/admin/drain", body("multipart/form-data; boundary=x", "--x--"), 415},
		{"XML", "POST", "/admin/drain", body("application/xml", "<url>b</url>"), 415},
		{"too large", "POST", "/admin/drain", body("application/json", `{"url":"`+strings.Repeat("x", maxBodyBytes)+`"}`), 413},
		{"deep", "POST", "/admin/drain", body("application/json", `{"url":`+strings.Repeat("[", 100_000)), 400},
		{"doubled slash", "POST", "//admin/drain?url=b", nil, 307},
		{"dots", "POST", "/x/../admin/drain?url=b", nil, 307},
		{"control characters", "POST", "/admin/drain?url=b&reason=a%0ab", nil, 400},
		{"log injection", "POST", "/admin/drain?url=b&by=%1b[31m", nil, 400},
		{"long reason", "POST", "/admin/drain?url=b&reason=" + strings.Repeat("x", 1000), nil, 400},
		{"NaN weight", "POST", "/admin/weight?url=b&weight=NaN", nil, 400},
		{"key injection", "POST", "/admin/backend/add?url=10.0.0.9:80&service=web&zone=a,weight=9", nil, 400},
		{"value injection", "PUT", "/admin/services/web/strategy?value=p2c,max-conns=1", nil, 400},
		{"bad escape", "POST", "/admin/drain?url=%zz", nil, 400},
	} {
		got := do(t, s, c.method, c.path, c.change)
		if got.code != c.code {
			t.Errorf("%s: unexpected answer; got %d %.200s, want %d", c.name, got.code, got.body, c.code)
		}
	}
	if book.Overlay().Version != 0 {
		t.Fatalf("an attack changed something: %v", book.Overlay())
	}
	// And what is not one.
	for _, f := range []func(*http.Request){
		body("application/x-www-form-urlencoded", `{"url":"b"}`), // curl -d
		body("application/x-www-form-urlencoded", "url=http%3A%2F%2F10.0.0.2"),
		body("", `{"url":"b"}`),
		header("Sec-Fetch-Site", "same-origin"),
		header("Origin", "http://"+s.Addr().String()),
	} {
		path := drainB
		if got := do(t, s, "POST", "/admin/drain", f); got.code == 200 {
			continue
		}
		if got := do(t, s, "POST", path, f); got.code != 200 {
			t.Errorf("unexpected refusal: %d %s", got.code, got.body)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "admin.sock")
	config := withDefaults(Config{Address: "unix:" + path + ",mode=0640"})
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 || info.Mode().Type() != os.ModeSocket {
		t.Fatalf("unexpected socket: %v, %v", info, err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	resp, err := client.Get("http://anything/admin/services")
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("unexpected answer: %v, %v", resp, err)
	}
	resp.Body.Close()
	client.CloseIdleConnections()
	if _, err := New(config); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("unexpected error of a socket in use: %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatalf("the socket is left behind: %v", err)
	}
	// What a process left that was killed is in nobody's way.
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	again, err := New(config)
	if err != nil {
		t.Fatalf("cannot take the place of a dead socket: %v", err)
	}
	serve(t, again)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"unix:", "unix:" + file, "unix:/nowhere/x", "unix:/tmp/x,mode=9", "unix:/tmp/x,colour=red", "unix:/tmp/x,group=", "unix:/" + strings.Repeat("x", 200)} {
		if _, err := New(withDefaults(Config{Address: bad})); err == nil {
			t.Errorf("no error for %s", bad)
		}
	}
}

// TestExposedByTLS has an address that others can reach: a token or client
// certificates guard it, TLS alone does not.
func TestExposedByTLS(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[bool]Config{
		true:  {Address: "0.0.0.0:0", TLS: &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}},
		false: {Address: "0.0.0.0:0", TLS: &tls.Config{ClientAuth: tls.RequireAnyClientCert}}, // which nobody verifies
	} {
		s, err := New(withDefaults(cfg))
		if (err == nil) != want {
			t.Errorf("unexpected error of %+v: %v", cfg.TLS.ClientAuth, err)
		}
		if s != nil {
			_ = s.Shutdown(t.Context())
		}
	}
}
