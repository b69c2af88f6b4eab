package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestParseCheckRefuses(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"http:/%zz":                     "cannot be asked for",
		"http://:8008/primary":          "no host and no port",
		"http://host/":                  "no host and no port",
		"http:/a#b":                     "%HH",
		"http:/ä":                       "%HH",
		"http:/ status=":                "empty",
		"http:/ status=20":              "is not a list",
		"http:/ status=299-200":         "is not a list",
		"http:/ status=6xx":             "is not a list",
		"http:/ status=200-2xx":         "is not a list",
		"http:/ port=0":                 "from 1 to 65535",
		"http:/ port=+80":               "from 1 to 65535",
		"http:/ host=a/b":               "is not a host",
		`http:/ method="G T"`:           "is not a method",
		"http:/ method=HEAD body=x":     "has no body",
		"http:/ body=":                  "empty",
		"http:/ header=Host:a":          "host= sets it",
		"http:/ header=X":               "NAME:VALUE",
		`http:/ header="X: a\r\nB: c"`:  "NAME:VALUE",
		"http:/ header=content-length:": "frames",
		"http:/ send=x":                 "unknown option",
		"http:/ host=a host=b":          "twice",
		"tcp expect=":                   "empty",
		"tcp status=200":                "unknown option",
		`tcp send="x`:                   "quote",
		`tcp send="\q"`:                 "backslash",
		"none port=1":                   "no options",
		"ping":                          "unknown check",
		"":                              "unknown check",
	} {
		if _, err := ParseCheck(spec, Via{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("unexpected error for %q; got %v; want one with %q", spec, err, want)
		}
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	words, err := splitWords("a=" + Quote(string(all)) + "\t b  ")
	if err != nil || len(words) != 2 || words[0] != "a="+string(all) || words[1] != "b" {
		t.Fatalf("unexpected words: %q, %v", words, err)
	}
}

func probe(t *testing.T, spec, addr string) error {
	t.Helper()
	check, err := ParseCheck(spec, Via{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = check.Probe(ctx, addr)
	return err
}

// TestHTTPCheckOptions asks a server whose answer depends on every part of a
// request.
func TestHTTPCheckOptions(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/status" {
			var code int
			_, _ = fmt.Sscan(r.URL.RawQuery, &code)
			w.WriteHeader(code)
			return
		}
		fmt.Fprintf(w, "%s %s %s %q ready", r.Method, r.Host, r.URL, r.Header["X-A"])
	}))
	t.Cleanup(s.Close)
	addr := s.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	for spec, want := range map[string]string{
		`http:/x?y=1 host=app.test method=POST body="POST app.test /x?y=1"`: "",
		`http:/ header="X-A: 1, 2" header=x-a:3 body="[\"1, 2\" \"3\"]"`:    "",
		`http:/ body=steady`:                   `no "steady" in the body`,
		`http:/status?404 status=2xx,404`:      "",
		`http:/status?404 status=200-399`:      "status 404",
		`http:/status?304 status=200|204`:      "status 304",
		`http:/status?503 status=500-599`:      "",
		`http:/ method=HEAD`:                   "",
		`http:/ host=Ready.test body="GET Re"`: "",
	} {
		err := probe(t, spec, addr)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("unexpected result of %s; got %v; want %q", spec, err, want)
		}
		// The same with traffic on a port where nobody is.
		err = probe(t, spec+" port="+port, "127.0.0.1:1")
		if (err == nil) != (want == "") {
			t.Errorf("unexpected result of %s at its own port: %v", spec, err)
		}
	}
	if err := probe(t, "tcp port="+port, "127.0.0.1:1"); err != nil {
		t.Errorf("unexpected result of a tcp check at its own port: %v", err)
	}
}

// TestTalkCheck holds conversations as with Redis and with SMTP.
func TestTalkCheck(t *testing.T) {
	t.Parallel()
	serve := func(greeting string, answers map[string]string) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					for i := range len(greeting) { // in as many pieces as can be
						_, _ = io.WriteString(c, greeting[i:i+1])
					}
					for lines := bufio.NewScanner(c); lines.Scan(); {
						_, _ = io.WriteString(c, answers[lines.Text()])
					}
				}()
			}
		}()
		return ln.Addr().String()
	}
	redis := serve("", map[string]string{"PING": "+PONG\r\n", "ECHO": "-NOAUTH\r\n"})
	smtp := serve("220 mail ESMTP\r\n", map[string]string{"QUIT": "221 bye\r\n"})
	for _, x := range []struct{ addr, spec, want string }{
		{redis, `tcp send="PING\r\n" expect=+PONG`, ""},
		{redis, `tcp send="PING\r\n" expect=+PONG send="PING\x0d\x0a" expect="PONG\r\n"`, ""},
		{smtp, `tcp expect="220 "`, ""},
		{smtp, `tcp expect="220 " send="QUIT\r\n" expect="221 "`, ""},
	} {
		if err := probe(t, x.spec, x.addr); err != nil {
			t.Errorf("unexpected result of %s: %v", x.spec, err)
		}
	}
	check, err := ParseCheck(`tcp send="ECHO\n" expect=+PONG`, Via{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := check.Probe(ctx, redis); err == nil || !strings.Contains(err.Error(), `no "+PONG"`) {
		t.Errorf("unexpected result of a wrong answer: %v", err)
	}
}

// TestPortOfItsOwn has a check reach a port that speaks neither TLS nor the
// PROXY protocol, though traffic does.
func TestPortOfItsOwn(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up") }))
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	for _, spec := range []string{"http:/ port=" + port, `tcp send="GET / HTTP/1.0\r\n\r\n" expect=up port=` + port} {
		check, err := ParseCheck(spec, Via{ProxyOut: 2, TLS: &tls.Config{}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, err := check.Probe(ctx, "127.0.0.1:1"); err != nil {
			t.Errorf("unexpected result of %s: %v", spec, err)
		}
	}
}
