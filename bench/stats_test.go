package main

import (
	"reflect"
	"testing"
)

func TestSpreadOf(t *testing.T) {
	t.Parallel()
	f := func(values []float64, want Spread) {
		t.Helper()
		if got := spreadOf(values); got != want {
			t.Fatalf("unexpected spread of %v; got %+v; want %+v", values, got, want)
		}
	}
	f(nil, Spread{})
	f([]float64{2}, Spread{2, 2, 2, 1})
	f([]float64{3, 1}, Spread{2, 1, 3, 2})
	f([]float64{5, 1, 3}, Spread{3, 1, 5, 3})
	f([]float64{4, 1, 3, 2}, Spread{2.5, 1, 4, 4})
}

func TestSpreadOverlaps(t *testing.T) {
	t.Parallel()
	f := func(a, b Spread, want bool) {
		t.Helper()
		if got := a.overlaps(b); got != want || b.overlaps(a) != want {
			t.Fatalf("unexpected overlap of %+v and %+v; got %v; want %v", a, b, got, want)
		}
	}
	f(Spread{Min: 1, Max: 2}, Spread{Min: 1.5, Max: 3}, true)
	f(Spread{Min: 1, Max: 4}, Spread{Min: 2, Max: 3}, true)
	f(Spread{Min: 1, Max: 2}, Spread{Min: 2, Max: 3}, true)
	f(Spread{Min: 1, Max: 2}, Spread{Min: 2.03, Max: 3}, true) // within the resolution
	f(Spread{Min: 1, Max: 2}, Spread{Min: 2.1, Max: 3}, false)
}

// sample is a result of two rounds, of which the second has a failed
// measurement of nginx.
func sample() *Result {
	r := &Result{
		Name: "sample", Rounds: 2, Duration: "1s", Took: "9s", Command: "bench --name sample",
		Machine: Machine{CPU: "Test CPU", Cores: 2, Commit: "abc"},
		Proxies: []ProxyInfo{
			{Name: "sluice", Role: roleSubject, Version: "sluice 1"}, {Name: "pgo", Role: roleSubject},
			{Name: "haproxy", Role: rolePeer, Command: "haproxy -f $DIR/haproxy.cfg", Config: "global\n  nbthread 2"},
			{Name: "nginx", Role: rolePeer}, {Name: "none", Role: roleDirect},
		},
		Scenarios: []ScenarioInfo{
			{Name: "l4-keepalive", Title: "small messages", Kind: closedLoop, Unit: "request"},
			{Name: "l4-idle", Title: "memory", Kind: idleConns, Unit: "request"},
			{Name: "l4-rate", Title: "rate", Kind: openLoop, Unit: "request"},
		},
	}
	add := func(round int, proxy string, cpu, rate, p99 float64) {
		r.Measurements = append(r.Measurements, Measurement{Scenario: "l4-keepalive", Proxy: proxy, Round: round, CPUMicros: cpu, RequestRate: rate, P50: p99 / 2, P99: p99, P999: 2 * p99})
	}
	add(1, "sluice", 12, 60000, 1000)
	add(1, "pgo", 6, 60000, 1000)
	add(1, "haproxy", 16, 50000, 2000)
	add(1, "nginx", 8, 40000, 500)
	add(1, "none", 0, 90000, 300)
	add(2, "sluice", 12, 60000, 1000)
	add(2, "pgo", 9, 60000, 1000)
	add(2, "haproxy", 16, 50000, 2000)
	add(2, "nginx", 8, 40000, 500)
	r.Measurements[len(r.Measurements)-1].Failed = "errors: read 3\nmore"
	r.Measurements = append(r.Measurements,
		Measurement{Scenario: "l4-idle", Proxy: "sluice", Round: 1, IdleBytes: 1024, RSS: 20 << 20},
		Measurement{Scenario: "l4-idle", Proxy: "haproxy", Round: 1, IdleBytes: 4096, RSS: 30 << 20},
		Measurement{Scenario: "l4-rate", Proxy: "sluice", Round: 1, P50: 150, P99: 900, P999: 2500, CPUMicros: 20, RequestRate: 15000})
	r.Ratios = ratios(r.Measurements, r.Proxies)
	return r
}

func TestRatios(t *testing.T) {
	t.Parallel()
	r := sample()
	f := func(subject, against string, k metric, want []float64, best ...string) {
		t.Helper()
		got, ok := r.ratio("l4-keepalive", subject, against, k)
		if !ok || !reflect.DeepEqual(got.Rounds, want) || !reflect.DeepEqual(got.Best, best) {
			t.Fatalf("unexpected ratio of %s to %s; got %v %v; want %v %v", subject, against, got.Rounds, got.Best, want, best)
		}
	}
	// The best peer is another in the round in which nginx failed.
	f("sluice", bestPeer, metricCPU, []float64{1.5, 0.75}, "nginx", "haproxy")
	f("sluice", bestPeer, metricRate, []float64{1.2, 1.2}, "haproxy", "haproxy") // more is better
	f("sluice", bestPeer, metricP99, []float64{2, 0.5}, "nginx", "haproxy")
	f("sluice", "nginx", metricCPU, []float64{1.5})
	f("pgo", "sluice", metricCPU, []float64{0.5, 0.75})
	if _, ok := r.ratio("l4-keepalive", "sluice", "none", metricRate); ok {
		t.Fatal("unexpected ratio to no proxy at all")
	}
	if x, ok := r.ratio("l4-idle", "sluice", bestPeer, metricIdle); !ok || x.Median != 0.25 {
		t.Fatalf("unexpected ratio of memory: %+v", x)
	}
	if x, ok := r.ratio("l4-rate", "sluice", bestPeer, metricP99); ok {
		t.Fatalf("unexpected ratio without a peer: %+v", x)
	}
}

func TestCompareResults(t *testing.T) {
	t.Parallel()
	a, b := sample(), sample()
	all, differ := compareResults(a, b)
	if len(all) == 0 || differ != 0 {
		t.Fatalf("unexpected difference of a result from itself: %d of %d", differ, len(all))
	}
	for i := range b.Ratios {
		b.Ratios[i].Min, b.Ratios[i].Max = 10, 11
	}
	if all, differ = compareResults(a, b); differ != len(all) {
		t.Fatalf("unexpected agreement: %d of %d differ", differ, len(all))
	}
}
