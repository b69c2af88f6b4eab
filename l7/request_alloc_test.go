//go:build !race

package l7

import (
	"net/netip"
	"testing"
)

// TestHeadAllocs holds the codecs to what they promise: no garbage.
func TestHeadAllocs(t *testing.T) {
	raw := []byte(benchRequest)
	var h head
	var r response
	o := origin{peer: netip.MustParseAddr("192.0.2.1"), requestID: []byte("id")}
	buf := make([]byte, 0, 4096)
	resp := []byte(benchResponse[:headLength([]byte(benchResponse), 0)])
	n := testing.AllocsPerRun(100, func() {
		if reason, why := h.parse(raw); reason != 0 {
			t.Fatalf("unexpected refusal: %s", why)
		}
		buf = appendRequest(buf[:0], &h, &o, h.target, "")
		if err := r.parse(resp); err != nil {
			t.Fatal(err)
		}
		buf = appendResponse(buf[:0], &r, r.length, "")
	})
	if n != 0 {
		t.Errorf("unexpected number of allocations; got %v; want 0", n)
	}
}
