package gate

import (
	"fmt"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l7/http1"
	"sluice/pkg/backend"
	"sluice/pkg/limit"
)

// call is what is known of a request that is a call of gRPC.
type call struct {
	is     bool
	awaits bool     // its status comes behind the response's body
	status grpcCode // as the client sees it, or unsaid
}

// grpcCode is a status of gRPC.
type grpcCode int8

const (
	unsaid            grpcCode = -1
	grpcOK            grpcCode = 0
	grpcCancelled     grpcCode = 1
	grpcUnknown       grpcCode = 2
	deadlineExceeded  grpcCode = 4
	permissionDenied  grpcCode = 7
	resourceExhausted grpcCode = 8
	unimplemented     grpcCode = 12
	grpcInternal      grpcCode = 13
	unavailable       grpcCode = 14
	dataLoss          grpcCode = 15
	unauthenticated   grpcCode = 16
)

// grpcCodes are the names of all statuses, in their order.
var grpcCodes = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// faulty reports whether a status says that the backend failed: those that are
// 500, 503 or 504 in HTTP. What an application says of a request is no fault.
func (c grpcCode) faulty() bool {
	switch c {
	case grpcUnknown, deadlineExceeded, grpcInternal, unavailable, dataLoss:
		return true
	}
	return false
}

// grpcOf returns what a caller of gRPC is told of a request that ends by r.
func (r Reason) grpcOf() grpcCode {
	switch r {
	case None:
		return grpcUnknown
	case NoRoute, BadMethod, BadVersion:
		return unimplemented
	case RateLimited, BodyTooLarge, HeadTooLarge, TargetTooLong, Overloaded, NoSlot:
		return resourceExhausted
	case ResponseTimeout, TotalTimeout, RequestTimeout, BackendStalled, ClientTooSlow:
		return deadlineExceeded
	case Unauthorized:
		return unauthenticated
	case Forbidden:
		return permissionDenied
	case BadRequest, BadExpectation, BadResponse, InternalError, LoopDetected:
		return grpcInternal
	case ClientAbort, ClientStalled:
		return grpcCancelled
	case Redirected, HTTPSRedirect:
		return grpcUnknown
	}
	return unavailable
}

// needsHTTP2 is what a caller of gRPC is told that does not speak it.
const needsHTTP2 = "gRPC needs HTTP/2, and this connection speaks HTTP/1.1: with TLS offer h2 (ALPN), without it the listener needs h2c=true"

// isCall reports whether a request is one of gRPC: but not of gRPC-Web, which is
// HTTP to everybody.
func isCall(h *http1.Head) bool {
	const name = "application/grpc"
	v := http1.Value(h.Fields, "content-type")
	if len(v) < len(name) || !http1.EqualFold(v[:len(name)], name) {
		return false
	}
	return len(v) == len(name) || v[len(name)] == '+' || v[len(name)] == ';' || v[len(name)] == ' '
}

// limitCall sets the limits of a call. Its caller's deadline is the only one, if
// it has one; a stream without one may be quiet for as long as a connection that
// has switched protocols.
func (t *Ticket) limitCall() {
	l := &t.limits
	l.MinRate = -1 // a stream is quiet when there is nothing to say
	d, ok := grpcTimeout(http1.Value(t.Req.Fields, "grpc-timeout"))
	if !ok {
		l.Body = max(l.Body, l.UpgradeIdle)
		return
	}
	l.Total = min(l.Total, d)
	l.Response, l.Body = max(l.Response, d), max(l.Body, d)
}

// grpcTimeout reads the time that a caller has, of at most 8 digits and a unit.
func grpcTimeout(b []byte) (time.Duration, bool) {
	if len(b) < 2 || len(b) > 9 {
		return 0, false
	}
	n, ok := http1.ParseLength(b[:len(b)-1])
	unit := map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': 1}[b[len(b)-1]]
	if !ok || unit == 0 {
		return 0, false
	}
	if n > int64(Forever/unit) {
		return Forever, true
	}
	return max(time.Duration(n)*unit, time.Millisecond), true
}

// statusIn returns the status of gRPC in a field's value.
func statusIn(v []byte) grpcCode {
	n, ok := http1.ParseLength(v)
	switch {
	case len(v) == 0:
		return unsaid
	case !ok || n >= int64(len(grpcCodes)):
		return grpcUnknown
	}
	return grpcCode(n)
}

// respondToCall is what Respond does with the response to a call: its status is in
// its head, or comes behind its body.
func (t *Ticket) respondToCall(now Now) {
	c := &t.call
	c.status = statusIn(http1.Value(t.Resp.Fields, "grpc-status"))
	switch {
	case c.status.faulty(), c.status == unsaid && t.Resp.Status != 200:
		t.observeFailure(now)
	case c.status == unsaid && t.Resp.HasBody(t.Req.Method):
		c.awaits = true
		t.attempt.backend.Observe(t.latency(now), backend.Well) // so far
	default:
		t.observeSuccess(now)
	}
}

// Declined decides what follows a response to a call, which has come: Retry, if it
// says a status alone that the operator has named, or Forward.
func (t *Ticket) Declined(now Now) Decision {
	f := &t.attempt.failure
	if !t.call.is || t.limits.retryOn == 0 || t.Resp.Status != 200 || t.Resp.Length != 0 {
		return Forward
	}
	c := statusIn(http1.Value(t.Resp.Fields, "grpc-status"))
	switch {
	case c <= grpcOK, t.limits.retryOn>>c&1 == 0, !f.replayable, t.spent(), !t.svc.balancer.HasUntried(t.triedToo()):
		return Forward
	case !t.svc.budget.Retry(now.Time):
		t.svc.metrics.retriesDenied.Inc()
		return Forward
	}
	t.observeFailure(now)
	t.giveBack(now, another)
	return Retry
}

// Trailed tells that all of the response has come, with the lines of its trailer
// section.
func (t *Ticket) Trailed(trailer []byte, now Now) {
	c := &t.call
	if !c.awaits {
		return
	}
	c.awaits = false
	http1.EachLine(trailer, func(f *http1.Field) {
		if http1.EqualFold(f.Name, "grpc-status") {
			c.status = statusIn(f.Value)
		}
	})
	b := t.attempt.backend
	if c.status.faulty() || c.status == unsaid {
		b.Observe(0, backend.Badly)
		b.ReportFault(t.witness())
		t.settle(now, limit.Failure)
		return
	}
	b.ReportServed(t.witness())
	t.settle(now, limit.Success)
}

// callStatus returns what the caller was told in the end.
func (t *Ticket) callStatus() grpcCode {
	switch c := &t.call; {
	case t.outcome.reason != None && (c.status == unsaid || c.awaits):
		return t.outcome.reason.grpcOf()
	case c.status == unsaid && t.outcome.status != 200:
		return unavailable
	case c.status == unsaid:
		return grpcUnknown
	default:
		return c.status
	}
}

// Breaks returns what a caller of gRPC is told whose response breaks off: a
// status, and why. ok says whether the request is a call.
func (t *Ticket) Breaks() (status int, why string, ok bool) {
	r := t.outcome.reason
	switch why = r.explain(); r {
	case TruncatedResponse, BackendReset:
		why = "the backend broke the call off"
	case TotalTimeout:
		why = "the call took longer than it may"
	case BackendStalled:
		why = "the backend has said nothing for too long"
	}
	return int(r.grpcOf()), why, t.call.is
}

// callMetrics count the calls for a service, by status. They are there once there
// is one.
type callMetrics struct {
	set     *metrics.Set
	service string
	once    sync.Once
	counts  [len(grpcCodes)]*metrics.Counter
}

func (m *callMetrics) count(c grpcCode) {
	m.once.Do(func() {
		for i, name := range grpcCodes {
			m.counts[i] = m.set.GetOrCreateCounter(fmt.Sprintf("sluice_l7_grpc_calls_total{service=%q,code=%q}", m.service, name))
		}
	})
	m.counts[c].Inc()
}
