package consul

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

const (
	queriesMetric     = "sluice_consul_queries_total"
	errorsMetric      = "sluice_consul_errors_total"
	updatesMetric     = "sluice_consul_updates_total"
	skippedMetric     = "sluice_consul_skipped_entries_total"
	connectedMetric   = "sluice_consul_connected"
	lastSuccessMetric = "sluice_consul_last_success_timestamp_seconds"
)

// MetricNames returns the name of each metric of this package, without its
// one label, service.
func MetricNames() []string {
	return []string{
		queriesMetric, errorsMetric, updatesMetric,
		skippedMetric, connectedMetric, lastSuccessMetric,
	}
}

// serviceMetrics are the metrics of one service.
type serviceMetrics struct {
	queries     *metrics.Counter // queries sent to Consul
	errors      *metrics.Counter // those that brought no usable answer
	updates     *metrics.Counter // lists reported
	skipped     *metrics.Counter // bad entries, counted in every answer that has them
	connected   *metrics.Gauge   // 1 while the last query succeeded, else 0
	lastSuccess *metrics.Gauge   // Unix time of the last usable answer, 0 before it
}

func newServiceMetrics(set *metrics.Set, service string) *serviceMetrics {
	series := func(name string) string { return fmt.Sprintf("%s{service=%q}", name, service) }
	return &serviceMetrics{
		queries:     set.GetOrCreateCounter(series(queriesMetric)),
		errors:      set.GetOrCreateCounter(series(errorsMetric)),
		updates:     set.GetOrCreateCounter(series(updatesMetric)),
		skipped:     set.GetOrCreateCounter(series(skippedMetric)),
		connected:   set.GetOrCreateGauge(series(connectedMetric), nil),
		lastSuccess: set.GetOrCreateGauge(series(lastSuccessMetric), nil),
	}
}

func (m *serviceMetrics) succeeded(now time.Time) {
	m.connected.Set(1)
	m.lastSuccess.Set(float64(now.UnixMilli()) / 1000)
}

func (m *serviceMetrics) failed() {
	m.errors.Inc()
	m.connected.Set(0)
}
