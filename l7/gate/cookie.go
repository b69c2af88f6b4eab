package gate

import (
	"cmp"
	"strconv"
	"time"
)

// Cookie says how a sticky cookie is set (RFC 6265 4.1). Its zero value is for
// the whole host, Lax, until the browser is closed, and Secure if the client uses
// HTTPS.
type Cookie struct {
	Path     string        // empty means /
	Domain   string        // empty means the host alone
	SameSite string        // Lax, Strict, None, or off, which says nothing; empty means Lax
	MaxAge   time.Duration // in whole seconds; 0 means until the browser is closed
	Scripts  bool          // may read it: no HttpOnly
	Always   bool          // Secure, whatever the client uses
	Never    bool          // Secure
}

// attributes returns what follows the cookie's value in its line, with the line
// end, for a client that uses this scheme.
func (c Cookie) attributes(scheme string) string {
	s := "; Path=" + cmp.Or(c.Path, "/")
	if c.Domain != "" {
		s += "; Domain=" + c.Domain
	}
	if c.MaxAge > 0 {
		s += "; Max-Age=" + strconv.FormatInt(int64(c.MaxAge/time.Second), 10)
	}
	if !c.Scripts {
		s += "; HttpOnly"
	}
	if same := cmp.Or(c.SameSite, "Lax"); same != "off" {
		s += "; SameSite=" + same
	}
	if c.Always || scheme == "https" && !c.Never {
		s += "; Secure"
	}
	return s + "\r\n"
}

// notInAttribute reports whether r cannot be in an attribute of a cookie.
func notInAttribute(r rune) bool { return r < ' ' || r >= 0x7f || r == ';' }
