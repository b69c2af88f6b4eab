//go:build !race && linux && !portable

package l7

import (
	"bytes"
	"runtime"
	"testing"
)

// TestRequestAllocs serves requests on a connection and counts what everybody in
// the process allocates meanwhile, from the client's socket to the backend's and
// back. Neither of those allocates, so a request that is served on kept connections
// allocates nothing; what the runtime does on its own is far less than one in a
// hundred. The test is not parallel for that reason.
func TestRequestAllocs(t *testing.T) {
	f := newFront(t, func(c *Config) { c.Recent = NewRecent() }, benchBackend(t))
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
	if got := float64(after.Mallocs-before.Mallocs) / n; got > 0.01 {
		t.Errorf("unexpected number of allocations a request; got %v; want 0", got)
	}
}
