package l7

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sluice/pkg/headeredit"
)

func edits(t *testing.T, m headeredit.Message, specs ...string) (es headeredit.Edits) {
	t.Helper()
	for _, s := range specs {
		e, err := headeredit.Parse(s, m)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	return es
}

// TestHeaderEdits has listener, service and route change what goes both ways.
func TestHeaderEdits(t *testing.T) { eachDriver(t, testHeaderEdits) }

func testHeaderEdits(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Server", "secret/1.0")
		w.Header().Set("X-Keep", "1")
		for _, h := range []http.Header{r.Header, r.Trailer} {
			var names []string
			for name := range h {
				if strings.HasPrefix(name, "X-") && !strings.HasPrefix(name, "X-Forwarded") && name != "X-Real-Ip" && name != "X-Request-Id" || strings.HasPrefix(name, "Internal") {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			for _, name := range names {
				fmt.Fprintf(w, "%s=%s\n", name, strings.Join(h[name], "|"))
			}
		}
		fmt.Fprintf(w, "for=%s id=%s", r.Header["X-Forwarded-For"], r.Header["X-Request-Id"])
	})
	req, resp := headeredit.Request, headeredit.Response
	f := newFront(t, func(c *Config) {
		c.RequestHeaders = edits(t, req, "set:X-Level: listener", "remove:Internal-*")
		c.ResponseHeaders = edits(t, resp, "remove:Server", "set:X-Level: listener")
		withPolicy(t, c, PolicyConfig{
			RequestHeaders: edits(t, req, "set:X-Level: service", "add:X-Add: a"), ResponseHeaders: edits(t, resp, "add:X-Level: service"),
			Sticky: Sticky{By: StickyCookie, Name: "sid"},
		})
		rt := &c.Routes[0]
		rt.RequestHeaders = edits(t, req, "add:X-Level: route", "set:X-Vars: ${client} ${scheme} ${host} ${method} ${path} ${query} ${service} ${header.x-in}$$",
			"set:X-Forwarded-For: 10.9.8.7", "remove:X-Request-ID", "set:X-User: nobody")
		rt.ResponseHeaders = edits(t, resp, "set:X-Where: ${backend}", "remove:Set-Cookie")
		c.Routes = append(c.Routes, Route{Path: "/old", Redirect: Redirect{Code: 301, To: "/new"}, ResponseHeaders: edits(t, resp, "set:X-Moved: ${path}")})
	}, b)
	c := f.raw()
	r, body := c.do("POST /x/..//%70?q=1 HTTP/1.1\r\nHost: a.test\r\nX-In: in\r\nX_User: root\r\nx-user: root\r\nInternal-A: 1\r\ninternal_b: 2\r\nX-Level: client\r\n" +
		"Connection: X-Vars, X-User\r\nTransfer-Encoding: chunked\r\nTrailer: X-Other\r\n\r\n3\r\nabc\r\n0\r\nX-User: root\r\nX_user: root\r\nX-Other: fine\r\n\r\n")
	want := "X-Add=a\nX-In=in\nX-Level=service|route\nX-User=nobody\nX-Vars=127.0.0.1 http a.test POST /p q=1 web in$\nX-Other=fine\nfor=[10.9.8.7] id=[]"
	if body != want {
		t.Errorf("unexpected request at the backend; got\n%s\nwant\n%s", body, want)
	}
	if h := r.Header; h.Get("Server") != "" || strings.Join(h["X-Level"], "|") != "listener|service" || h.Get("X-Where") != b || h.Get("X-Keep") != "1" || len(r.Cookies()) != 1 {
		t.Errorf("unexpected response: %v", h)
	}
	if r, _ := c.do("GET /old/x HTTP/1.1\r\nHost: a\r\n\r\n"); r.Header.Get("X-Moved") != "/old/x" || r.Header.Get("X-Level") != "listener" {
		t.Errorf("unexpected redirect: %v", r.Header)
	}
	f.setBackends()
	if r, body := c.do("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); r.StatusCode != 503 || r.Header.Get("X-Where") != "" || len(r.Header["X-Where"]) != 1 || !strings.Contains(body, "backend") {
		t.Errorf("unexpected answer of sluice's own: %d %v %q", r.StatusCode, r.Header, body)
	}
	// What is no request is answered with what is known: the listener.
	if r, _ := f.raw().do("GET / HTTP/1.1\r\n\r\n"); r.StatusCode != 400 || r.Header.Get("X-Level") != "listener" {
		t.Errorf("unexpected answer to what is no request: %d %v", r.StatusCode, r.Header)
	}
}

// TestEditOrigin has edits say what was found of a request, not what a trusted
// proxy's connection looks like.
func TestEditOrigin(t *testing.T) { eachDriver(t, testEditOrigin) }

func testEditOrigin(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("X-Found")) })
	f := newFront(t, func(c *Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.Routes[0].RequestHeaders = edits(t, headeredit.Request, "set:X-Found: ${scheme}://${host}${path} ${client}")
	}, b)
	_, body := f.raw().do("GET //%61 HTTP/1.1\r\nHost: inner:81\r\nX-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: www.test:8443\r\n\r\n")
	if want := "https://www.test:8443/a 10.1.2.3"; body != want {
		t.Errorf("unexpected values; got %q; want %q", body, want)
	}
}
