package metricset

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func text(s *Sets) string {
	var b strings.Builder
	s.WritePrometheus(&b)
	return b.String()
}

// series is text without comments.
func series(s *Sets) string {
	var kept strings.Builder
	for line := range strings.Lines(text(s)) {
		if !strings.HasPrefix(line, "#") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// TestLifetime has two share a set: it lives as long as one of them, counts on,
// and is a new one then.
func TestLifetime(t *testing.T) {
	t.Parallel()
	s := New()
	s.Main.NewCounter("main_total").Inc()
	one, two := s.Join("x"), s.Join("x")
	one.GetOrCreateCounter(`a_total{x="1"}`).Inc()
	two.GetOrCreateCounter(`a_total{x="1"}`).Inc()
	one.Leave()
	if got, want := series(s), "a_total{x=\"1\"} 2\nmain_total 1\n"; got != want {
		t.Fatalf("unexpected metrics %q; want %q", got, want)
	}
	two.Leave()
	if got, want := series(s), "main_total 1\n"; got != want {
		t.Fatalf("unexpected metrics %q; want %q", got, want)
	}
	three := s.Join("x")
	defer three.Leave()
	three.NewCounter(`a_total{x="1"}`) // would panic in a set that has it
	if got := text(s); !strings.Contains(got, `a_total{x="1"} 0`) {
		t.Fatalf("unexpected metrics %q", got)
	}
}

// TestGroups checks that the series of a metric are together, those of a
// histogram in their order, whatever the sets they are in.
func TestGroups(t *testing.T) {
	t.Parallel()
	s := New()
	for i := range 3 {
		x := s.Join(fmt.Sprint(i))
		defer x.Leave()
		x.GetOrCreateCounter(fmt.Sprintf(`a_total{x="%d"}`, i)).Inc()
		x.GetOrCreatePrometheusHistogram(fmt.Sprintf(`b_seconds{x="%d"}`, i)).Update(1)
		x.GetOrCreateCounter(fmt.Sprintf(`c_total{x="%d"}`, i)).Inc()
	}
	seen, last := make(map[string]bool), ""
	for line := range strings.Lines(text(s)) {
		name, comment := nameOf([]byte(line))
		if name = base(name, map[string]string{"b_seconds": "histogram"}); comment != (name != last) && strings.HasPrefix(line, "# HELP") != (name != last) {
			t.Fatalf("unexpected place of %q:\n%s", line, text(s))
		}
		if name != last && seen[name] {
			t.Fatalf("%s is in two places:\n%s", name, text(s))
		}
		seen[name], last = true, name
	}
	if len(seen) != 3 {
		t.Fatalf("unexpected metrics: %v", seen)
	}
	if i, j := strings.Index(text(s), `b_seconds_bucket{x="0",le="0.5"}`), strings.Index(text(s), `b_seconds_bucket{x="0",le="10"}`); i < 0 || j < i {
		t.Fatalf("unexpected order of buckets:\n%s", text(s))
	}
}

// TestDescribe checks what is said of metrics of each kind.
func TestDescribe(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	Describe(&b, []byte("go_x 1\nown{a=\"b\"} 1\n# HELP own Mine.\n# TYPE own gauge\nx_seconds_count 1\nx_seconds_bucket{le=\"+Inf\"} 1\n"+
		"s_seconds{quantile=\"0\"} 1\ns_seconds_sum 1\nv_seconds_bucket{vmrange=\"1...2\"} 1\nsluice_ready 1\nthings_count 7\nevents_total 3\n"))
	want := `# HELP events_total See docs/metrics.md.
# TYPE events_total counter
events_total 3
# HELP go_x Of Go's runtime, as runtime/metrics or runtime.MemStats tell it.
# TYPE go_x gauge
go_x 1
# HELP own Mine.
# TYPE own gauge
own{a="b"} 1
# HELP s_seconds See docs/metrics.md.
# TYPE s_seconds summary
s_seconds{quantile="0"} 1
s_seconds_sum 1
# HELP sluice_ready 1 if /readyz says yes.
# TYPE sluice_ready gauge
sluice_ready 1
# HELP things_count See docs/metrics.md.
# TYPE things_count gauge
things_count 7
# HELP v_seconds See docs/metrics.md.
# TYPE v_seconds untyped
v_seconds_bucket{vmrange="1...2"} 1
# HELP x_seconds See docs/metrics.md.
# TYPE x_seconds histogram
x_seconds_count 1
x_seconds_bucket{le="+Inf"} 1
`
	if b.String() != want {
		t.Fatalf("unexpected text; got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	s := New()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 200 {
				x := s.Join(fmt.Sprint((i + j) % 3))
				x.GetOrCreateCounter("a_total").Inc()
				_ = text(s)
				x.Leave()
			}
		})
	}
	wg.Wait()
	if got := text(s); got != "" {
		t.Fatalf("unexpected metrics that were left: %q", got)
	}
}
