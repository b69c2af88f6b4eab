package gate

import (
	"time"

	"sluice/l7/http1"
	"sluice/pkg/attempt"
	"sluice/pkg/backend"
)

// Ticket is what is known and decided about one request, from its head to its
// record. A driver has one for each request, moves bytes, and tells it what
// happens; see the package's documentation for the order. A Ticket is used again
// for another request after End. It is not safe for concurrent use.
type Ticket struct {
	// Req is the head of the request; the driver parses it, from bytes that
	// stay.
	Req http1.Head
	// Resp is the head of the backend's response; the driver parses it.
	Resp http1.Response
	// Raw is the request as it came: its head, and its body after it if that is
	// small and whole. A driver that has no such bytes leaves it empty.
	Raw []byte

	g      *Gate
	client *Client
	start  moments

	path      http1.Path // of Req, judged
	from      origin
	ids       [uuidLen + traceparentLen]byte // memory for from.requestID and from.trace
	rewritten []byte                         // memory for the target as it is forwarded
	key       uint64                         // of the client, for strategies that hash

	route  *route
	svc    *Service // of the route, or its canary's
	user   string   // who it is, by auth
	limits Limits   // the listener's, and once it is judged its route's

	admission admission
	attempt   attempts
	queue     *attempt.Queue // the wait for a slot, or nil if there was none
	copying   *copying       // for a mirror, or nil
	outcome   outcome
	traffic   traffic
	noted     noted // what the access log has of it by choice
	call      call  // of gRPC

	whole   bool // all of the request has come
	closing bool // the response is the last one on its connection
	repin   bool // the client gets a cookie that means the backend which answers
}

// moments is when a request began, by all clocks.
type moments struct {
	mono int64
	time time.Time // with a monotonic reading
	wall time.Time // the time of day
}

// outcome is how a request ends.
type outcome struct {
	status     int // as seen by the client, 0 if there was none
	reason     Reason
	detail     string
	err        error
	location   []byte        // of a redirect
	retryAfter time.Duration // with an answer of ours
	challenge  string        // with an answer that asks for credentials
}

// traffic counts the bytes of bodies.
type traffic struct {
	in, countedIn   int64 // that went to the backend, and those of them that were counted
	out, countedOut int64 // the same for the client
}

// Decision is what a driver does next.
type Decision uint8

// The decisions.
const (
	// Answer: sluice answers itself, be it with a redirect; AppendAnswer says
	// what.
	Answer Decision = iota
	// Forward: the next step, towards a backend.
	Forward
	// Await: the same step again, when what it says has been awaited.
	Await
	// Retry: another attempt, which Pick begins.
	Retry
)

// Begin makes t that of a request of client that has begun at now, which is wall
// by the time of day. The heads are to be parsed within limits that are then
// set.
func (t *Ticket) Begin(g *Gate, client *Client, now Now, wall time.Time) {
	t.g, t.client = g, client
	t.start = moments{mono: now.Mono, time: now.Time, wall: wall}
	t.limits = g.limits
	t.Req.Limits = http1.Limits{Fields: g.cfg.MaxFields, Target: g.cfg.MaxTargetBytes}
	t.Resp.Limits = http1.Limits{Fields: max(g.cfg.MaxFields, http1.MaxFields)}
}

// Limits returns what the request has time for: the listener's limits, and once
// it is judged its route's.
func (t *Ticket) Limits() *Limits { return &t.limits }

// Began returns when the request began, as Now.Mono.
func (t *Ticket) Began() int64 { return t.start.mono }

// Arrived tells that all of the request has come.
func (t *Ticket) Arrived() { t.whole = true }

// Whole reports whether all of the request has come.
func (t *Ticket) Whole() bool { return t.whole }

// Service returns the service that the request is for, or nil.
func (t *Ticket) Service() *Service { return t.svc }

// Backend returns the backend whose slot the present attempt holds, or nil.
func (t *Ticket) Backend() *backend.Backend { return t.attempt.backend }

// Status returns the status that the client gets, or 0 if none was decided.
func (t *Ticket) Status() int { return t.outcome.status }

// Reason returns why the request was not served as it should have been, as far as
// is known.
func (t *Ticket) Reason() Reason { return t.outcome.reason }

// CloseAfter makes the response the last one on its connection.
func (t *Ticket) CloseAfter() { t.closing = true }

// Closes reports whether the response is the last one on its connection.
func (t *Ticket) Closes() bool { return t.closing }

// Refuse answers a request that is not forwarded to anybody. Without a detail
// the client is told what r says.
func (t *Ticket) Refuse(r Reason, detail string) Decision {
	if detail == "" {
		detail = r.explain()
	}
	t.closing = t.closing || r.closes()
	t.outcome.reason, t.outcome.detail = r, detail
	return Answer
}

// Malformed is Refuse for a head with a fault.
func (t *Ticket) Malformed(f http1.Fault, why string) Decision { return t.Refuse(reasonOf(f), why) }

// Fail ends the request for a reason other than the client's own wish. If the
// client has got a byte of the response it cannot be answered any more, and its
// connection is to end before the response does.
func (t *Ticket) Fail(r Reason, err error) Decision {
	t.outcome.reason, t.outcome.err = r, err
	t.outcome.detail = r.explain()
	if r == BadRequest && err != nil {
		t.outcome.detail = withoutPrefix(err)
	}
	return Answer
}

// Overdue is Fail for who may come again, a little later.
func (t *Ticket) Overdue(r Reason) Decision {
	t.outcome.retryAfter = overloadRetry
	return t.Fail(r, nil)
}

// CountIn counts bytes of the request's body that went to the backend.
func (t *Ticket) CountIn(n int) { t.traffic.in += int64(n) }

// CountOut counts bytes of the response's body that came for the client.
func (t *Ticket) CountOut(n int) { t.traffic.out += int64(n) }

// In returns how many bytes CountIn was told.
func (t *Ticket) In() int64 { return t.traffic.in }

// Count shows the metrics what was counted. A driver calls it when it has moved
// something: health takes for silence what is not counted.
func (t *Ticket) Count() {
	b := t.attempt.backend
	if b == nil {
		return
	}
	n := &t.traffic
	if in := n.in - n.countedIn; in > 0 {
		n.countedIn = n.in
		b.Counters.BytesIn.Add(uint64(in))
		t.svc.metrics.bytesIn.AddInt64(in)
	}
	if out := n.out - n.countedOut; out > 0 {
		n.countedOut = n.out
		b.Counters.BytesOut.Add(uint64(out))
		t.svc.metrics.bytesOut.AddInt64(out)
	}
}

// End closes the books on the request, whatever has come of it, and empties t
// for another one.
func (t *Ticket) End(now Now) {
	t.Count()
	t.leave(now)
	t.endCopy()
	t.LeaveQueue()
	t.record(now)
	if b := t.attempt.backend; b != nil {
		b.Release()
	}
	t.reset()
}

// reset empties t but keeps its memory, as far as that is worth it.
func (t *Ticket) reset() {
	const worthKeeping = 16 << 10
	raw, rewritten := t.Raw[:0], t.rewritten
	if cap(raw) > worthKeeping {
		raw = nil
	}
	if cap(rewritten) > worthKeeping {
		rewritten = nil
	}
	t.Req.Reset()
	t.Resp.Reset()
	forms := http1.Path{Mem: t.path.Mem[:0]}
	if cap(forms.Mem) > worthKeeping {
		forms = http1.Path{}
	}
	*t = Ticket{Raw: raw, Req: t.Req, Resp: t.Resp, rewritten: rewritten, path: forms, noted: t.noted.reset(), from: origin{hops: t.from.hops[:0]}}
}
