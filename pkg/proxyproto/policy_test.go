package proxyproto

import (
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
