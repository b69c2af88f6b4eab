package admin

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// series is one line of Prometheus' text format.
type series struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	Value  float64           `json:"value"`
}

// readSeries reads what a MetricsWriter writes. What has no finite value, which
// JSON cannot have, is left out.
func readSeries(text []byte) (all []series) {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if s, ok := readLine(line); ok {
			all = append(all, s)
		}
	}
	return all
}

func readLine(line string) (s series, ok bool) {
	i := strings.IndexAny(line, "{ ")
	if i < 0 {
		return s, false
	}
	s.Name = line[:i]
	rest := line[i:]
	if rest[0] == '{' {
		if s.Labels, rest, ok = readLabels(rest[1:]); !ok {
			return s, false
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return s, false
	}
	s.Value = v
	return s, true
}

// readLabels reads labels, behind their brace, and returns what follows them.
func readLabels(s string) (labels map[string]string, rest string, ok bool) {
	labels = make(map[string]string)
	for {
		if after, end := strings.CutPrefix(s, "}"); end {
			return labels, after, true
		}
		name, after, found := strings.Cut(s, "=")
		if !found {
			return nil, "", false
		}
		value, err := strconv.QuotedPrefix(after)
		if err != nil {
			return nil, "", false
		}
		text, err := strconv.Unquote(value)
		if err != nil {
			text = value
		}
		labels[strings.TrimLeft(name, ", ")] = text
		s = strings.TrimLeft(after[len(value):], ", ")
	}
}

// totals is what passed through since the start.
type totals struct {
	UptimeSeconds  float64            `json:"uptime_seconds"`
	Requests       float64            `json:"total_requests"`
	Success        float64            `json:"success_requests"` // answered with less than 500
	Failed         float64            `json:"failed_requests"`
	InFlight       float64            `json:"in_flight_requests"`
	Connections    float64            `json:"tcp_connections"` // ended
	FailedConns    float64            `json:"failed_tcp_connections"`
	Open           float64            `json:"open_tcp_connections"`
	Retries        float64            `json:"retry_attempts"`
	Failovers      float64            `json:"failovers"` // attempts on another backend than the first
	UpstreamErrors float64            `json:"upstream_errors"`
	CircuitOpens   float64            `json:"circuit_opens"`
	BytesIn        float64            `json:"bytes_in"`
	BytesOut       float64            `json:"bytes_out"`
	CrossZoneBytes float64            `json:"cross_zone_bytes"`
	AverageLatency float64            `json:"avg_latency_ms"`
	Status         map[string]float64 `json:"status_classes"`
}

// failedEnds are the ends of TCP connections that were not served.
func failedEnds() []string { return []string{"dial_failed", "no_backend", "limit"} }

// sum returns what passed through, by all series there are.
func sum(all []series) totals {
	t := totals{Status: make(map[string]float64)}
	var latency, latencies float64
	for _, s := range all {
		switch s.Name {
		case "sluice_l7_requests_total":
			t.Requests += s.Value
			t.Status[s.Labels["code"]] += s.Value
			if s.Labels["code"] == "5xx" {
				t.Failed += s.Value
			} else {
				t.Success += s.Value
			}
		case "sluice_l7_requests":
			t.InFlight += s.Value
		case "sluice_l7_retries_total":
			t.Retries += s.Value
			t.Failovers += s.Value
		case "sluice_l4_connect_retries_total":
			t.Retries += s.Value
			t.Failovers += s.Value
		case "sluice_l7_failed_total", "sluice_l4_connect_failures_total":
			t.UpstreamErrors += s.Value
		case "sluice_l7_breaker_openings_total":
			t.CircuitOpens += s.Value
		case "sluice_l4_connections_total":
			t.Connections += s.Value
			for _, end := range failedEnds() {
				if s.Labels["reason"] == end {
					t.FailedConns += s.Value
				}
			}
		case "sluice_l4_connections":
			t.Open += s.Value
		case "sluice_l4_bytes_total", "sluice_l7_bytes_total":
			if s.Labels["direction"] == "in" {
				t.BytesIn += s.Value
			} else {
				t.BytesOut += s.Value
			}
		case "sluice_service_zone_bytes_total":
			if s.Labels["zone"] == "other" {
				t.CrossZoneBytes += s.Value
			}
		case "sluice_l7_request_duration_seconds_sum":
			latency += s.Value
		case "sluice_l7_request_duration_seconds_count":
			latencies += s.Value
		}
	}
	if latencies > 0 {
		t.AverageLatency = round(1000 * latency / latencies)
	}
	return t
}

// round leaves a number for people to read.
func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }

// series returns all series there are.
func (a *api) series() []series {
	var b bytes.Buffer
	a.Metrics.WritePrometheus(&b)
	writeServices(&b, sorted(a.Services))
	return readSeries(b.Bytes())
}

func (a *api) totals() totals {
	t := sum(a.series())
	t.UptimeSeconds = round(a.uptime().Seconds())
	return t
}
