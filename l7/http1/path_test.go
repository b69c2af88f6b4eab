package http1

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestPathNormal(t *testing.T) {
	t.Parallel()
	f := func(raw, normal, plain string) {
		t.Helper()
		var p Path
		if why := p.Set([]byte(raw), &PathPolicy{}); why != "" {
			t.Errorf("unexpected refusal of %q: %s", raw, why)
			return
		}
		if string(p.Normal) != normal || string(p.Plain) != plain {
			t.Errorf("unexpected forms of %q; got %q, %q; want %q, %q", raw, p.Normal, p.Plain, normal, plain)
		}
	}
	same := func(raw string) {
		t.Helper()
		f(raw, raw, raw)
	}
	same("/")
	same("*")
	same("/a/b.c/d-e_f~g")
	same("/a/..b/.c/d../...")
	same("/a+b@c:d!e$f&g'h(i)j*k,l=m")
	same("/\xe9/\xff") // Latin-1
	same("/a;b=c")
	same(`/a\b`)
	// Unreserved bytes, hexadecimal digits.
	f("/%61dmin", "/admin", "/admin")
	f("/%41%2d%2E%5f%7e", "/A-._~", "/A-._~")
	f("/%c3%a4/%C3%A4", "/%C3%A4/%C3%A4", "/\u00e4/\u00e4")
	f("/a%20b%2b%40", "/a%20b%2B%40", "/a b+@")
	f("/a%2fb%2Fc", "/a%2Fb%2Fc", "/a%2Fb%2Fc")
	f("/a%5cb%3bc%3f%23", "/a%5Cb%3Bc%3F%23", `/a\b;c?#`)
	// What was encoded twice stays that.
	f("/%2561dmin", "/%2561dmin", "/%2561dmin")
	f("/%25%36%31", "/%2561", "/%2561")
	f("/%252f", "/%252f", "/%252f")
	// Empty segments.
	f("//", "/", "/")
	f("//a", "/a", "/a")
	f("/a//b///", "/a/b/", "/a/b/")
	// Dot segments (RFC 3986 5.2.4).
	f("/.", "/", "/")
	f("/./Packages", "/Packages", "/Packages")
	f("/a/./b", "/a/b", "/a/b")
	f("/a/.", "/a/", "/a/")
	f("/a/..", "/", "/")
	f("/a/b/..", "/a/", "/a/")
	f("/a/b/../", "/a/", "/a/")
	f("/a/b/c/./../../g", "/a/g", "/a/g")
	f("/a//../b", "/b", "/b") // as file systems and nginx have it
	f("/a/%2e%2E/b", "/b", "/b")
	f("/a/.%2e/b/%2e", "/b/", "/b/")
	f("/a/...", "/a/...", "/a/...")

	refused := func(raw, want string) {
		t.Helper()
		var p Path
		if why := p.Set([]byte(raw), &PathPolicy{}); !strings.Contains(why, want) || why == "" {
			t.Errorf("unexpected judgement of %q; got %q; want %q", raw, why, want)
		}
	}
	for _, raw := range []string{"/..", "/../a", "/a/../..", "/a/../../b", "/%2e%2e", "//..", "/./..", "/a/..//../b"} {
		refused(raw, "above its root")
	}
	for _, raw := range []string{"/%", "/a%", "/%2", "/%2/", "/%zz", "/%u002e", "/%2g", "/%g2", "/100%", "/%%61"} {
		refused(raw, "no percent-encoding")
	}
	for _, raw := range []string{"/%c0%ae%c0%ae/", "/\xc0\xaf", "/%c1%9c", "/%e0%80%af", "/%f0%80%80%af", "/%f8%80%80%80%ae", "/%C0%80"} {
		refused(raw, "overlong")
	}
	refused("/a%00", "NUL")
	refused("/%2500x%00", "NUL")
}

// TestPathStable holds that a normal form has no other, and that forms are
// the same for all spellings of a path.
func TestPathStable(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	bits := []string{"/", "/", "//", ".", "..", "/./", "/../", "%2e", "%2F", "%2f", "%5c", `\`, ";", "%3b", "%25", "%2", "a", "b", "admin", "%61", "%41", "%c3%a4", "\xc3\xa4", "%3f", "%20", "+", "%2B", "%00", "%c0%ae"}
	for range 50_000 {
		raw := "/"
		for range rnd.IntN(8) {
			raw += bits[rnd.IntN(len(bits))]
		}
		policy := PathPolicy{EncodedSlash: PathRule(rnd.IntN(3)), Backslash: PathRule(rnd.IntN(3)), AllowNUL: true}
		var p, again Path
		if p.Set([]byte(raw), &policy) != "" {
			continue
		}
		if why := again.Set(p.Normal, &policy); why != "" || !bytes.Equal(again.Normal, p.Normal) || !bytes.Equal(again.Plain, p.Plain) || again.Joined {
			t.Fatalf("the normal form %q of %q has another: %q, %s", p.Normal, raw, again.Normal, why)
		}
		if strings.Contains(string(p.Normal), "//") || !strings.HasPrefix(string(p.Normal), "/") {
			t.Fatalf("unexpected normal form of %q: %q", raw, p.Normal)
		}
		var other []byte // the same, spelled with an encoding for each byte
		for i := 0; i < len(raw); i++ {
			switch c := raw[i]; {
			case c == '%' && i+2 < len(raw) && isHex(raw[i+1]) && isHex(raw[i+2]):
				other = append(other, strings.ToUpper(raw[i:i+3])...)
				i += 2
			case c == '/', c == '\\':
				other = append(other, c)
			default:
				other = append(other, '%', upperHex(c>>4), upperHex(c&15))
			}
		}
		if why := again.Set(other, &policy); why != "" || !bytes.Equal(again.Plain, p.Plain) {
			t.Fatalf("%q and %q have different plain forms: %q, %q, %s", raw, other, p.Plain, again.Plain, why)
		}
		for n := range len(p.Plain) + 1 { // however much is stripped, what is left is the rest
			if rest := Behind(p.Normal, n); len(rest) == 0 != (n >= len(p.Plain)) && !strings.ContainsAny(string(p.Plain), "%") {
				t.Fatalf("unexpected rest of %q behind %d bytes of %q: %q", p.Normal, n, p.Plain, rest)
			}
		}
	}
}
