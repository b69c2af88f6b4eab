package proxyproto

import "testing"

func TestClientTLS(t *testing.T) {
	t.Parallel()
	f := func(dump string, want bool) {
		t.Helper()
		h := Header{tlvs: []byte(unhex(t, dump))}
		if got := h.ClientTLS(); got != want {
			t.Errorf("unexpected reading of %s; got %v; want %v", dump, got, want)
		}
	}
	f("", false)
	f("200005 01 00000000", true)
	f("200005 07 00000001", true)
	f("200005 00 00000000", false)
	f("200005 02 00000000", false)
	f("04000100 050000 200005 01 00000000", true)
	f("20000d 01 00000000 210005 544c537631", true)
	f("200004 01 000000", false)                      // no value is so short
	f("200000", false)                                // nor empty
	f("050005 01 00000000", false)                    // another type
	f("200005 00 00000000 200005 01 00000000", false) // the first counts
	f("2000", false)
	f("20ffff 01 00000000", false)

	h := Header{tlvs: []byte(unhex(t, "010002 6832 02000161"))}
	if v, ok := h.tlv(2); !ok || string(v) != "a" {
		t.Errorf("unexpected value: %q, %v", v, ok)
	}
	if v, ok := h.tlv(3); ok {
		t.Errorf("unexpected value of what is not there: %q", v)
	}
}
