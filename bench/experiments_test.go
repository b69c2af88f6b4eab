package main

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSmokeExperiments runs the quickest experiment once, with a real sluice and
// real backends.
func TestSmokeExperiments(t *testing.T) {
	b := build(t)
	dir := t.TempDir()
	var buf bytes.Buffer
	code := run(t.Context(), []string{"experiments", "--only=canary", "--runs=1", "--sluice=" + b.sluice, "--out=" + dir}, &buf, &buf)
	if code != 0 {
		t.Fatalf("unexpected exit code %d; output:\n%s", code, buf.String())
	}
	report, err := os.ReadFile(filepath.Join(dir, "experiments.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## Canary", "| 0.00 |\n", "`bench experiments --only=canary`"} {
		if !strings.Contains(string(report), want) {
			t.Errorf("the report lacks %q:\n%s", want, report)
		}
	}
	for _, file := range []string{"experiments-canary.svg"} {
		svg, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !bytes.Contains(svg, []byte("</svg>")) || len(svg) > 64<<10 {
			t.Errorf("unexpected chart %s of %d bytes: %v", file, len(svg), err)
		}
		if !strings.Contains(string(report), "("+file+")") {
			t.Errorf("the report does not show %s", file)
		}
	}
	tree, err := processTree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range tree[1:] {
		t.Errorf("process %d is left, state %c", p.pid, p.state)
	}
}

func TestParseExperiments(t *testing.T) {
	t.Parallel()
	f := func(wantNames string, wantErr string, args ...string) {
		t.Helper()
		o, err := parseExperiments(append(args, "--root=.."), &bytes.Buffer{})
		if wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("unexpected error for %q; got %v; want %q", args, err, wantErr)
			}
			return
		}
		if err != nil {
			t.Fatalf("unexpected error for %q: %v", args, err)
		}
		var names []string
		for _, e := range o.chosen {
			names = append(names, e.name)
		}
		if got := strings.Join(names, ","); got != wantNames {
			t.Errorf("unexpected experiments for %q; got %s; want %s", args, got, wantNames)
		}
	}
	f(strings.Join(experimentNames(), ","), "")
	f("retries,tail", "", "--only=retries, tail", "--runs=1")
	f("", `--only "nothing": experiments are tail`, "--only=tail,nothing")
	f("", "--runs 0", "--runs=0")
	f("", "more than one --sluice", "--sluice=a=x", "--sluice=b=y")
	f("", `argument "tail"`, "tail")
}

// TestExperimentsAreWhole holds that each has what its trials return.
func TestExperimentsAreWhole(t *testing.T) {
	t.Parallel()
	files := make(map[string]bool)
	for _, e := range experiments() {
		if len(e.variants) == 0 || len(e.charts) == 0 || len(e.figures) == 0 || e.about == "" || e.title == "" {
			t.Errorf("%s lacks something", e.name)
		}
		for _, c := range e.charts {
			if files[c.file] || len(c.x) == 0 {
				t.Errorf("%s: chart %q is another's too, or empty", e.name, c.file)
			}
			files[c.file] = true
		}
	}
}

func TestEstimate(t *testing.T) {
	t.Parallel()
	f := func(want string, values ...float64) {
		t.Helper()
		if got := estimateOf(values).String(); got != want {
			t.Errorf("unexpected estimate of %v; got %s; want %s", values, got, want)
		}
	}
	f("–")
	f("–", math.NaN())
	f("7.00", 7)
	f("7.00", 7, math.NaN())
	f("2.00 ± 12.7", 1, 3)                  // t = 12.706 for one degree of freedom
	f("3.00 ± 1.96", 1, 2, 3, 4, 5)         // t = 2.776, s = 1.581
	f("150 ± 0.00", 150, 150, 150)          // no spread
	f("12.0 ± 9.94", 8, 12, 16, math.NaN()) // t = 4.303, s = 4
	for freedom, want := range map[int]float64{11: 2.201, 20: 2.086, 100: 1.984} {
		if got := student95(freedom); math.Abs(got-want) > 0.004 {
			t.Errorf("unexpected t for %d; got %.4f; want %.3f", freedom, got, want)
		}
	}
}

func TestBinned(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration, status int) reply { return reply{due: d, took: d, status: status} }
	replies := []reply{at(10*time.Millisecond, 200), at(90*time.Millisecond, 500), at(150*time.Millisecond, 200), at(time.Hour, 0)}
	if got := binned(replies, 2, 100*time.Millisecond, percentFailed); !slices.Equal(got, []float64{50, 0}) {
		t.Errorf("unexpected parts that failed: %v", got)
	}
	if got := quantile(replies, 0.5); got != 10 {
		t.Errorf("unexpected median of good ones: %v", got)
	}
	if got := quantile(replies, 1); got != 150 {
		t.Errorf("unexpected maximum of good ones: %v", got)
	}
	if got := quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("unexpected median of nothing: %v", got)
	}
}

func TestSumSeries(t *testing.T) {
	t.Parallel()
	const text = "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"2\",y=\"2\"} 4\nab{x=\"1\"} 100\nb 5.5\n"
	f := func(want float64, name string, labels ...string) {
		t.Helper()
		if got := sumSeries(text, name, labels...); got != want {
			t.Errorf("unexpected sum of %s %q; got %v; want %v", name, labels, got, want)
		}
	}
	f(7, "a")
	f(3, "a", `x="1"`)
	f(0, "a", `x="1"`, `y="3"`)
	f(5.5, "b")
	f(0, "c")
}

// TestLoad sends at a known rate to an actor that answers by its conduct.
func TestLoad(t *testing.T) {
	t.Parallel()
	a := &actor{name: "one", conduct: func(time.Duration) conduct { return conduct{status: http.StatusTeapot} }}
	now := time.Now()
	a.begun.Store(&now)
	if err := a.start(); err != nil {
		t.Fatal(err)
	}
	defer a.stop()
	l := load{url: "http://" + a.addr, time: 500 * time.Millisecond, rate: steady(100), timeout: 30 * time.Second, seed: 1}
	replies := l.run(t.Context())
	if len(replies) < 25 || len(replies) > 80 || len(a.requests()) != len(replies) {
		t.Fatalf("unexpected number of replies: %d; the backend has %d", len(replies), len(a.requests()))
	}
	for _, r := range replies {
		if r.status != http.StatusTeapot || r.actor != "one" || r.due > l.time {
			t.Errorf("unexpected reply: %+v", r)
		}
	}
	if again := l.run(t.Context()); len(again) != len(replies) {
		t.Errorf("the same seed made %d requests, then %d", len(replies), len(again))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := l.run(ctx); len(got) != 0 {
		t.Errorf("unexpected requests after the end: %d", len(got))
	}
}
