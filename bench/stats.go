package main

import (
	"math"
	"slices"
)

// metric is one figure of a measurement.
type metric string

// The figures of a measurement.
const (
	metricCPU  metric = "cpu_us_per_request"
	metricRate metric = "requests_per_second"
	metricP50  metric = "p50_us"
	metricP99  metric = "p99_us"
	metricP999 metric = "p999_us"
	metricRSS  metric = "rss_bytes"
	metricIdle metric = "bytes_per_idle_connection"
)

// metrics returns all metrics in the order of reports.
func metrics() []metric {
	return []metric{metricCPU, metricRate, metricP50, metricP99, metricP999, metricRSS, metricIdle}
}

// value returns the figure, and whether the measurement has it.
func (m Measurement) value(k metric) (float64, bool) {
	if m.Failed != "" {
		return 0, false
	}
	v := map[metric]float64{
		metricCPU:  m.CPUMicros,
		metricRate: m.RequestRate,
		metricP50:  m.P50,
		metricP99:  m.P99,
		metricP999: m.P999,
		metricRSS:  float64(m.RSS),
		metricIdle: m.IdleBytes,
	}[k]
	return v, v > 0
}

// better reports whether a is better than b.
func (k metric) better(a, b float64) bool {
	if k == metricRate {
		return a > b
	}
	return a < b
}

// Spread is the median of several values and how far they are apart.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

// spreadOf returns the spread of values, all zero for none.
func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	median := s[n/2]
	if n%2 == 0 {
		median = (s[n/2-1] + s[n/2]) / 2
	}
	return Spread{Median: median, Min: s[0], Max: s[n-1], N: n}
}

// resolution is how near two ratios must be to be told apart: ticks of CPU time
// and the ends of a measurement are not finer.
const resolution = 0.02

// overlaps reports whether the ranges have a value in common, or nearly so.
func (s Spread) overlaps(o Spread) bool {
	return s.Min <= o.Max*(1+resolution) && o.Min <= s.Max*(1+resolution)
}

// bestPeer is what a ratio is taken against that has no single peer's name.
const bestPeer = "best peer"

// Ratio is one figure of a sluice divided by that of something else, taken in
// each round by itself.
type Ratio struct {
	Scenario string    `json:"scenario"`
	Metric   metric    `json:"metric"`
	Subject  string    `json:"subject"`
	Against  string    `json:"against"` // a proxy's name, or "best peer"
	Spread             // over the rounds
	Rounds   []float64 `json:"rounds"`
	Best     []string  `json:"best,omitempty"` // who was the best peer, by round
}

// ratios returns all ratios of the measurements: of every sluice to the best
// peer of each round and to each peer, and of every other sluice to the first.
func ratios(ms []Measurement, proxies []ProxyInfo) []Ratio {
	type cell struct {
		scenario, proxy string
		round           int
	}
	byCell := make(map[cell]Measurement)
	var scenarios []string
	rounds := 0
	for _, m := range ms {
		byCell[cell{m.Scenario, m.Proxy, m.Round}] = m
		if !slices.Contains(scenarios, m.Scenario) {
			scenarios = append(scenarios, m.Scenario)
		}
		rounds = max(rounds, m.Round)
	}
	var subjects, peers []string
	for _, p := range proxies {
		switch p.Role {
		case roleSubject:
			subjects = append(subjects, p.Name)
		case rolePeer:
			peers = append(peers, p.Name)
		}
	}

	var all []Ratio
	add := func(r Ratio) {
		if len(r.Rounds) > 0 {
			r.Spread = spreadOf(r.Rounds)
			all = append(all, r)
		}
	}
	for _, sc := range scenarios {
		for _, k := range metrics() {
			value := func(proxy string, round int) (float64, bool) {
				return byCell[cell{sc, proxy, round}].value(k)
			}
			for i, s := range subjects {
				best := Ratio{Scenario: sc, Metric: k, Subject: s, Against: bestPeer}
				for round := 1; round <= rounds; round++ {
					own, ok := value(s, round)
					if !ok {
						continue
					}
					name, figure := "", math.NaN()
					for _, p := range peers {
						if v, ok := value(p, round); ok && (name == "" || k.better(v, figure)) {
							name, figure = p, v
						}
					}
					if name != "" {
						best.Rounds = append(best.Rounds, own/figure)
						best.Best = append(best.Best, name)
					}
				}
				add(best)

				others := slices.Clone(peers)
				if i > 0 {
					others = append(others, subjects[0])
				}
				for _, p := range others {
					r := Ratio{Scenario: sc, Metric: k, Subject: s, Against: p}
					for round := 1; round <= rounds; round++ {
						own, ok1 := value(s, round)
						v, ok2 := value(p, round)
						if ok1 && ok2 {
							r.Rounds = append(r.Rounds, own/v)
						}
					}
					add(r)
				}
			}
		}
	}
	return all
}
