package consul

import (
	"fmt"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

const (
	queriesMetric     = "sluice_consul_queries_total"
	skippedMetric     = "sluice_consul_skipped_entries_total"
	keptMetric        = "sluice_consul_kept_members"
	connectedMetric   = "sluice_consul_connected"
	lastSuccessMetric = "sluice_consul_last_success_timestamp_seconds"

	catalogQueriesMetric     = "sluice_consul_catalog_queries_total"
	catalogConnectedMetric   = "sluice_consul_catalog_connected"
	catalogLastSuccessMetric = "sluice_consul_catalog_last_success_timestamp_seconds"
)

// ServiceMetricNames returns the name of each metric of a service, without
// labels: service, and of queries also result.
func ServiceMetricNames() []string {
	return []string{queriesMetric, skippedMetric, keptMetric, connectedMetric, lastSuccessMetric}
}

// queryMetrics are the metrics of one watch's queries.
type queryMetrics struct {
	changed     *metrics.Counter // queries that brought news
	unchanged   *metrics.Counter // those that brought none
	confirmed   *metrics.Counter // those to the leader because of a doubtful answer, beside the former
	errors      *metrics.Counter // those that brought no usable answer
	connected   *metrics.Gauge   // 1 while the last query succeeded, else 0
	lastSuccess *metrics.Gauge   // Unix time of the last usable answer, 0 before it
}

// newQueryMetrics returns metrics with the given names and labels, in the form
// `service="web"` or empty.
func newQueryMetrics(set *metrics.Set, queries, connected, lastSuccess, labels string) queryMetrics {
	braced, comma := "", ""
	if labels != "" {
		braced, comma = "{"+labels+"}", labels+","
	}
	result := func(r string) *metrics.Counter {
		return set.GetOrCreateCounter(fmt.Sprintf("%s{%sresult=%q}", queries, comma, r))
	}
	return queryMetrics{
		changed:     result("changed"),
		unchanged:   result("unchanged"),
		confirmed:   result("doubtful"),
		errors:      result("error"),
		connected:   set.GetOrCreateGauge(connected+braced, nil),
		lastSuccess: set.GetOrCreateGauge(lastSuccess+braced, nil),
	}
}

func (m *queryMetrics) succeeded(now time.Time, news bool) {
	if news {
		m.changed.Inc()
	} else {
		m.unchanged.Inc()
	}
	m.connected.Set(1)
	m.lastSuccess.Set(float64(now.UnixMilli()) / 1000)
}

// sent returns how many queries have been sent and answered, or failed.
func (m *queryMetrics) sent() uint64 {
	return m.changed.Get() + m.unchanged.Get() + m.confirmed.Get() + m.errors.Get()
}

func (m *queryMetrics) failed() {
	m.errors.Inc()
	m.connected.Set(0)
}

// serviceMetrics are the metrics of one service.
type serviceMetrics struct {
	queryMetrics
	skipped *metrics.Counter // bad entries, counted in every answer that has them
	kept    *metrics.Gauge   // members in use that Consul does not list
}

func newServiceMetrics(set *metrics.Set, service string) *serviceMetrics {
	labels := "service=" + quoted(service)
	return &serviceMetrics{
		queryMetrics: newQueryMetrics(set, queriesMetric, connectedMetric, lastSuccessMetric, labels),
		skipped:      set.GetOrCreateCounter(skippedMetric + "{" + labels + "}"),
		kept:         set.GetOrCreateGauge(keptMetric+"{"+labels+"}", nil),
	}
}

func newCatalogMetrics(set *metrics.Set) *queryMetrics {
	m := newQueryMetrics(set, catalogQueriesMetric, catalogConnectedMetric, catalogLastSuccessMetric, "")
	return &m
}

// quoted returns s as a label's value.
func quoted(s string) string { return strconv.Quote(s) }
