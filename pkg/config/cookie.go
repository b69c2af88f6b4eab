package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Cookie says how the cookie of sticky=cookie is set. Its zero value is Path=/,
// HttpOnly, SameSite=Lax, Secure if the client uses HTTPS, and gone when the
// browser is closed.
type Cookie struct {
	Path     string        // empty: /
	Domain   string        // empty: the host alone
	SameSite string        // lax, strict, none or off; empty: lax
	Secure   string        // auto, true or false; empty: auto, which is true with none
	Scripts  bool          // may read it: no HttpOnly
	MaxAge   time.Duration // 0: until the browser is closed
}

func (c *Cookie) keys() []string {
	return []string{"cookie-path", "cookie-domain", "cookie-same-site", "cookie-secure", "cookie-http-only", "cookie-max-age"}
}

func (c *Cookie) set(key, value string) (err error) {
	switch key {
	case "cookie-path":
		if !strings.HasPrefix(value, "/") || strings.ContainsFunc(value, notInAttribute) {
			return fmt.Errorf("cookie-path=%q is not a path that begins with /", value)
		}
		c.Path = value
	case "cookie-domain":
		name := strings.ToLower(strings.TrimPrefix(value, "."))
		if name == "" || strings.ContainsFunc(name, notInHost) || strings.ContainsAny(name, "[]:") {
			return fmt.Errorf("cookie-domain=%q is not a domain", value)
		}
		c.Domain = name
	case "cookie-same-site":
		switch c.SameSite = strings.ToLower(value); c.SameSite {
		case "lax", "strict", "none", "off":
		default:
			return fmt.Errorf("cookie-same-site=%q is none of lax, strict, none and off", value)
		}
	case "cookie-secure":
		if c.Secure = value; value != "auto" {
			on, err := strconv.ParseBool(value)
			if err != nil {
				return fmt.Errorf("cookie-secure=%q is none of auto, true and false", value)
			}
			c.Secure = strconv.FormatBool(on)
		}
	case "cookie-http-only":
		on, err := boolean(key, value)
		c.Scripts = err == nil && !on
		return err
	case "cookie-max-age":
		if c.MaxAge, err = duration(key, value); err == nil && c.MaxAge != 0 && c.MaxAge < time.Second {
			err = fmt.Errorf("cookie-max-age=%q is less than a second", value)
		}
	}
	return err
}

// check checks the attributes of a cookie called name, which may be empty.
func (c *Cookie) check(name string) error {
	host, secure := strings.HasPrefix(name, "__Host-"), strings.HasPrefix(name, "__Secure-")
	switch {
	case c.SameSite == "none" && c.Secure == "false":
		return fmt.Errorf("cookie-same-site=none needs cookie-secure=true; browsers refuse it otherwise")
	case (host || secure) && c.Secure != "true":
		return fmt.Errorf("a cookie called %s needs cookie-secure=true; browsers refuse it otherwise", name)
	case host && (c.Domain != "" || c.Path != "" && c.Path != "/"):
		return fmt.Errorf("a cookie called %s has no domain, and the path /; browsers refuse it otherwise", name)
	}
	return nil
}

func (c *Cookie) pairs() []pair {
	pairs := []pair{{"cookie-path", c.Path}, {"cookie-domain", c.Domain}, {"cookie-same-site", c.SameSite}, {"cookie-secure", c.Secure}}
	if c.Scripts {
		pairs = append(pairs, pair{"cookie-http-only", "false"})
	}
	if c.MaxAge > 0 {
		pairs = append(pairs, pair{"cookie-max-age", c.MaxAge.String()})
	}
	return pairs
}

// notInAttribute reports whether r cannot be in an attribute of a cookie (RFC
// 6265 4.1.1).
func notInAttribute(r rune) bool { return r < ' ' || r >= 0x7f || r == ';' }
