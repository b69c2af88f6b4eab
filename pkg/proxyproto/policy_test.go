package proxyproto

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
)

func TestExpects(t *testing.T) {
	t.Parallel()
	some := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for _, c := range []struct {
		p    Policy
		peer string
		want bool
	}{
		{Policy{}, "10.0.0.1", false},
		{Policy{From: some}, "10.0.0.1", false},
		{Policy{Versions: V1}, "192.0.2.1", true},
		{Policy{Versions: V1 | V2, From: some}, "10.0.0.1", true},
		{Policy{Versions: V1 | V2, From: some}, "2001:db8::1", true},
		{Policy{Versions: V1 | V2, From: some}, "192.0.2.1", false},
		{Policy{Versions: V1 | V2, From: some}, "2001:db9::1", false},
	} {
		if got := c.p.Expects(netip.MustParseAddr(c.peer)); got != c.want {
			t.Errorf("%+v, %s: got %v; want %v", c.p, c.peer, got, c.want)
		}
	}
}

// TestRead sends headers by single bytes and at once, with more behind.
func TestRead(t *testing.T) {
	t.Parallel()
	src, dst := netip.MustParseAddrPort("192.0.2.1:1000"), netip.MustParseAddrPort("192.0.2.2:2000")
	for version := 1; version <= 2; version++ {
		for _, step := range []int{1, 10_000} {
			sent := append(Append(nil, version, Proxy, src, dst), "hello"...)
			near, far := net.Pipe()
			go func() {
				for i := 0; i < len(sent); i += step {
					_, _ = far.Write(sent[i:min(i+step, len(sent))])
				}
				far.Close()
			}()
			h, rest, err := Read(near, V1|V2)
			if err != nil || h.Source != src || h.Destination != dst || h.Version != version {
				t.Fatalf("v%d by %d: unexpected header %+v, %v", version, step, h, err)
			}
			more, _ := io.ReadAll(near)
			if got := append(bytes.Clone(rest), more...); string(got) != "hello" {
				t.Fatalf("v%d by %d: unexpected rest %q", version, step, got)
			}
		}
	}
	var malformed Malformed
	for sent, check := range map[string]func(error) bool{
		"":                  func(err error) bool { return err == io.EOF },
		"PROXY TCP4 1":      func(err error) bool { return err == io.ErrUnexpectedEOF },
		"GET / HTTP/1.1":    func(err error) bool { return errors.As(err, &malformed) },
		"\r\n\r\n\x00\r\nx": func(err error) bool { return errors.As(err, &malformed) },
	} {
		near, far := net.Pipe()
		go func() { _, _ = far.Write([]byte(sent)); far.Close() }()
		if _, _, err := Read(near, V1|V2); !check(err) {
			t.Errorf("%q: unexpected error %v", sent, err)
		}
		near.Close()
	}
}
