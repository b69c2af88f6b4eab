package l7

import (
	"strings"
	"testing"
	"time"
)

func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		c     Cookie
		https bool
		want  string
	}{
		{Cookie{}, false, "; Path=/; HttpOnly; SameSite=Lax\r\n"},
		{Cookie{}, true, "; Path=/; HttpOnly; SameSite=Lax; Secure\r\n"},
		{Cookie{SameSite: "None", Always: true}, false, "; Path=/; HttpOnly; SameSite=None; Secure\r\n"},
		{Cookie{Never: true, Scripts: true, SameSite: "off"}, true, "; Path=/\r\n"},
		{Cookie{Path: "/app", Domain: "a.test", MaxAge: time.Hour}, false, "; Path=/app; Domain=a.test; Max-Age=3600; HttpOnly; SameSite=Lax\r\n"},
	} {
		if got := x.c.attributes(x.https); got != x.want {
			t.Errorf("unexpected attributes of %+v; got %q; want %q", x.c, got, x.want)
		}
	}
}

// TestCookieAsSet has a client get a cookie as it is asked for.
func TestCookieAsSet(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *Config) {
		withPolicy(t, c, PolicyConfig{Sticky: Sticky{By: StickyCookie, Name: "sid", Cookie: Cookie{Path: "/app", SameSite: "Strict", Always: true}}})
	}, named(t, "a"))
	resp, _ := f.raw().do("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got := resp.Header.Get("Set-Cookie"); !strings.HasPrefix(got, "sid=") || !strings.HasSuffix(got, "; Path=/app; HttpOnly; SameSite=Strict; Secure") {
		t.Errorf("unexpected cookie: %q", got)
	}
}
