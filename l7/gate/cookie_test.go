package gate

import (
	"testing"
	"time"
)

func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		c      Cookie
		scheme string
		want   string
	}{
		{Cookie{}, "http", "; Path=/; HttpOnly; SameSite=Lax\r\n"},
		{Cookie{}, "https", "; Path=/; HttpOnly; SameSite=Lax; Secure\r\n"},
		{Cookie{SameSite: "None", Always: true}, "http", "; Path=/; HttpOnly; SameSite=None; Secure\r\n"},
		{Cookie{Never: true, Scripts: true, SameSite: "off"}, "https", "; Path=/\r\n"},
		{Cookie{Path: "/app", Domain: "a.test", MaxAge: time.Hour}, "http", "; Path=/app; Domain=a.test; Max-Age=3600; HttpOnly; SameSite=Lax\r\n"},
	} {
		if got := x.c.attributes(x.scheme); got != x.want {
			t.Errorf("unexpected attributes of %+v; got %q; want %q", x.c, got, x.want)
		}
	}
}
