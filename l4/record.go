package l4

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/accesslog"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/relay"
	"sluice/pkg/throttle"
)

// Reason says why a connection ended. The set is closed: it is a metric
// label.
type Reason uint8

// The first cause counts; see relay.End for the order among the ends of an
// established pair.
const (
	ClientEOF        Reason = iota // the client closed first
	BackendEOF                     // the backend closed first
	ClientReset                    // the client's connection broke
	BackendReset                   // the backend's connection broke
	IdleTimeout                    // no byte moved for the idle timeout
	DialFailed                     // no backend that was tried could be connected to
	NoBackend                      // no backend was eligible
	Limit                          // no backend had a slot free, and too many waited or for too long
	BackendDrained                 // the backend had been taken out, and the time to leave it was over
	BackendUnhealthy               // the backend's checks failed, and close-on-unhealthy is set
	Draining                       // cut because sluice was stopping
	InternalError                  // a defect in sluice
	reasons
)

// String returns the reason as metrics and logs show it.
func (r Reason) String() string {
	switch r {
	case ClientEOF:
		return "client_eof"
	case BackendEOF:
		return "backend_eof"
	case ClientReset:
		return "client_reset"
	case BackendReset:
		return "backend_reset"
	case IdleTimeout:
		return "idle_timeout"
	case DialFailed:
		return "dial_failed"
	case NoBackend:
		return "no_backend"
	case Limit:
		return "limit"
	case BackendDrained:
		return "backend_drained"
	case BackendUnhealthy:
		return "backend_unhealthy"
	case Draining:
		return "draining"
	case InternalError:
		return "internal_error"
	}
	return fmt.Sprintf("reason(%d)", r)
}

func reasonOf(e relay.End) Reason {
	switch e {
	case relay.ClientEOF:
		return ClientEOF
	case relay.BackendEOF:
		return BackendEOF
	case relay.ClientReset:
		return ClientReset
	case relay.BackendReset:
		return BackendReset
	case relay.IdleTimeout:
		return IdleTimeout
	case relay.Closed:
		return Draining // nothing else closes a connection that is relayed
	}
	panic("BUG: unknown relay end " + strconv.Itoa(int(e)))
}

// unserved returns why a connection found no backend.
func (rec *record) unserved() Reason {
	switch {
	case rec.tries.tried.Len() > 0:
		return DialFailed
	case rec.tries.full:
		return Limit
	}
	return NoBackend
}

// record is what is known of a connection when it ends. Established ones are
// many and live long, so it is small.
type record struct {
	client  netip.AddrPort
	connect time.Duration    // of the last attempt
	tries   *tries           // nil once established, if the first one succeeded
	backend *backend.Backend // nil if none was reached
	in, out int64
	reason  Reason
}

// tries is how the attempts to connect went.
type tries struct {
	tried    balance.Tried    // begun with, successful or not
	refused  bool             // the next one makes up for one that cost nothing
	full     bool             // of those not tried, none had a slot free
	failures int              // of them
	failed   *backend.Backend // the last one that could not be connected to
	err      error            // why
	waiter   *backend.Waiter  // nil if it never waited for a slot

	// Of the copy driver:
	woken     chan struct{}
	waitUntil time.Time
}

// plain reports whether there is nothing to tell of t: one try, which
// succeeded.
func (t *tries) plain() bool { return t.tried.Len() == 1 && t.err == nil }

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

// judge tells the backend how it fared with an established connection. If
// stalled, sluice did not run for a while in its life, and the backend may have
// given up for that.
func (r *record) judge(duration time.Duration, stalled bool) {
	if r.backend == nil {
		return
	}
	byBackend := r.reason == BackendReset || r.reason == BackendEOF
	switch w := (backend.Witness{Client: r.client.Addr(), Unasked: r.in == 0}); {
	case r.out > 0, byBackend && duration >= early && !stalled:
		r.backend.ReportServed(w)
	case byBackend && !stalled:
		// It may be the client's doing, so that a check is to say more.
		r.backend.Observe(0, false)
		r.backend.ReportFault(w)
		r.backend.Suspect()
	}
}

// record counts and logs the outcome of a connection of the given duration; see
// judge for stalled.
func (s *Server) record(svc *service, r *record, duration time.Duration, stalled bool) {
	svc.metrics.ended[r.reason].Inc()
	svc.metrics.seconds.Update(duration.Seconds())
	r.judge(duration, stalled)

	unserved := r.reason == DialFailed || r.reason == NoBackend || r.reason == Limit
	if s.cfg.AccessLog.On() {
		s.logAccess(svc, r, duration, unserved)
		return
	}
	if !unserved {
		return
	}
	ok, more := svc.metrics.unserved.Allow(time.Now())
	if !ok {
		return
	}
	attrs := []any{
		"listener", "l4",
		"service", svc.name,
		"client", r.client.String(),
		"reason", r.reason.String(),
		"duration", duration,
		"more", more,
	}
	if t := r.tries; t.err != nil {
		attrs = append(attrs, "failed_backend", t.failed.Addr(), "err", t.err)
	}
	s.log.Warn("connection ended", attrs...)
}

func (s *Server) logAccess(svc *service, r *record, duration time.Duration, unserved bool) {
	line := accesslog.Record{
		Message: "connection ended", Listener: "l4", Time: time.Now(), Client: r.client,
		In: r.in, Out: r.out, Duration: duration, Connect: r.connect,
		Service: svc.name, Strategy: svc.Balancer.Strategy(),
		Reason: r.reason.String(), Failed: unserved,
	}
	if r.backend != nil {
		line.Backend = r.backend.Addr()
	}
	if t := r.tries; t != nil {
		line.Retries = max(0, t.tried.Len()-1)
		if t.err != nil {
			line.Err = fmt.Errorf("backend %s: %w", t.failed.Addr(), t.err)
		}
	}
	s.cfg.AccessLog.Add(&line)
}
