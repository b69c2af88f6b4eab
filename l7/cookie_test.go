package l7

import (
	"strings"
	"testing"
)

// TestCookieAsSet has a client get a cookie as it is asked for.
func TestCookieAsSet(t *testing.T) { eachDriver(t, testCookieAsSet) }

func testCookieAsSet(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *Config) {
		withPolicy(t, c, PolicyConfig{Sticky: Sticky{By: StickyCookie, Name: "sid", Cookie: Cookie{Path: "/app", SameSite: "Strict", Always: true}}})
	}, named(t, "a"))
	resp, _ := f.raw().do("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got := resp.Header.Get("Set-Cookie"); !strings.HasPrefix(got, "sid=") || !strings.HasSuffix(got, "; Path=/app; HttpOnly; SameSite=Strict; Secure") {
		t.Errorf("unexpected cookie: %q", got)
	}
}
