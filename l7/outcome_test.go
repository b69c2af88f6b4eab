package l7

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"sluice/pkg/backend"
)

// TestFaults checks what a backend is blamed for: the responses that say that
// it failed, and those that never came, and not what a client did.
func TestFaults(t *testing.T) { eachDriver(t, testFaults) }

func testFaults(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if code, err := strconv.Atoi(r.URL.Path[1:]); err == nil {
			w.WriteHeader(code)
			return
		}
		if r.URL.Path == "/die" {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})
	f := newFront(t, nil, addr)
	b := f.pool.Snapshot().All[0]
	check := func(path string, wantFaults int) {
		t.Helper()
		b.ReportServed(backend.Witness{})
		b.ReportFault(backend.Witness{}) // to be forgiven by what works
		get(t, f.client(), f.url(path))
		if s := b.Streak(); s.Faults != wantFaults || s.Connects != 0 {
			t.Fatalf("unexpected streak after %s; got %+v; want %d faults", path, s, wantFaults)
		}
	}
	check("/200", 0)
	check("/304", 0)
	check("/404", 0)
	check("/429", 0)
	check("/500", 2)
	check("/501", 0)
	check("/502", 2)
	check("/503", 2)
	check("/504", 2)
	check("/505", 0)
	check("/die", 2)

	// A client that breaks off says nothing of the backend.
	b.ReportServed(backend.Witness{})
	c := f.raw()
	c.write("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000))
	c.Close()
	f.wantMetric(`sluice_l7_failed_total{service="web",reason="client_abort"}`, 1)
	if s := b.Streak(); s != (backend.Streak{}) {
		t.Fatalf("unexpected streak after a client that broke off: %+v", s)
	}
}
