//go:build !race

package clienthello

import (
	"crypto/tls"
	"testing"
)

// TestAllocs holds Parse to what it promises.
func TestAllocs(t *testing.T) {
	f := func(b []byte, want float64) {
		t.Helper()
		n := testing.AllocsPerRun(100, func() {
			_, _ = Parse(b)
		})
		if n != want {
			t.Fatalf("unexpected allocations for %.40q: %v; want %v", b, n, want)
		}
	}
	b := hello(t, &tls.Config{ServerName: "www.example.com"})
	f(b, 1) // the name
	f(fragments(b, 1), 1)
	f(b[:len(b)-1], 0)
	f(hello(t, &tls.Config{ServerName: "www.example.com", NextProtos: []string{"h2", "http/1.1"}}), 1)
	f(hello(t, &tls.Config{InsecureSkipVerify: true}), 0)
	f(raw(names("a..b")), 0)
	f([]byte("GET / HTTP/1.1\r\n"), 0)
}
