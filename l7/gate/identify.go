package gate

import (
	"math/rand/v2"

	"sluice/pkg/balance"
	"sluice/pkg/tracing"
)

// identify sets what is known of the request's origin.
func (t *Ticket) identify() {
	g, c, o, fields := t.g, t.client, &t.from, t.Req.Fields
	o.peer, o.trusted = c.Addr.Addr(), c.trusted
	o.secure, o.asked, o.port = c.secure, t.Req.Host, c.port
	o.find(fields, g.cfg.TrustedProxies)
	t.key = c.key
	if o.client != o.peer {
		t.key = balance.HashAddr(o.client)
	}
	o.forwarded = g.cfg.Forwarded
	if o.requestID = requestID(&t.Req, o.trusted); o.requestID == nil {
		o.requestID = appendUUID(t.ids[:0], t.start.wall, rand.Uint64(), rand.Uint64())
	}
	o.trace = traceOf(fields)
	switch tracer := g.cfg.Tracer; {
	case tracer != nil:
		t.beginSpan(tracer)
	case !o.trace.continued && g.cfg.TraceShare > 0:
		sampled := rand.Float64() < g.cfg.TraceShare
		o.trace.begun = appendTraceparent(t.ids[uuidLen:uuidLen], tracing.NewTraceID(), tracing.NewSpanID(), sampled)
		o.trace.id = traceID(o.trace.begun)
	}
}
