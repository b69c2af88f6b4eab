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
	if got, want := text(s), "a_total{x=\"1\"} 2\nmain_total 1\n"; got != want {
		t.Fatalf("unexpected metrics %q; want %q", got, want)
	}
	two.Leave()
	if got, want := text(s), "main_total 1\n"; got != want {
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
		name, _, _ := strings.Cut(line, "{")
		if name != last && seen[name] {
			t.Fatalf("%s is in two places:\n%s", name, text(s))
		}
		seen[name], last = true, name
	}
	if len(seen) != 5 {
		t.Fatalf("unexpected metrics: %v", seen)
	}
	if i, j := strings.Index(text(s), `b_seconds_bucket{x="0",le="0.5"}`), strings.Index(text(s), `b_seconds_bucket{x="0",le="10"}`); i < 0 || j < i {
		t.Fatalf("unexpected order of buckets:\n%s", text(s))
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
