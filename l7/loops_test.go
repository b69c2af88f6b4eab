package l7

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestRouteToItself sends a request to a service that leads back here, directly
// and by way of another process: it is answered 508 after one round. One that
// only passes by another service on its way is served.
func TestRouteToItself(t *testing.T) { eachDriver(t, testRouteToItself) }

func testRouteToItself(t *testing.T) {
	t.Parallel()
	a, b := newFront(t, nil), newFront(t, nil)
	ask := func(f *front, want int, reason string) {
		t.Helper()
		resp, err := f.client().Get(f.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || reason != "" && !strings.Contains(string(body), "come back") {
			t.Fatalf("unexpected answer %d %q; want %d", resp.StatusCode, body, want)
		}
	}
	a.setBackends(a.addr)
	ask(a, 508, "loop_detected")
	a.wantMetric(`sluice_l7_rejected_total{reason="loop_detected"}`, 1)
	a.wantMetric("sluice_l7_requests_total{", 1)

	a.setBackends(b.addr)
	b.setBackends(a.addr)
	ask(a, 508, "loop_detected")
	a.wantMetric(`sluice_l7_rejected_total{reason="loop_detected"}`, 2)
	b.wantMetric("sluice_l7_requests_total{", 1)

	end := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if hops := r.Header.Values("CDN-Loop"); len(hops) != 2 {
			w.WriteHeader(500)
		}
	})
	b.setBackends(end)
	ask(a, 200, "")
}
