package l7

import (
	"net"
	"net/http"
	"net/url"
	"os"
	urlpath "path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

const secret = "TOP-SECRET"

// spellings are ways to write /admin/s, of which some server serves each as
// that, or has done so.
var spellings = []string{
	"/admin/s", "/%61dmin/s", "/%61%64%6d%69%6e/%73", "/%61%64%6D%69%6E/s", "/admin%2fs", "/admin%2Fs", "/admin/%73",
	"//admin/s", "///admin///s", "/./admin/s", "/admin/./s", "/.//admin/s", "/x/../admin/s", "/admin/x/../s", "/x//../admin/s", "/x/..//admin/s", "/../admin/s", "/x/../../admin/s",
	"/%2e/admin/s", "/x/%2e%2e/admin/s", "/x/.%2e/admin/s", "/x/%2E./admin/s", "/x/..%2fadmin/s", "/x%2f..%2fadmin/s", "/x/..%2fadmin%2fs", "/%2fadmin/s", "/%2e%2fadmin/s",
	`/admin\s`, `\admin\s`, "/admin%5cs", `/x\..\admin\s`, `/x%5c..%5cadmin/s`, "/%5cadmin/s", `/\admin/s`,
	"/admin;/s", "/admin;x=y/s", "/;/admin/s", "/;x/admin/s", "/x/..;/admin/s", "/x/..;a=b/admin/s", "/admin/s;x", "/admin/.;/s", "/admin%3b/s", "/x/..%3b/admin/s", "/%3b/admin/s",
	"/admin%00/s", "/admin/s%00", "/admin/s%00.html", "/x%00/../admin/s",
	"/%2561dmin/s", "/admin%252fs", "/x/%252e%252e/admin/s", "/x/..%252fadmin/s", "/x/%25252e%25252e/admin/s", "/%25%36%31dmin/s",
	"/admin%3f/s", "/admin/s%3fx", "/admin/s%23x", "/admin%23/s", "/admin/s?x", "/admin/s?/../x",
	"/%c0%afadmin/s", "/x/%c0%ae%c0%ae/admin/s", "/admin%c0%afs", "/x/..%c0%afadmin/s", "/%e0%80%afadmin/s", "/%u0061dmin/s", "/%u002fadmin/s", "/admin%u2215s", "/admin%ef%bc%8fs",
	"/admin/s%", "/%/../admin/s", "/%zz/../admin/s", "/admin/s%2", "/a%dmin/s",
	"/admin/s/", "/admin/s/.", "/admin/s/..", "/admin/s%20", "/admin/s.", "/admin/s%0a", "/admin%09/s", "/admin/s//", "/admin/s/x", "/admin/", "/admin", "/admin/x/%2e%2e/s",
	"/x/%2f/../admin/s", "/x%2f/../../admin/s", "/x;/../admin/s", "/x%5c/../../admin/s", "/%20/../admin/s", "/x%3f/../admin/s", "/admin%2f..%2fadmin%2fs", "/admin;a%2fb/s", "/admin/..;/admin/s",
	"//x/admin/s", "//x//%61dmin/s", `/\x/admin/s`, "//x;y/admin/s", "//HOST/x/../admin/s",
	"http://HOST/admin/s", "http://HOST//admin/s", "http://HOST/%61dmin/s", "http://HOST/x/../admin/s",
}

// askSpelling asks addr for a target as it is and returns what comes.
func askSpelling(t *testing.T, addr, method, target string) string {
	t.Helper()
	target = strings.Replace(target, "HOST", "a.test", 1)
	return exchangeText(t, addr, method+" "+target+" HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", false, false)
}

// checkSpellings holds that none of the spellings reaches what the route of
// /admin denies, and that something else is still served. reached is how many
// reach it with the server itself.
func checkSpellings(t *testing.T, server string) (reached int) {
	t.Helper()
	f := newFront(t, func(c *Config) {
		all := c.Routes[0]
		denied := all
		denied.Path, denied.Deny = "/admin", prefixes("0.0.0.0/0", "::/0")
		raw := all
		raw.Path, raw.Form = "/x", PathRaw
		pub := all
		pub.Path, pub.Strip = "/pub", "/pub"
		posts := denied
		posts.Path, posts.Methods, posts.Deny = "/posts", []string{"POST"}, nil
		never := denied
		never.Path = "/posts"
		c.Routes = []Route{all, denied, raw, pub, posts, never}
	}, server)
	if got := askSpelling(t, f.addr, "GET", "/open"); !strings.Contains(got, "HELLO") {
		t.Fatalf("what is allowed is not served: %q", got)
	}
	for _, s := range spellings {
		if strings.Contains(askSpelling(t, server, "GET", s), secret) {
			reached++
		}
		for _, to := range []string{s, strings.Replace(s, "/", "/pub/../", 1), strings.Replace(s, "/", "/x/../", 1)} {
			if got := askSpelling(t, f.addr, "GET", to); strings.Contains(got, secret) {
				t.Errorf("%q gets round the route of /admin: %.200q", to, got)
			}
		}
	}
	t.Logf("spellings that reach it without sluice: %d of %d", reached, len(spellings))
	return reached
}

// writeSite makes a folder with what is denied and what is not.
func writeSite(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"admin/s": secret, "admin/index.html": secret, "open": "HELLO", "posts/s": secret, "x/o": "HELLO"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestSpellings tries every spelling against servers that are at hand
// everywhere, of both kinds: of files, and with handlers for paths.
func TestSpellings(t *testing.T) { eachDriver(t, testSpellings) }

func testSpellings(t *testing.T) {
	t.Parallel()
	dir := writeSite(t)
	answer := func(p string) string { // as careless as can be
		p = urlpath.Clean("/" + strings.ReplaceAll(p, `\`, "/"))
		if p == "/admin" || strings.HasPrefix(p, "/admin/") {
			return secret
		}
		return "HELLO"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("HELLO")) })
	mux.HandleFunc("/admin/", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(secret)) })
	fs := &fasthttp.FS{Root: dir, IndexNames: []string{"index.html"}}
	for name, addr := range map[string]string{
		"files of net/http":   newBackend(t, http.FileServer(http.Dir(dir)).ServeHTTP),
		"mux of net/http":     newBackend(t, mux.ServeHTTP),
		"handler of net/http": newBackend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(answer(r.URL.Path))) }),
		"target of net/http":  newBackend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(answer(r.RequestURI))) }),
		"URL of net/http": newBackend(t, func(w http.ResponseWriter, r *http.Request) { // as JavaScript's and PHP's are, for which //x/y is /y
			u, err := url.Parse(strings.ReplaceAll(r.RequestURI, `\`, "/"))
			if err != nil {
				u = &url.URL{}
			}
			_, _ = w.Write([]byte(answer(u.Path)))
		}),
		"files of fasthttp":    newFastHTTP(t, fs.NewRequestHandler()),
		"handler of fasthttp":  newFastHTTP(t, func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(answer(string(ctx.Path()))) }),
		"original of fasthttp": newFastHTTP(t, func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(answer(string(ctx.URI().PathOriginal()))) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if n := checkSpellings(t, addr); n < 4 {
				t.Errorf("only %d spellings reach it without sluice: the test shows nothing", n)
			}
		})
	}
}

// newFastHTTP starts a backend on fasthttp and returns its address.
func newFastHTTP(t *testing.T, h fasthttp.RequestHandler) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fasthttp.Server{Handler: h, Logger: discard{}}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

// discard is a logger that says nothing.
type discard struct{}

func (discard) Printf(string, ...any) {}

// TestMethodSpellings tries that a method is the same in any case to what
// hangs on a route: some servers take it so.
func TestMethodSpellings(t *testing.T) { eachDriver(t, testMethodSpellings) }

func testMethodSpellings(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(strings.ToUpper(r.Method))) })
	f := newFront(t, func(c *Config) {
		denied := c.Routes[0]
		denied.Path, denied.Methods, denied.Deny = "/admin", []string{"DELETE", "Purge"}, prefixes("0.0.0.0/0")
		hidden := c.Routes[0]
		hidden.Path, hidden.Headers, hidden.Deny = "/", []HeaderMatch{{Name: "X-Debug"}}, prefixes("0.0.0.0/0")
		c.Routes = append(c.Routes, denied, hidden)
	}, b)
	for _, method := range []string{"DELETE", "delete", "Delete", "PURGE", "purge"} {
		if got := askSpelling(t, f.addr, method, "/admin/x"); strings.Contains(got, "DELETE") || strings.Contains(got, "200 OK") {
			t.Errorf("%s gets round the route: %q", method, got)
		}
	}
	for _, name := range []string{"X-Debug", "x-debug", "X_Debug", "x_DEBUG"} {
		if got := exchangeText(t, f.addr, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+name+": 1\r\n\r\n", false, false); strings.Contains(got, "200 OK") {
			t.Errorf("%s gets round the route: %q", name, got)
		}
	}
	if got := askSpelling(t, f.addr, "GET", "/admin/x"); !strings.Contains(got, "200 OK") {
		t.Errorf("unexpected answer to a method that is not denied: %q", got)
	}
}
