//go:build !race

package proxyproto

import "testing"

// TestAllocs holds Parse and Append to what they promise.
func TestAllocs(t *testing.T) {
	f := func(header string) {
		t.Helper()
		in, out := []byte(header), make([]byte, 0, maxAppend)
		n := testing.AllocsPerRun(100, func() {
			h, _, err := Parse(in, both)
			if err == nil {
				out = Append(out[:0], h.Version, h.Command, h.Source, h.Destination)
			}
		})
		if n != 0 {
			t.Fatalf("unexpected allocations for %q: %v", header, n)
		}
	}
	f("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n")
	f("PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 1 2\r\n")
	f("PROXY TCP6 2001:db8::1")
	f("PROXY TCP6 x")
	f("GET / HTTP/1.1\r\n")
	f(unhex(t, sig+"21 11 0016 7f000001 7f000001 8258 4a9e 030004b89b13a4 050000"))
	f(unhex(t, sig+"21 21 0024 00000000000000000000ffff01020304 00000000000000000000000000000001 0102 0304"))
	f(unhex(t, sig+"21 11 0010"))
}
