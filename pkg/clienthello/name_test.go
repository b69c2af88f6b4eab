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
