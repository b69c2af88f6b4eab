package l7

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"sluice/pkg/headeredit"
	"sluice/pkg/htpasswd"
)

// users returns a file whose users have the password "sesame".
func users(t testing.TB, names ...string) *htpasswd.File {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/users"
	if err := os.WriteFile(path, []byte(strings.Join(names, ":"+string(hash)+"\n")+":"+string(hash)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := htpasswd.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func auth(t testing.TB, f *htpasswd.File, forward bool) *Auth {
	t.Helper()
	a, err := NewAuth(f, `the "staff"`, forward)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func authorization(user, password string) string {
	req := &http.Request{Header: make(http.Header)}
	req.SetBasicAuth(user, password)
	return "Authorization: " + req.Header.Get("Authorization") + "\r\n"
}

func TestAuth(t *testing.T) { eachDriver(t, testAuth) }

func testAuth(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %q %q %d", r.URL.Path, r.Header["X-Forwarded-User"], r.Header["X-Who"], len(body))
		if len(r.Header["Authorization"]) > 0 {
			fmt.Fprint(w, " forwarded")
		}
	})
	f := newFront(t, func(c *Config) {
		c.TrustedProxies = prefixes("127.0.0.0/8") // who may say X-Forwarded-User, but not here
		c.Auth = auth(t, users(t, "amy", "bob"), false)
		c.RequestHeaders = edits(t, headeredit.Request, "set:X-Who: ${user}")
		web := c.Routes[0].Balancer
		c.Routes = append(c.Routes,
			Route{Path: "/open", Balancer: web, Open: true},
			Route{Path: "/carol", Balancer: web, Auth: auth(t, users(t, "carol"), true)})
	}, b)
	c := f.raw()
	ask := func(what, head, body string, want string) {
		t.Helper()
		resp, text := c.do(head + "Host: a\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body)
		got := fmt.Sprint(resp.StatusCode, " ", text)
		if resp.StatusCode == 401 {
			got = fmt.Sprint("401 ", resp.Header.Get("WWW-Authenticate"))
		}
		if got != want || resp.Close {
			t.Errorf("%s: unexpected answer; got %q, closing %v; want %q", what, got, resp.Close, want)
		}
	}
	const asked = `401 Basic realm="the \"staff\"", charset="UTF-8"`
	const get, post = "GET /x HTTP/1.1\r\n", "POST /x HTTP/1.1\r\n"
	for range 2 { // the second time it is known
		ask("nobody", get, "", asked)
		ask("amy", get+authorization("amy", "sesame"), "", `200 /x ["amy"] ["amy"] 0`)
		ask("bob", get+"X-Forwarded-User: root\r\nx_forwarded_user: root\r\n"+authorization("bob", "sesame"), "", `200 /x ["bob"] ["bob"] 0`)
		ask("a wrong password", get+authorization("amy", "open"), "", asked)
		ask("an unknown name", get+authorization("eve", "sesame"), "", asked)
		ask("another scheme", get+"Authorization: Bearer x\r\n", "", asked)
		ask("two of them", get+authorization("amy", "sesame")+authorization("eve", "x"), "", asked)
		ask("the scheme in capitals", strings.Replace(get+authorization("amy", "sesame"), "Basic", "BASIC", 1), "", `200 /x ["amy"] ["amy"] 0`)
		ask("an open route", "GET /open HTTP/1.1\r\n", "", `200 /open [] [""] 0`)
		ask("another route", "GET /carol HTTP/1.1\r\n"+authorization("amy", "sesame"), "", asked)
		ask("its own user", "GET /%63arol HTTP/1.1\r\n"+authorization("carol", "sesame"), "", `200 /carol ["carol"] ["carol"] 0 forwarded`)
	}
	for i, n := range []int{1, 8 << 10, 8<<10 + 1, 1 << 20} { // verified anew, with all of the body under way
		x := auth(t, users(t, "dan"), false)
		g := newFront(t, func(c *Config) { c.Auth = x }, b)
		c = g.raw()
		ask(fmt.Sprint("a body ", i), post+authorization("dan", "sesame"), strings.Repeat("x", n), fmt.Sprintf(`200 /x ["dan"] [] %d`, n))
		ask("the next request", get+authorization("dan", "sesame"), "", `200 /x ["dan"] [] 0`)
	}
	// Requests that come at once wait for one verification.
	c = newFront(t, func(c *Config) { c.Auth = auth(t, users(t, "eve"), false) }, b).raw()
	one := get + authorization("eve", "sesame") + "Host: a\r\n\r\n"
	c.write(strings.Repeat(one, 20))
	for range 20 {
		if resp, body := c.response("GET"); resp.StatusCode != 200 {
			t.Errorf("unexpected answer to a request in a row: %d %s", resp.StatusCode, body)
		}
	}
	f.wantMetric(`sluice_l7_rejected_total{reason="unauthorized"}`, 12)
}

// TestAuthGone has clients go away while their credentials are verified.
func TestAuthGone(t *testing.T) { eachDriver(t, testAuthGone) }

func testAuthGone(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *Config) { c.Auth = auth(t, users(t, "amy"), false) }, named(t, "web"))
	for i := range 50 {
		c := f.raw()
		c.write("GET / HTTP/1.1\r\nHost: a\r\n" + authorization("amy", fmt.Sprint(i)) + "\r\n")
		if i%2 == 0 {
			_ = c.SetLinger(0)
		}
		c.Close()
	}
	if resp, body := f.raw().do("GET / HTTP/1.1\r\nHost: a\r\n" + authorization("amy", "sesame") + "\r\n"); resp.StatusCode != 200 {
		t.Errorf("unexpected answer after all: %d %s", resp.StatusCode, body)
	}
}
