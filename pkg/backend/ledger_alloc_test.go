//go:build !race

package backend

import "testing"

// TestReportsAllocateNothing holds for the data path, faults or not.
func TestReportsAllocateNothing(t *testing.T) {
	b := one(t)
	w := Witness{Client: client(1), Request: []byte("GET / HTTP/1.1\r\n\r\n")}
	b.ReportFault(w)
	if n := testing.AllocsPerRun(100, func() { b.ReportServed(w); b.ReportFault(w) }); n != 0 {
		t.Fatalf("unexpected allocations: %v", n)
	}
}
