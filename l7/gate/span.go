package gate

import (
	"bytes"
	"encoding/hex"
	"time"

	"sluice/l7/http1"
	"sluice/pkg/tracing"
)

// beginSpan decides whether the request is sampled, as its trace says, or by chance
// if it has none. Then the backend is told that its parent is the span of what is
// asked of it; a trace that is not sampled is passed on as it came.
func (t *Ticket) beginSpan(tracer *tracing.Tracer) {
	o := &t.from.trace
	sampled := o.sampled
	if !o.continued {
		sampled = tracer.Sample(t.g.cfg.TraceShare)
	} else if !sampled {
		return
	}
	upstream := tracing.NewSpanID()
	var trace tracing.TraceID
	if o.continued {
		_, _ = hex.Decode(trace[:], o.id) // it was checked
	} else {
		trace = tracing.NewTraceID()
	}
	if sampled {
		s := &tracing.Span{Trace: trace, ID: tracing.NewSpanID(), Start: t.start.wall}
		s.Upstream.ID = upstream
		if o.continued {
			_, _ = hex.Decode(s.Parent[:], o.parent)
			s.State = stateOf(t.Req.Fields, o.state)
		}
		o.span = s
	}
	o.begun = appendTraceparent(t.ids[uuidLen:uuidLen], trace, upstream, sampled)
	o.id = traceID(o.begun)
}

// stateOf returns a tracestate that is valid.
func stateOf(fields []http1.Field, valid bool) (state string) {
	if !valid {
		return ""
	}
	for i := range fields {
		if f := &fields[i]; f.Kind == http1.KindTracestate && len(f.Value) > 0 {
			if state != "" {
				state += ","
			}
			state += string(f.Value)
		}
	}
	return state
}

// noteRetry tells the span, if there is one, of an attempt that came to nothing.
func (t *Ticket) noteRetry(now Now) {
	s := t.from.trace.span
	if s == nil {
		return
	}
	r := tracing.Retry{At: t.wallAt(now), Backend: t.attempt.backend.Addr(), Reason: t.outcome.reason.String()}
	if err := t.outcome.err; err != nil {
		r.Err = err.Error()
	}
	s.Upstream.Retries = append(s.Upstream.Retries, r)
}

// maxSpanText is how many bytes of a text of the client's a span keeps.
const maxSpanText = 1 << 10

func spanText(b []byte) string { return string(b[:min(len(b), maxSpanText)]) }

// endSpan has the request's span told of.
func (t *Ticket) endSpan(now Now, status int) {
	s, o := t.from.trace.span, &t.outcome
	s.End = t.wallAt(now)
	s.Request = tracing.Request{
		Method: spanText(t.Req.Method), Host: spanText(t.Req.Host), Path: spanText(t.Req.Path), Query: spanText(bytes.TrimPrefix(t.Req.Query(), []byte("?"))),
		Protocol: t.protocol()[len("HTTP/"):], Secure: t.from.secure, UserAgent: spanText(http1.Value(t.Req.Fields, "user-agent")),
		ID: spanText(t.from.requestID), Client: t.client.Addr, Listener: t.g.name,
	}
	if t.from.client.IsValid() && t.from.client != t.from.peer {
		s.Request.For = t.from.client
	}
	s.Outcome = tracing.Outcome{
		Status: status, Reason: o.reason.String(), Failed: o.reason.ours(), In: t.traffic.in, Out: t.traffic.out,
		GRPC: -1, Upgraded: t.admission.upgraded,
	}
	if t.call.is {
		s.Outcome.GRPC = int(t.callStatus())
	}
	if o.err != nil {
		s.Outcome.Err = o.err.Error()
	}
	if t.route != nil {
		s.Request.Route = t.route.name
		s.Histograms = append(s.Histograms, routeSeconds(t.route.name))
	}
	if t.svc != nil {
		s.Request.Service = t.svc.name
	}
	if t.admission.admitted {
		s.Histograms = append(s.Histograms, requestSeconds(t.svc.name))
	}
	if b := t.lastBackend(); b != nil {
		up := &s.Upstream
		up.Start = t.start.wall.Add(time.Duration(max(0, t.attempt.picked-t.start.mono)))
		up.Backend, up.Protocol, up.Strategy = b.Addr(), b.Target().Protocol.String(), t.svc.balancer.Strategy()
	}
	t.g.cfg.Tracer.Add(s)
	t.from.trace.span = nil
}
