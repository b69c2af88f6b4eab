package l4

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/accesslog"
	"sluice/pkg/backend"
	"sluice/pkg/throttle"
)

// serviceMetrics are the counters of one service, built once.
type serviceMetrics struct {
	ended           [reasons]*metrics.Counter
	active          *metrics.Gauge
	bytesIn         *metrics.Counter
	bytesOut        *metrics.Counter
	connectFailures *metrics.Counter
	retries         *metrics.Counter
	retriesDenied   *metrics.Counter
	hedges          *metrics.Counter
	connectSeconds  *metrics.PrometheusHistogram
	seconds         *metrics.PrometheusHistogram

	unserved throttle.Throttle
}

// connectBuckets are the upper bounds, in seconds, of a connect's duration:
// fine where a network's round trip lies.
func connectBuckets() []float64 {
	return []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
}

// durationBuckets are the upper bounds, in seconds, of a connection's life.
func durationBuckets() []float64 {
	return []float64{.001, .01, .1, 1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600}
}

// newServiceMetrics returns the counters of service in set, the same ones for
// all listeners of that service.
func newServiceMetrics(set *metrics.Set, service string) *serviceMetrics {
	label := func(name, more string) string { return fmt.Sprintf("%s{service=%q%s}", name, service, more) }
	m := &serviceMetrics{
		active:          set.GetOrCreateGauge(label("sluice_l4_connections", ""), nil),
		bytesIn:         set.GetOrCreateCounter(label("sluice_l4_bytes_total", `,direction="in"`)),
		bytesOut:        set.GetOrCreateCounter(label("sluice_l4_bytes_total", `,direction="out"`)),
		connectFailures: set.GetOrCreateCounter(label("sluice_l4_connect_failures_total", "")),
		retries:         set.GetOrCreateCounter(label("sluice_l4_connect_retries_total", "")),
		retriesDenied:   set.GetOrCreateCounter(label("sluice_l4_connect_retries_denied_total", "")),
		hedges:          set.GetOrCreateCounter(label("sluice_l4_connect_hedges_total", "")),
		connectSeconds:  set.GetOrCreatePrometheusHistogramExt(label("sluice_l4_connect_duration_seconds", ""), connectBuckets()),
		seconds:         set.GetOrCreatePrometheusHistogramExt(label("sluice_l4_connection_duration_seconds", ""), durationBuckets()),
	}
	for r := range reasons {
		m.ended[r] = set.GetOrCreateCounter(label("sluice_l4_connections_total", fmt.Sprintf(",reason=%q", r)))
	}
	return m
}

// early is how long a connection lasts at most that says something against a
// backend which ended it without a byte. One that lasted was served: there are
// servers that only listen, and whoever waits for a client to speak may give up
// at some time.
const early = time.Second

// judge tells the backend how it fared with an established connection.
func (t *Ticket) judge(e Ending) {
	b := t.backend
	if b == nil {
		return
	}
	byBackend := e.Reason == BackendReset || e.Reason == BackendEOF
	switch w := (backend.Witness{Client: t.Client.Addr(), Unasked: e.In == 0}); {
	case e.Out > 0, byBackend && e.Duration >= early && !e.Stalled:
		b.ReportServed(w)
	case byBackend && !e.Stalled:
		// It may be the client's doing, so that a check is to say more.
		b.Observe(0, backend.Badly)
		b.ReportFault(w)
		b.Suspect()
	}
}

// record counts and logs the outcome of a connection: the one place where
// counters of connections move.
func (t *Ticket) record(e Ending) {
	m := t.up.metrics
	m.ended[e.Reason].Inc()
	m.seconds.Update(e.Duration.Seconds())
	t.judge(e)
	if t.gate.AccessLog.On() {
		t.logAccess(e)
		return
	}
	if !e.Reason.Unserved() {
		return
	}
	ok, more := m.unserved.Allow(time.Now())
	if !ok {
		return
	}
	attrs := []any{
		"listener", "l4",
		"service", t.up.name,
		"client", t.Client.String(),
		"reason", e.Reason.String(),
		"duration", e.Duration,
		"more", more,
	}
	if failed, err := t.plan.Err(); err != nil {
		attrs = append(attrs, "failed_backend", failed.Addr(), "err", err)
	}
	t.gate.Logger.Warn("connection ended", attrs...)
}

func (t *Ticket) logAccess(e Ending) {
	line := accesslog.Record{
		Message: "connection ended", Listener: "l4", Time: time.Now(), Client: t.Client,
		In: e.In, Out: e.Out, Duration: e.Duration, Connect: t.connect,
		Service: t.up.name, Strategy: t.up.Balancer.Strategy(),
		Reason: e.Reason.String(), Failed: e.Reason.Unserved(),
	}
	if t.backend != nil {
		line.Backend = t.backend.Addr()
	}
	if p := t.plan; p != nil {
		line.Retries = p.Retried()
		if t.backend == nil {
			line.Connect = p.Took()
		}
		if failed, err := p.Err(); err != nil {
			line.Err = fmt.Errorf("backend %s: %w", failed.Addr(), err)
		}
	}
	t.gate.AccessLog.Add(&line)
}
