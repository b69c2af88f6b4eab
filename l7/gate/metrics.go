package gate

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/backend"
	"sluice/pkg/throttle"
)

// serviceMetrics are the counters of one service, built once. A nil pointer
// counts nothing.
type serviceMetrics struct {
	requests       [6]*metrics.Counter // by statusClass
	failed         [reasons]*metrics.Counter
	active         *metrics.Gauge
	upgraded       *metrics.Gauge
	bytesIn        *metrics.Counter
	bytesOut       *metrics.Counter
	retries        *metrics.Counter
	retriesDenied  *metrics.Counter
	seconds        *metrics.PrometheusHistogram
	connectSeconds *metrics.PrometheusHistogram
	calls          callMetrics // of gRPC

	failures throttle.Throttle
}

// newServiceMetrics returns the counters of service in set, the same ones for
// all listeners of that service.
func newServiceMetrics(set *metrics.Set, service string) *serviceMetrics {
	label := func(name, more string) string { return fmt.Sprintf("%s{service=%q%s}", name, service, more) }
	m := &serviceMetrics{
		active:         set.GetOrCreateGauge(label("sluice_l7_requests", ""), nil),
		upgraded:       set.GetOrCreateGauge(label("sluice_l7_upgraded_connections", ""), nil),
		bytesIn:        set.GetOrCreateCounter(label("sluice_l7_bytes_total", `,direction="in"`)),
		bytesOut:       set.GetOrCreateCounter(label("sluice_l7_bytes_total", `,direction="out"`)),
		retries:        set.GetOrCreateCounter(label("sluice_l7_retries_total", "")),
		retriesDenied:  set.GetOrCreateCounter(label("sluice_l7_retries_denied_total", "")),
		seconds:        set.GetOrCreatePrometheusHistogram(requestSeconds(service)),
		connectSeconds: set.GetOrCreatePrometheusHistogram(label("sluice_l7_connect_duration_seconds", "")),
	}
	m.calls.set, m.calls.service = set, service
	for i := range m.requests {
		m.requests[i] = set.GetOrCreateCounter(label("sluice_l7_requests_total", fmt.Sprintf(`,code=%q`, className(i))))
	}
	for r := None + 1; r < reasons; r++ {
		if r.concernsService() {
			m.failed[r] = set.GetOrCreateCounter(label("sluice_l7_failed_total", fmt.Sprintf(",reason=%q", r)))
		}
	}
	return m
}

// requestSeconds returns the name of the histogram of a service's requests.
func requestSeconds(service string) string {
	return fmt.Sprintf("sluice_l7_request_duration_seconds{service=%q}", service)
}

// routeCounter returns the name of the counter of a route's requests with a
// status of the given class.
func routeCounter(name string, class int) string {
	return fmt.Sprintf("sluice_l7_route_requests_total{route=%q,code=%q}", name, className(class))
}

// statusClass returns the first digit of a status, or 0 if HTTP has none such
// (RFC 9110 15): from 600 it is for its sender to know what is meant.
func statusClass(status int) int {
	if status < 100 || status >= 600 {
		return 0
	}
	return status / 100
}

// className returns a class as metrics have it.
func className(class int) string {
	if class == 0 {
		return "other"
	}
	return fmt.Sprintf("%dxx", class)
}

// routeSeconds returns the name of the histogram of a route's requests.
func routeSeconds(name string) string {
	return fmt.Sprintf("sluice_l7_route_request_duration_seconds{route=%q}", name)
}

// countRoutes gives the routes of r their metrics, the same ones to routes of
// the same host and path and to those of all listeners, and drops those of old,
// which may be nil, that are in r no more.
func countRoutes(set *metrics.Set, r, old *router) {
	names := make(map[string]bool)
	r.each(func(rt *route) {
		names[rt.name] = true
		for i := range rt.requests {
			rt.requests[i] = set.GetOrCreateCounter(routeCounter(rt.name, i))
		}
		rt.seconds = set.GetOrCreatePrometheusHistogram(routeSeconds(rt.name))
	})
	if old == nil {
		return
	}
	old.each(func(rt *route) {
		if names[rt.name] {
			return
		}
		for i := range rt.requests {
			set.UnregisterMetric(routeCounter(rt.name, i))
		}
		set.UnregisterMetric(routeSeconds(rt.name))
	})
}

// newRejected returns the counters of requests that have no service.
func newRejected(set *metrics.Set) (rejected [reasons]*metrics.Counter) {
	for r := BadRequest; r <= ClientTooSlow; r++ {
		if !r.refuses() {
			continue
		}
		rejected[r] = set.GetOrCreateCounter(fmt.Sprintf("sluice_l7_rejected_total{reason=%q}", r))
	}
	return rejected
}

// concernsService reports whether a request that has a service can end so.
func (r Reason) concernsService() bool {
	return r >= ClientAbort || r == BadRequest || r == RequestTimeout || r == BodyTooLarge
}

// begin counts a request that has a service; record ends it.
func (m *serviceMetrics) begin() { m.active.Inc() }

// connected counts a connection established to b.
func (m *serviceMetrics) connected(b *backend.Backend, d time.Duration) {
	b.Counters.Connections.Add(1)
	m.connectSeconds.Update(d.Seconds())
}
