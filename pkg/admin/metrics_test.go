package admin

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/backend"
)

// scrape returns the series of /metrics by name and labels; it fails on lines
// that are none and on series that come twice.
func scrape(t *testing.T, s *Server) map[string]string {
	t.Helper()
	got := get(t, s, "/metrics")
	if ct := got.header.Get("Content-Type"); got.code != 200 || !strings.HasPrefix(ct, "text/plain; version=0.0.4") {
		t.Fatalf("unexpected answer; got %d, Content-Type %q", got.code, ct)
	}
	line := regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"(?:, ?)?)*\})?) ([0-9.eE+-]+|NaN|[+-]Inf)$`)
	series := make(map[string]string)
	for l := range strings.Lines(got.body) {
		l = strings.TrimSuffix(l, "\n")
		if strings.HasPrefix(l, "# HELP ") || strings.HasPrefix(l, "# TYPE ") {
			continue
		}
		m := line.FindStringSubmatch(l)
		if m == nil {
			t.Fatalf("not a sample: %q", l)
		}
		if _, ok := series[m[1]]; ok {
			t.Fatalf("series %s comes twice", m[1])
		}
		series[m[1]] = m[2]
	}
	return series
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	set := metrics.NewSet()
	set.NewCounter(`sluice_test_total{a="b"}`).Add(7)
	s := start(t, Config{Metrics: set, Services: listed(busyService(t), newService("idle"))})
	got := scrape(t, s)
	for series, want := range map[string]string{
		`sluice_test_total{a="b"}`:                                                         "7",
		`sluice_service_backends{service="web"}`:                                           "2",
		`sluice_service_backends{service="idle"}`:                                          "0",
		`sluice_service_eligible_backends{service="web"}`:                                  "1",
		`sluice_service_eligible_backends{service="idle"}`:                                 "0",
		`sluice_backend_state{service="web",backend="10.0.0.1:80",state="unknown"}`:        "0",
		`sluice_backend_state{service="web",backend="10.0.0.1:80",state="up"}`:             "1",
		`sluice_backend_state{service="web",backend="10.0.0.1:80",state="down"}`:           "0",
		`sluice_backend_state{service="web",backend="10.0.0.2:80",state="down"}`:           "1",
		`sluice_backend_state{service="web",backend="10.0.0.2:80",state="up"}`:             "0",
		`sluice_backend_eligible{service="web",backend="10.0.0.1:80"}`:                     "1",
		`sluice_backend_eligible{service="web",backend="10.0.0.2:80"}`:                     "0",
		`sluice_backend_weight{service="web",backend="10.0.0.1:80"}`:                       "5",
		`sluice_backend_connections{service="web",backend="10.0.0.1:80"}`:                  "2",
		`sluice_backend_picks_total{service="web",backend="10.0.0.1:80"}`:                  "2",
		`sluice_backend_connections_total{service="web",backend="10.0.0.1:80"}`:            "11",
		`sluice_backend_connect_failures_total{service="web",backend="10.0.0.1:80"}`:       "12",
		`sluice_backend_bytes_total{service="web",backend="10.0.0.1:80",direction="in"}`:   "13",
		`sluice_backend_bytes_total{service="web",backend="10.0.0.1:80",direction="out"}`:  "14",
		`sluice_backend_checks_total{service="web",backend="10.0.0.1:80",result="passed"}`: "15",
		`sluice_backend_checks_total{service="web",backend="10.0.0.1:80",result="failed"}`: "16",
		`sluice_backend_transitions_total{service="web",backend="10.0.0.2:80",to="up"}`:    "1",
		`sluice_backend_transitions_total{service="web",backend="10.0.0.2:80",to="down"}`:  "1",
	} {
		if got[series] != want {
			t.Fatalf("unexpected value of %s; got %q; want %s", series, got[series], want)
		}
	}
	for _, name := range []string{"go_goroutines", "process_num_threads"} {
		if got[name] == "" {
			t.Fatalf("no %s", name)
		}
	}
}

// TestOutcomeMetrics has units in what decays, and so is only nearly known.
func TestOutcomeMetrics(t *testing.T) {
	t.Parallel()
	svc := newService("web")
	svc.Pool.Set([]backend.Target{{ID: "1", Address: "10.0.0.1:80", Weight: 1}})
	b := svc.Pool.Snapshot().All[0]
	b.Observe(50*time.Millisecond, true)
	b.Observe(0, false)
	got := scrape(t, start(t, Config{Services: listed(svc)}))
	f := func(series string, least, most float64) {
		t.Helper()
		if v, err := strconv.ParseFloat(got[series], 64); err != nil || v < least || v > most {
			t.Errorf("unexpected value of %s; got %q; want %v to %v", series, got[series], least, most)
		}
	}
	f(`sluice_backend_latency_seconds{service="web",backend="10.0.0.1:80"}`, 0.0001, 0.05001)
	f(`sluice_backend_error_ratio{service="web",backend="10.0.0.1:80"}`, 0.00001, 1.0/32)
}

// TestNoStaleSeries shows that the series of a backend go with it.
func TestNoStaleSeries(t *testing.T) {
	t.Parallel()
	svc := newService("web")
	s := start(t, Config{Services: listed(svc)})
	count := func(addr string) int {
		n := 0
		for series := range scrape(t, s) {
			if strings.Contains(series, addr) {
				n++
			}
		}
		return n
	}
	f := func(want1, want2 int) {
		t.Helper()
		if got1, got2 := count("10.0.0.1:80"), count("10.0.0.2:80"); got1 != want1 || got2 != want2 {
			t.Fatalf("unexpected number of series; got %d and %d; want %d and %d", got1, got2, want1, want2)
		}
	}
	const each = 28
	f(0, 0)
	svc.Pool.Set([]backend.Target{{ID: "1", Address: "10.0.0.1:80", Weight: 1}, {ID: "2", Address: "10.0.0.2:80", Weight: 1}})
	f(each, each)
	svc.Pool.Set([]backend.Target{{ID: "2", Address: "10.0.0.2:80", Weight: 1}})
	f(0, each)
	svc.Pool.Set(nil)
	f(0, 0)
}

// TestSharedAddress shows that members with one address are one backend to
// metrics, and no series comes twice, which scrape checks.
func TestSharedAddress(t *testing.T) {
	t.Parallel()
	const addr = "10.0.0.1:80"
	svc := newService("web",
		backend.Target{ID: "1", Address: addr, Weight: 1},
		backend.Target{ID: "2", Address: addr, Weight: 2, Status: backend.Critical},
		backend.Target{ID: "3", Address: addr, Weight: 4},
	)
	for i, id := range []string{"1", "2", "3"} {
		member(t, svc, id).Counters.BytesIn.Store(uint64(10 * (i + 1)))
	}
	s := start(t, Config{Services: listed(svc)})
	f := func(want map[string]string) {
		t.Helper()
		got := scrape(t, s)
		for series, value := range want {
			series = strings.Replace(series, "{", `{service="web",backend="`+addr+`"`, 1)
			if got[series] != value {
				t.Fatalf("unexpected value of %s; got %q; want %s", series, got[series], value)
			}
		}
		if got[`sluice_service_backends{service="web"}`] != "3" {
			t.Fatal("members with one address must count as many")
		}
	}
	f(map[string]string{
		`sluice_backend_weight{}`:                     "7",
		`sluice_backend_bytes_total{,direction="in"}`: "60",
		`sluice_backend_eligible{}`:                   "1",
		`sluice_backend_state{,state="unknown"}`:      "1",
	})
	member(t, svc, "1").SetCondition(backend.Condition{State: backend.Down})
	f(map[string]string{
		`sluice_backend_state{,state="unknown"}`: "0",
		`sluice_backend_state{,state="down"}`:    "1",
		`sluice_backend_eligible{}`:              "1",
	})
	member(t, svc, "2").SetCondition(backend.Condition{State: backend.Up})
	member(t, svc, "3").SetCondition(backend.Condition{State: backend.Down})
	f(map[string]string{
		`sluice_backend_state{,state="up"}`:            "1",
		`sluice_backend_state{,state="down"}`:          "0",
		`sluice_backend_eligible{}`:                    "0",
		`sluice_backend_transitions_total{,to="down"}`: "2",
	})
}

func TestLabelEscapes(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Services: listed(newService("a\"b\\c\nd\té\xff", // a tab and é stay as they are
		backend.Target{ID: "1", Address: "\xfe", Weight: 1}, backend.Target{ID: "2", Address: "\xff", Weight: 1}))})
	got := scrape(t, s)
	if series := `sluice_service_backends{service="a\"b\\c\nd` + "\té\uFFFD" + `"}`; got[series] != "2" {
		t.Fatalf("no series %s", series)
	}
}

func TestMetricNames(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	writeServices(&b, []Service{newService("web", backend.Target{ID: "1", Address: "10.0.0.1:80"})})
	var written, described []string
	for l := range strings.Lines(b.String()) {
		if name, ok := strings.CutPrefix(l, "# TYPE "); ok {
			described = append(described, strings.Fields(name)[0])
		} else if name, _, ok := strings.Cut(l, "{"); ok && !slices.Contains(written, name) {
			written = append(written, name)
		}
	}
	names := MetricNames()
	for _, list := range [][]string{names, written, described} {
		slices.Sort(list)
	}
	if !slices.Equal(written, names) || !slices.Equal(described, names) {
		t.Fatalf("unexpected names\n%v; written are\n%v, described\n%v", names, written, described)
	}
}
