package main

import (
	"encoding/hex"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"sluice/pkg/tracing/otlp/otlptest"
)

// TestTracing has a collector decode the spans of a request.
func TestTracing(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"loop", "fasthttp"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			collector := otlptest.Start(t)
			_, addrs := startEchos(t, 1)
			s := start(t, "sluice", []string{"OTEL_EXPORTER_OTLP_HEADERS=x-key=a%20b", "OTEL_SERVICE_NAME=edge"},
				append(backendArgs(addrs), "--l7=127.0.0.1:0", "--route=/=echo", "--admin=127.0.0.1:0", "--drain-delay=0s", "--l7-driver="+driver, "--otlp="+strings.TrimPrefix(collector.URL(), "http://"))...)
			req, err := http.NewRequest(http.MethodGet, "http://"+s.addr("l7")+"/n", nil)
			if err != nil {
				t.Fatal(err)
			}
			const trace = "0af7651916cd43dd8448eb211c80319c"
			req.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			for _, sp := range collector.Spans(2) {
				if hex.EncodeToString(sp.TraceId) != trace {
					t.Errorf("unexpected trace of a span: %v", sp)
				}
			}
			resource, headers := collector.Resource()
			if resource["service.name"] != "edge" || headers.Get("X-Key") != "a b" {
				t.Errorf("unexpected resource %v, headers %v", resource, headers)
			}
			eventually(t, "they are counted", func() bool { return metric(s.addr("admin"), "sluice_otlp_spans_total") == 2 })
			// What is still there at the end is sent.
			if status, _ := get("http://" + s.addr("l7") + "/last"); status != http.StatusOK {
				t.Fatalf("unexpected status %d", status)
			}
			s.signal(syscall.SIGTERM)
			if code := s.wait(); code != exitOK {
				t.Fatalf("unexpected exit code %d", code)
			}
			collector.Spans(4)
		})
	}
}

// TestTracingAway has nobody take the spans: requests do not notice, and spans are
// counted.
func TestTracingAway(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	s := startSluice(t, append(backendArgs(addrs), "--otlp=http://127.0.0.1:1", "--drain-delay=0s")...)
	eventually(t, "spans are dropped", func() bool {
		if status, _ := get("http://" + s.addr("l7") + "/"); status != http.StatusOK {
			t.Fatalf("unexpected status %d", status)
		}
		return metric(s.addr("admin"), `sluice_otlp_dropped_spans_total{reason="export"}`) > 0
	})
	eventually(t, "it is said", func() bool { return strings.Contains(s.text(), "spans were dropped") })
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != exitOK {
		t.Fatalf("unexpected exit code %d", code)
	}
}
