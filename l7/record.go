package l7

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/accesslog"
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
		seconds:        set.GetOrCreatePrometheusHistogram(label("sluice_l7_request_duration_seconds", "")),
		connectSeconds: set.GetOrCreatePrometheusHistogram(label("sluice_l7_connect_duration_seconds", "")),
	}
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

// count adds the body bytes that were moved since it was last called to the
// counters.
func (x *exchange) count() {
	if x.backend == nil {
		return
	}
	if in := x.in - x.sentIn; in > 0 {
		x.sentIn = x.in
		x.backend.Counters.BytesIn.Add(uint64(in))
		x.svc.metrics.bytesIn.AddInt64(in)
	}
	if out := x.outN - x.sentOut; out > 0 {
		x.sentOut = x.outN
		x.backend.Counters.BytesOut.Add(uint64(out))
		x.svc.metrics.bytesOut.AddInt64(out)
	}
}

// record counts and logs the outcome of an exchange.
func (s *Server) record(x *exchange) {
	duration := time.Duration(x.sh.l.Real() - x.real)
	status := x.status
	if status == 0 {
		status = x.reason.status()
	}
	if x.route != nil {
		x.route.requests[statusClass(status)].Inc()
		x.route.seconds.Update(duration.Seconds())
	}
	if !x.admitted {
		if c := s.rejected[x.reason]; c != nil {
			c.Inc()
		}
	} else {
		m := x.svc.metrics
		m.active.Dec()
		m.seconds.Update(duration.Seconds())
		m.requests[statusClass(status)].Inc()
		m.retries.Add(x.retries)
		if c := m.failed[x.reason]; c != nil {
			c.Inc()
		}
	}
	if s.cfg.AccessLog.On() {
		s.logAccess(x, status, duration)
		return
	}
	if !x.admitted && x.reason.setting() != "" {
		if ok, more := s.refusals.Allow(time.Now()); ok {
			s.cfg.Logger.Warn("refusing requests beyond a limit", "listener", "l7", "name", s.ln.Name(), "reason", x.reason.String(),
				"setting", x.reason.setting(), "client", x.from.client, "more", more)
		}
		return
	}
	if !x.admitted && x.reason.malformed() {
		if ok, more := s.malformed.Allow(time.Now()); ok {
			s.cfg.Logger.Info("refusing malformed requests", "listener", "l7", "name", s.ln.Name(), "reason", x.reason.String(),
				"detail", x.detail, "client", x.c.client.Addr(), "more", more)
		}
		return
	}
	// A failure is ours to tell of if the client was not the one who failed.
	if !x.admitted || !x.reason.ours() {
		return
	}
	if ok, more := x.svc.metrics.failures.Allow(time.Now()); ok {
		s.logFailure(x, status, duration, more)
	}
}

// ours reports whether a request that ends so was failed by sluice or by a
// backend, not by its client.
func (r Reason) ours() bool {
	return r != None && r.status() >= 500 && r != BackendDrained && r != BackendUnhealthy
}

func (s *Server) logAccess(x *exchange, status int, duration time.Duration) {
	r := &x.sh.record
	*r = accesslog.Record{
		Message: "request", Listener: "l7", Time: x.sh.l.Wall(),
		Client: x.c.client, Method: x.req.Method, Host: x.req.Host, Path: x.req.Path, Status: status,
		RequestID: x.from.requestID, TraceID: x.from.trace.id,
		In: x.in, Out: x.outN, Duration: duration, Connect: x.connect, Response: x.reply,
		Retries: x.retries, Reason: x.reason.String(), Failed: x.reason.ours(), Err: x.err, Detail: x.explained(),
	}
	if x.from.client.IsValid() && x.from.client != x.from.peer {
		r.For = x.from.client
	}
	if x.admitted {
		r.Service = x.svc.name
		r.Strategy = x.svc.balancer.Strategy()
		r.Wait = time.Duration(max(0, x.picked-x.start))
	}
	if b := x.lastBackend(); b != nil {
		r.Backend = b.Addr()
	}
	x.noteFields(r)
	s.cfg.AccessLog.Add(r)
}

// explained returns what was said to the client beyond what its reason says.
func (x *exchange) explained() string {
	if x.detail == x.reason.explain() || x.err != nil {
		return ""
	}
	return x.detail
}

func (s *Server) logFailure(x *exchange, status int, duration time.Duration, more uint64) {
	attrs := []any{
		"listener", "l7", "client", x.c.client.String(), "method", string(x.req.Method), "host", string(x.req.Host), "path", string(x.req.Path),
		"status", status, "duration", duration, "service", x.svc.name, "retries", x.retries,
		"request_id", string(x.from.requestID), "reason", x.reason.String(),
	}
	if b := x.lastBackend(); b != nil {
		attrs = append(attrs, "backend", b.Addr())
	}
	if x.err != nil {
		attrs = append(attrs, "err", x.err)
	}
	if setting := x.reason.setting(); setting != "" {
		attrs = append(attrs, "setting", setting)
	}
	if more > 0 {
		attrs = append(attrs, "more", more)
	}
	s.cfg.Logger.Warn("request failed", attrs...)
}

// lastBackend returns the backend that served the request, or else the last
// one that was tried, or nil.
func (x *exchange) lastBackend() *backend.Backend {
	if x.backend != nil {
		return x.backend
	}
	return x.last
}
