package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writeDumps writes dumps as sluice names them, ten seconds apart.
func writeDumps(t *testing.T, process int, texts ...string) string {
	t.Helper()
	dir := t.TempDir()
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for i, text := range texts {
		name := fmt.Sprintf("sluice-%s-%d.prom", at.Add(time.Duration(i)*10*time.Second).Format("20060102T150405.000Z"), process)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPlotLines(t *testing.T) {
	t.Parallel()
	text := func(requests, quick, slow int, open float64) string {
		return fmt.Sprintf(`# TYPE r counter
r{service="a",code="2xx"} %d
r{service="a}",code="5xx"} 7
# TYPE g gauge
g{service="a"} %g
# TYPE h histogram
h_bucket{service="a",le="0.1"} %d
h_bucket{service="a",le="0.2"} %d
h_bucket{service="a",le="+Inf"} %d
h_sum{service="a"} 1
`, requests, open, quick, quick+slow, quick+slow)
	}
	dumps, err := readDumps(writeDumps(t, 1, text(100, 10, 0, 3), text(150, 110, 0, 4), text(20, 110, 100, 5)))
	if err != nil {
		t.Fatal(err)
	}
	f := func(v view, want string) {
		t.Helper()
		var got []string
		for _, l := range v.lines(dumps) {
			s := l.name + ":"
			for i, e := range l.y {
				if !math.IsNaN(e.mean) {
					s += fmt.Sprintf(" %g=%.4g", l.x[i], e.mean)
				}
			}
			got = append(got, s)
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("unexpected lines of %s by %v; got %q; want %q", v.metric, v.by, got, want)
		}
	}
	f(view{metric: "r", by: []string{"service", "code"}}, "a 2xx: 10=5 20=2") // begun again at 0
	f(view{metric: "r"}, ": 10=5 20=2.7")                                     // the sum began again
	f(view{metric: "g", by: []string{"service"}}, "a: 0=3 10=4 20=5")
	f(view{metric: "h"}, "p50: 10=0.05 20=0.15; p95: 10=0.095 20=0.195; p99: 10=0.099 20=0.199")
	f(view{metric: "nothing"}, "")
}

// TestPlotProcesses has the dumps of two processes at the same time, after a
// change of the binary: each has its own rate.
func TestPlotProcesses(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	of := func(process string, second int, value float64) dump {
		return dump{at: at.Add(time.Duration(second) * time.Second), process: process, kinds: map[string]string{"r": "counter"}, samples: []reading{{name: "r", value: value}}}
	}
	lines := view{metric: "r"}.lines([]dump{of("1", 0, 1000), of("2", 5, 0), of("1", 10, 1010), of("2", 15, 50)})
	if len(lines) != 1 || len(lines[0].pieces(0)) != 2 {
		t.Fatalf("unexpected lines: %+v", lines)
	}
	if a, b := lines[0].y[0].mean, lines[0].y[2].mean; a != 1 || b != 5 {
		t.Fatalf("unexpected rates %v and %v", a, b)
	}
}

func TestPlotRefuses(t *testing.T) {
	t.Parallel()
	good := writeDumps(t, 1, "process_cpu_seconds_total 1\n", "process_cpu_seconds_total 2\n")
	f := func(wantCode int, want string, args ...string) {
		t.Helper()
		var buf bytes.Buffer
		code := run(t.Context(), append([]string{"plot"}, args...), io.Discard, &buf)
		if code != wantCode || !strings.Contains(buf.String(), want) {
			t.Errorf("unexpected end of plot %q; got %d, %s; want %d, %q", args, code, &buf, wantCode, want)
		}
	}
	f(2, "it takes one")
	f(2, "it takes one", good, good)
	f(2, `--metric "a{b}"`, "--metric=a{b}", good)
	f(2, `--metric "a,b"`, "--metric=a,b", good)
	f(1, "cannot draw nothing", "--metric=nothing", good)
	f(1, "cannot plot 0 dumps", t.TempDir())
	f(1, "line 2: \"x\" is no value", writeDumps(t, 1, "a 1\n", "a 1\nb x\n"))
	f(1, "none of the dumps", writeDumps(t, 1, "a 1\n", "a 1\n"))
	f(0, "", good)
}

// TestSmokePlot plots what a real sluice has dumped.
func TestSmokePlot(t *testing.T) {
	b := build(t)
	f := newFamily()
	defer f.close()
	dir := t.TempDir()
	r, err := setUp(t.Context(), f, b.sluice, []string{webRoute, "--metrics-dump=" + dir + ",interval=100ms"}, alike(2, takes(0)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.tearDown()
	dumpsWritten := func() float64 {
		n, err := r.sum(t.Context(), "sluice_metrics_dumps_total", `result="written"`)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for begun := dumpsWritten(); dumpsWritten() < begun+3; {
		if got := (load{url: r.url}).send(t.Context(), http.DefaultClient, 0); got.status != http.StatusOK {
			t.Fatalf("unexpected reply: %+v", got)
		}
	}
	_ = r.sluice.cmd.Process.Signal(syscall.SIGTERM)
	<-r.sluice.done
	var buf bytes.Buffer
	if code := run(t.Context(), []string{"plot", dir}, &buf, &buf); code != 0 {
		t.Fatalf("unexpected exit code %d; output:\n%s", code, buf.String())
	}
	index, err := os.ReadFile(filepath.Join(dir, "plots", "plots.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, metric := range []string{"sluice_l7_requests_total", "sluice_l7_request_duration_seconds", "sluice_service_eligible_backends", "process_cpu_seconds_total"} {
		svg, err := os.ReadFile(filepath.Join(dir, "plots", metric+".svg"))
		if err != nil || !bytes.Contains(svg, []byte("</svg>")) || !strings.Contains(string(index), "("+metric+".svg)") {
			t.Errorf("there is no chart of %s: %v\n%s", metric, err, index)
		}
	}
	requests, err := os.ReadFile(filepath.Join(dir, "plots", "sluice_l7_requests_total.svg"))
	if err != nil || !bytes.Contains(requests, []byte("web 2xx")) {
		t.Errorf("the chart of requests has no line of those answered: %v", err)
	}
}
