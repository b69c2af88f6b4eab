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

	overviewQueriesMetric = "sluice_consul_overview_queries_total"
	seatsMetric           = "sluice_consul_services"
	connectionsMetric     = "sluice_consul_connections"
	bytesMetric           = "sluice_consul_bytes_total"

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
// `service="web"` or empty. Without a name for them, the gauges are in no set.
func newQueryMetrics(set *metrics.Set, queries, connected, lastSuccess, labels string) queryMetrics {
	braced, comma := "", ""
	if labels != "" {
		braced, comma = "{"+labels+"}", labels+","
	}
	gauge := func(name string) *metrics.Gauge {
		if name == "" {
			return metrics.NewSet().NewGauge("unseen", nil)
		}
		return set.GetOrCreateGauge(name+braced, nil)
	}
	result := func(r string) *metrics.Counter {
		return set.GetOrCreateCounter(fmt.Sprintf("%s{%sresult=%q}", queries, comma, r))
	}
	return queryMetrics{
		changed:     result("changed"),
		unchanged:   result("unchanged"),
		confirmed:   result("doubtful"),
		errors:      result("error"),
		connected:   gauge(connected),
		lastSuccess: gauge(lastSuccess),
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

// seatMetrics tell how the connections to Consul are divided.
type seatMetrics struct {
	own, sharing *metrics.Gauge // services, by how they are followed
}

func newSeatMetrics(set *metrics.Set) *seatMetrics {
	return &seatMetrics{
		own:     set.GetOrCreateGauge(seatsMetric+`{query="own"}`, nil),
		sharing: set.GetOrCreateGauge(seatsMetric+`{query="shared"}`, nil),
	}
}

// exposeAgents has the connections of agents counted.
func exposeAgents(set *metrics.Set, agents []*agent) {
	for _, a := range agents {
		label := "agent=" + quoted(a.address)
		set.GetOrCreateGauge(connectionsMetric+"{"+label+"}", func() float64 { return float64(a.open.Load()) })
		a.in = set.GetOrCreateCounter(bytesMetric + "{" + label + `,direction="in"}`)
		a.out = set.GetOrCreateCounter(bytesMetric + "{" + label + `,direction="out"}`)
	}
}

// newOverviewMetrics returns those of overviews; whether they are answered is
// among the metrics of the services that they are for.
func newOverviewMetrics(set *metrics.Set) *queryMetrics {
	m := newQueryMetrics(set, overviewQueriesMetric, "", "", "")
	return &m
}

func newCatalogMetrics(set *metrics.Set) *queryMetrics {
	m := newQueryMetrics(set, catalogQueriesMetric, catalogConnectedMetric, catalogLastSuccessMetric, "")
	return &m
}

// quoted returns s as a label's value.
func quoted(s string) string { return strconv.Quote(s) }
