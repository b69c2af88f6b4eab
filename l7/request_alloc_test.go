//go:build !race && linux && !portable

package l7

import (
	"bytes"
	"net/netip"
	"runtime"
	"testing"

	"sluice/l7/http1"
)

// TestHeadAllocs holds the codecs to what they promise: no garbage.
func TestHeadAllocs(t *testing.T) {
	raw := []byte(benchRequest)
	var h http1.Head
	var r http1.Response
	o := origin{peer: netip.MustParseAddr("192.0.2.1"), requestID: []byte("id")}
	buf := make([]byte, 0, 4096)
	resp := []byte(benchResponse[:http1.ResponseHeadLength([]byte(benchResponse), 0)])
	n := testing.AllocsPerRun(100, func() {
		if reason, why := h.Parse(raw); reason != 0 {
			t.Fatalf("unexpected refusal: %s", why)
		}
		buf = appendRequest(buf[:0], &h, &o, h.Target, "")
		if err := r.Parse(resp); err != nil {
			t.Fatal(err)
		}
		buf = http1.AppendResponse(buf[:0], &r, r.Length, "")
	})
	if n != 0 {
		t.Errorf("unexpected number of allocations; got %v; want 0", n)
	}
}

// TestRequestAllocs serves requests on a connection and counts what everybody
// in the process allocates meanwhile. It is not parallel for that reason.
func TestRequestAllocs(t *testing.T) {
	f := newFront(t, nil, benchBackend(t))
	c := f.raw()
	request, buf := []byte(benchRequest), make([]byte, 4096)
	serve := func() {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil || !bytes.HasSuffix(buf[:n], []byte("hello")) {
			t.Fatalf("unexpected response %q, %v", buf[:n], err)
		}
	}
	for range 100 { // everything that is kept is there
		serve()
	}
	const n = 5000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		serve()
	}
	runtime.ReadMemStats(&after)
	if got := float64(after.Mallocs-before.Mallocs) / n; got > 0.1 {
		t.Errorf("unexpected number of allocations a request; got %v; want 0", got)
	}
}
