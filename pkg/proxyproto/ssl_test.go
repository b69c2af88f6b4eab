package proxyproto

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAppendSSL(t *testing.T) {
	t.Parallel()
	src, dst := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:443")
	if one := Append(nil, 1, Proxy, src, dst); len(AppendSSL(one, SSL{Version: "TLSv1.3"})) != len(one) {
		t.Error("a header of version 1 has become longer")
	}
	if bare := Append(nil, 2, Local, src, dst); len(AppendSSL(bare, SSL{Version: "TLSv1.3"})) != len(bare) {
		t.Error("a header without addresses has become longer")
	}
	for _, cn := range []string{"", "amy", strings.Repeat("x", 1000)} {
		b := AppendSSL(Append(nil, 2, Proxy, src, dst), SSL{Version: "TLSv1.3", CommonName: cn})
		h, n, err := Parse(append(b, "rest"...), V2)
		if err != nil || n != len(b) || h.Source != src || h.Destination != dst || !h.ClientTLS() {
			t.Fatalf("unexpected header: %+v, %d of %d bytes, %v", h, n, len(b), err)
		}
		ssl, ok := h.tlv(tlvSSL)
		if !ok || string(ssl[:sizeSSL]) != "\x07\x00\x00\x00\x00" {
			t.Fatalf("unexpected TLV: %x", ssl)
		}
		inner := Header{tlvs: ssl[sizeSSL:]}
		version, _ := inner.tlv(tlvSSLVersion)
		name, has := inner.tlv(tlvSSLCN)
		if string(version) != "TLSv1.3" || string(name) != cn[:min(len(cn), maxSSLText)] || has != (cn != "") {
			t.Errorf("unexpected texts: %q, %q", version, name)
		}
	}
}
