package gate

import (
	"time"

	"sluice/l7/http1"
	"sluice/pkg/accesslog"
	"sluice/pkg/backend"
)

// record counts and logs the outcome of a request: the one place where counters
// of requests move.
func (t *Ticket) record(now Now) {
	g, o := t.g, &t.outcome
	admitted := t.admission.admitted
	duration := now.Time.Sub(t.start.time)
	status := o.status
	if status == 0 {
		status = o.reason.status()
	}
	t.remember(status, duration)
	if t.route != nil {
		t.route.requests[statusClass(status)].Inc()
		t.route.seconds.Update(duration.Seconds())
	}
	if !admitted {
		if c := g.rejected[o.reason]; c != nil {
			c.Inc()
		}
	} else {
		m := t.svc.metrics
		m.active.Dec()
		m.seconds.Update(duration.Seconds())
		m.requests[statusClass(status)].Inc()
		if t.call.is {
			m.calls.count(t.callStatus())
		}
		m.retries.Add(t.attempt.retries)
		if c := m.failed[o.reason]; c != nil {
			c.Inc()
		}
	}
	if t.from.trace.span != nil {
		t.endSpan(now, status)
	}
	if g.cfg.AccessLog.On() {
		t.logAccess(now, status, duration)
		return
	}
	if !admitted && o.reason.setting() != "" {
		if ok, more := g.refusals.Allow(now.Time); ok {
			g.cfg.Logger.Warn("refusing requests beyond a limit", "listener", "l7", "name", g.name, "reason", o.reason.String(),
				"setting", o.reason.setting(), "client", t.from.client, "more", more)
		}
		return
	}
	if !admitted && o.reason.malformed() {
		if ok, more := g.malformed.Allow(now.Time); ok {
			g.cfg.Logger.Info("refusing malformed requests", "listener", "l7", "name", g.name, "reason", o.reason.String(),
				"detail", o.detail, "client", t.client.Addr.Addr(), "more", more)
		}
		return
	}
	// A failure is ours to tell of if the client was not the one who failed.
	if !admitted || !o.reason.ours() {
		return
	}
	if ok, more := t.svc.metrics.failures.Allow(now.Time); ok {
		t.logFailure(status, duration, more)
	}
}

func (t *Ticket) logAccess(now Now, status int, duration time.Duration) {
	if t.noted.record == nil {
		t.noted.record = new(accesslog.Record)
	}
	a, o, r := &t.attempt, &t.outcome, t.noted.record
	*r = accesslog.Record{
		Message: "request", Listener: "l7", Time: t.wallAt(now),
		Client: t.client.Addr, Method: t.Req.Method, Host: t.Req.Host, Path: t.Req.Path, Status: status,
		Protocol: t.protocol(), RequestID: t.from.requestID, TraceID: t.from.trace.id,
		In: t.traffic.in, Out: t.traffic.out, Duration: duration, Connect: a.connect, Response: a.reply,
		Retries: a.retries, Reason: o.reason.String(), Failed: o.reason.ours(), Err: o.err, Detail: t.explained(),
	}
	if t.from.client.IsValid() && t.from.client != t.from.peer {
		r.For = t.from.client
	}
	if t.admission.admitted {
		r.Service = t.svc.name
		r.Strategy = t.svc.balancer.Strategy()
		r.Wait = time.Duration(max(0, a.picked-t.start.mono))
	}
	if b := t.lastBackend(); b != nil {
		r.Backend = b.Addr()
	}
	t.noteFields(r)
	t.g.cfg.AccessLog.Add(r)
}

// protocol returns what the client speaks.
func (t *Ticket) protocol() string {
	switch {
	case t.client.HTTP2:
		return "HTTP/2.0"
	case t.Req.Version == http1.HTTP10:
		return "HTTP/1.0"
	}
	return "HTTP/1.1"
}

// explained returns what was said to the client beyond what its reason says.
func (t *Ticket) explained() string {
	o := &t.outcome
	if o.detail == o.reason.explain() || o.err != nil {
		return ""
	}
	return o.detail
}

func (t *Ticket) logFailure(status int, duration time.Duration, more uint64) {
	o := &t.outcome
	attrs := []any{
		"listener", "l7", "client", t.client.Addr.String(), "method", string(t.Req.Method), "host", string(t.Req.Host), "path", string(t.Req.Path),
		"status", status, "duration", duration, "service", t.svc.name, "retries", t.attempt.retries,
		"request_id", string(t.from.requestID), "reason", o.reason.String(),
	}
	if b := t.lastBackend(); b != nil {
		attrs = append(attrs, "backend", b.Addr())
	}
	if o.err != nil {
		attrs = append(attrs, "err", o.err)
	}
	if setting := o.reason.setting(); setting != "" {
		attrs = append(attrs, "setting", setting)
	}
	if more > 0 {
		attrs = append(attrs, "more", more)
	}
	t.g.cfg.Logger.Warn("request failed", attrs...)
}

// lastBackend returns the backend that served the request, or else the last
// one that was tried, or nil.
func (t *Ticket) lastBackend() *backend.Backend {
	if t.attempt.backend != nil {
		return t.attempt.backend
	}
	return t.attempt.last
}
