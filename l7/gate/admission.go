package gate

import (
	"cmp"
	"time"

	"sluice/pkg/limit"
)

// admission is a request's place among those that its service has in flight.
type admission struct {
	rules    *rules // of its service, when it was judged
	begun    int64  // when it was admitted, or its body had gone up, as Now.Mono
	settled  int64  // when the last outcome of an attempt was known
	standing standing
	admitted bool // it has a service and is counted there
	uploaded bool // begun is when a body that was streamed had gone up
	upgraded bool // it has become a connection in its own right
}

// standing is whether a request counts among those that the service's limit bounds.
type standing uint8

const (
	outside standing = iota
	joining          // it shall be inside once its body has gone up
	inside
)

// Admit hands the request to its service, if that has room for one more in
// flight. What has come of the body is next for Copy.
func (t *Ticket) Admit(now Now) Decision {
	t.admission.admitted = true
	t.svc.metrics.begin()
	if m := t.svc.Pool().Maintenance(); m != nil {
		d := t.Fail(Maintenance, nil)
		t.outcome.detail = cmp.Or(m.Text, t.outcome.detail)
		return d
	}
	if !t.enter(now) {
		return t.Overdue(Overloaded)
	}
	t.svc.budget.Attempt()
	t.attempt.failure = failure{replayable: true, idempotent: t.Req.Idempotent()}
	t.admission.begun = now.Mono
	t.beginCopy()
	return Forward
}

// enter counts the request among those in flight, and reports false if there are
// too many.
func (t *Ticket) enter(now Now) bool {
	c := t.admission.rules.concurrency
	if c == nil {
		return true
	}
	if t.admission.begun = now.Mono; !c.Enter() {
		return false
	}
	t.admission.standing = inside
	if !t.whole && c.Adaptive() {
		t.stepOut(now)
		t.admission.standing = joining
	}
	return true
}

// Uploaded tells that the whole request has gone to the backend, or as much of it
// as that takes: from now on the service alone is waited for.
func (t *Ticket) Uploaded(now Now) {
	a := &t.admission
	if a.standing != joining {
		return
	}
	a.standing = inside
	t.admission.rules.concurrency.Join()
	a.begun, a.uploaded = now.Mono, true
}

// answering is told that the response has begun. A limit that follows the
// latency counts a request no more then: how long the rest takes is up to the
// client's line, or to the nature of the thing, as with server-sent events. A
// fixed one counts it until its end.
func (t *Ticket) answering(now Now) {
	switch a := &t.admission; {
	case a.standing == joining:
		a.standing = outside
	case a.standing == inside && t.admission.rules.concurrency.Adaptive():
		t.stepOut(now)
	}
}

// switched is told that the request became a connection in its own right, which
// is none of those that are limited as requests.
func (t *Ticket) switched(now Now) {
	switch a := &t.admission; a.standing {
	case joining:
		a.standing = outside
	case inside:
		t.stepOut(now)
	}
	t.admission.upgraded = true
	t.svc.metrics.upgraded.Inc()
}

// leave gives back what Admit and Pick have taken, but for the backend's slot.
func (t *Ticket) leave(now Now) {
	t.settle(now, limit.NoOutcome)
	if t.admission.standing == inside {
		t.stepOut(now)
	}
	if t.admission.upgraded {
		t.svc.metrics.upgraded.Dec()
	}
}

// stepOut ends the request's count among those in flight.
func (t *Ticket) stepOut(now Now) {
	a := &t.admission
	a.standing = outside
	latency := time.Duration(0)
	switch {
	case (!t.attempt.replayable || t.attempt.streamed) && !a.uploaded: // the time that a body took is the client's doing as well
	case t.attempt.responded && t.outcome.status < 500, t.outcome.reason == ResponseTimeout:
		latency = time.Duration(a.settled - a.begun)
	}
	t.admission.rules.concurrency.Leave(now.Time.Add(-time.Duration(now.Mono-a.begun)), latency, now.Time)
}
