package dns

import (
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// sourceMetrics are the metrics of one service.
type sourceMetrics struct {
	changed     *metrics.Counter // resolutions that brought news
	unchanged   *metrics.Counter // those that brought none
	nothing     *metrics.Counter // those that said that there is nothing
	errors      *metrics.Counter // those that brought no answer
	kept        *metrics.Gauge   // members in use that the last answer did not list
	rotating    *metrics.Gauge   // 1 while answers list others each time
	lastSuccess *metrics.Gauge   // Unix time of the last answer with records
}

func newSourceMetrics(set *metrics.Set, service string) *sourceMetrics {
	labels := "service=" + strconv.Quote(service)
	result := func(r string) *metrics.Counter {
		return set.GetOrCreateCounter("sluice_dns_resolutions_total{" + labels + ",result=" + strconv.Quote(r) + "}")
	}
	return &sourceMetrics{
		changed:     result("changed"),
		unchanged:   result("unchanged"),
		nothing:     result("nothing"),
		errors:      result("error"),
		kept:        set.GetOrCreateGauge("sluice_dns_kept_members{"+labels+"}", nil),
		rotating:    set.GetOrCreateGauge("sluice_dns_rotating{"+labels+"}", nil),
		lastSuccess: set.GetOrCreateGauge("sluice_dns_last_success_timestamp_seconds{"+labels+"}", nil),
	}
}

func (m *sourceMetrics) succeeded(now time.Time) {
	m.lastSuccess.Set(float64(now.UnixMilli()) / 1000)
}
