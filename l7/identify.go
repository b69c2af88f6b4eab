package l7

import (
	"math/rand/v2"

	"sluice/pkg/balance"
)

// identify sets what is known of the request's origin.
func (x *exchange) identify() {
	s, o, fields := x.sh.s, &x.from, x.req.Fields
	o.peer, o.trusted = x.c.client.Addr(), x.c.trusted
	o.secure, o.asked, o.port = x.c.secure, x.req.Host, x.c.port
	o.find(fields, s.cfg.TrustedProxies)
	x.key = x.c.key
	if o.client != o.peer {
		x.key = balance.HashAddr(o.client)
	}
	o.forwarded = s.cfg.Forwarded
	if o.requestID = requestID(&x.req, o.trusted); o.requestID == nil {
		o.requestID = appendUUID(x.ids[:0], x.sh.l.Wall(), rand.Uint64(), rand.Uint64())
	}
	if o.trace = traceOf(fields); !o.trace.continued && s.cfg.TraceShare > 0 {
		sampled := rand.Float64() < s.cfg.TraceShare
		o.trace.begun = appendTraceparent(x.ids[uuidLen:uuidLen], rand.Uint64(), rand.Uint64(), rand.Uint64(), sampled)
		o.trace.id = traceID(o.trace.begun)
	}
}
