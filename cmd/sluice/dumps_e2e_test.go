package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMetricsDump has dumps of which the last one, at the end, has all that there
// was.
func TestMetricsDump(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	dir := filepath.Join(t.TempDir(), "metrics")
	s := startSluice(t, append(backendArgs(addrs), "--metrics-dump="+dir+",100ms,keep=5", "--drain-delay=0s")...)
	for range 3 {
		if status, body := get("http://" + s.addr("l7") + "/"); status != 200 {
			t.Fatalf("unexpected answer: %d %s", status, body)
		}
	}
	eventually(t, "there are dumps", func() bool { return metric(s.addr("admin"), `sluice_metrics_dumps_total{result="written"}`) >= 6 })
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != exitOK {
		t.Fatalf("unexpected exit code %d", code)
	}
	files, err := filepath.Glob(filepath.Join(dir, "sluice-*.prom"))
	if err != nil || len(files) != 5 {
		t.Fatalf("unexpected files: %v, %v", files, err)
	}
	text, err := os.ReadFile(files[4])
	if err != nil || !strings.Contains(string(text), `sluice_l7_requests_total{service="echo",code="2xx"} 3`+"\n") || !strings.Contains(string(text), "# TYPE sluice_backend_state gauge\n") {
		t.Fatalf("unexpected dump: %v\n%s", err, text)
	}
}

// TestMetricsDumpCannot ends the start, which names the flag.
func TestMetricsDumpCannot(t *testing.T) {
	t.Parallel()
	s := start(t, "sluice", nil, "--l4=127.0.0.1:0=echo", "--backend=echo=127.0.0.1:1", "--admin=off", "--metrics-dump=/dev/null/x")
	if code := s.wait(); code != exitFailed || !strings.Contains(s.text(), "--metrics-dump: ") {
		t.Fatalf("unexpected end: %d\n%s", code, s.text())
	}
}
