package clienthello

import (
	"strings"
	"testing"
)

func TestParsePattern(t *testing.T) {
	t.Parallel()
	success := func(s, want string) {
		t.Helper()
		if got, err := ParsePattern(s); err != nil || got != want {
			t.Fatalf("unexpected result for %q; got %q, %v; want %q", s, got, err, want)
		}
	}
	success("example.com", "example.com")
	success("WWW.Example.COM.", "www.example.com")
	success("*.Example.com", "*.example.com")
	success("*.example.com.", "*.example.com")
	success("*.com", "*.com")
	success("localhost", "localhost")
	success("_a.xn--bcher-kva.example", "_a.xn--bcher-kva.example")
	label := strings.Repeat("x", maxLabel)
	longest := strings.Repeat(label+".", 3) + label[:61]
	success(longest, longest)
	success("*."+longest[2:], "*."+longest[2:])

	failure := func(s string) {
		t.Helper()
		if got, err := ParsePattern(s); err == nil || got != "" {
			t.Fatalf("unexpected result for %q; got %q, %v; want an error", s, got, err)
		}
	}
	failure("")
	failure(".")
	failure("*")
	failure("*.")
	failure("*..")
	failure("*.*.example.com")
	failure("a.*.example.com")
	failure("*a.example.com")
	failure("**.example.com")
	failure(".example.com")
	failure("example..com")
	failure("example.com..")
	failure("example.com:443")
	failure("https://example.com")
	failure("exa mple.com")
	failure("example.com\x00")
	failure("bücher.example")
	failure("192.0.2.1")
	failure("*.192.0.2.1")
	failure("::1")
	failure("[::1]")
	failure(label + "x")
	failure(longest + "x")
	failure("*." + longest)
}

func TestMatch(t *testing.T) {
	t.Parallel()
	f := func(pattern, name string, want bool) {
		t.Helper()
		if got := Match(pattern, name); got != want {
			t.Fatalf("unexpected Match(%q, %q); got %v; want %v", pattern, name, got, want)
		}
	}
	f("example.com", "example.com", true)
	f("example.com", "www.example.com", false)
	f("example.com", "example.co", false)
	f("example.com", "xexample.com", false)
	f("example.com", "", false)
	f("*.example.com", "www.example.com", true)
	f("*.example.com", "w.example.com", true)
	f("*.example.com", "example.com", false)
	f("*.example.com", "a.b.example.com", false)
	f("*.example.com", "xexample.com", false)
	f("*.example.com", ".example.com", false)
	f("*.example.com", "www.example.org", false)
	f("*.example.com", "", false)
	f("*.com", "example.com", true)
	f("*.com", "com", false)
	f("", "", false)
}
