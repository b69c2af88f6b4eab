package gate

import (
	"errors"
	"fmt"
	"net"
	"time"

	"sluice/l7/http1"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/limit"
)

// attempts is the present attempt at getting a response, and what is known of
// those before it.
type attempts struct {
	failure // what it would be if it came to nothing now

	backend   *backend.Backend // whose slot is held, or nil
	stale     *backend.Backend // whose idle connection had died
	last      *backend.Backend // the last one that failed
	tried     balance.Tried
	trail     trail // of those that failed
	retries   int
	permit    limit.Permit  // of backend's breaker, until its outcome is known
	picked    int64         // when the first attempt began
	sent      int64         // when the head went out
	connect   time.Duration // what the last connect took
	reply     time.Duration // from sent to the beginning of the response
	responded bool          // the head of a response has come, and is final
	streamed  bool          // its body came in parts, be they kept
}

var errWentDown = errors.New("l7: health found it down before it answered")

// Fresh reports whether no attempt was made, or waited for, before this one.
func (t *Ticket) Fresh() bool { return t.attempt.retries == 0 && t.queue == nil }

// MayReuse reports whether the attempt may be made on a connection that was
// idle. What is sent again goes over a new one: another idle one may have died
// of the same cause.
func (t *Ticket) MayReuse() bool {
	return t.attempt.replays == 0 && t.admission.rules.reuse.MayReuse(t.client.Served)
}

// Repeatable reports whether the request can be sent again should a connection
// have died. One that cannot is not risked on an idle one that was not looked at.
func (t *Ticket) Repeatable() bool { return t.attempt.idempotent && t.whole }

// Reused tells that there is a connection to the backend, which was idle.
func (t *Ticket) Reused() { t.attempt.reach, t.attempt.reused = connected, true }

// Connected tells that a connection to the backend was made, and how long that
// took.
func (t *Ticket) Connected(took time.Duration) {
	t.attempt.reach = connected
	t.attempt.connect = took
	t.svc.metrics.connected(t.attempt.backend, took)
}

// Sent tells that the head of the request goes out now.
func (t *Ticket) Sent(now Now) { t.attempt.sent = now.Mono }

// Wrote tells that the backend's system has taken some of the request, all of
// which is still at hand.
func (t *Ticket) Wrote() { t.attempt.reach = max(t.attempt.reach, written) }

// WroteHead is Wrote for what has the head, and of the body what had come with
// it: if there is more to come, that will not be at hand.
func (t *Ticket) WroteHead() {
	t.Wrote()
	t.attempt.replayable = t.whole
}

// WroteBody is Wrote for a part of the body that is not kept.
func (t *Ticket) WroteBody() {
	t.Wrote()
	t.attempt.replayable = false
}

// KeepsBody tells, after WroteHead, that what is written of the body is kept,
// until WroteBody says otherwise.
func (t *Ticket) KeepsBody() {
	t.attempt.replayable, t.attempt.streamed = true, true
}

// Unseen tells that nothing of the request had come to the backend when it ended
// its connection, which had been idle.
func (t *Ticket) Unseen() {
	if f := &t.attempt.failure; f.reused && f.replayable && f.reach == written {
		f.reach = connected
	}
}

// Unprocessed tells that the backend has said that it did nothing for the request
// (RFC 9113 8.7), so that it may be sent again if all of it is at hand. The
// backend is not to blame.
func (t *Ticket) Unprocessed() {
	if f := &t.attempt.failure; f.replayable && f.reach <= written {
		f.reach, f.reused = connected, true
	}
}

// Saw tells that some byte of a response has come.
func (t *Ticket) Saw() { t.attempt.reach = seen }

// NoTimeToConnect tells that there is no time for another attempt to connect, if
// the present one comes to nothing.
func (t *Ticket) NoTimeToConnect() { t.attempt.connects = balance.MaxTries }

// ConnectFailed decides what follows an attempt to connect that began at began,
// as Now.Mono, and failed: Retry or Answer.
func (t *Ticket) ConnectFailed(now Now, began int64, err error) Decision {
	f := &t.attempt.failure
	if t.limits.lenient && backend.Refused(err, time.Duration(now.Mono-began)) && f.refusals < mostRefusals && t.svc.balancer.HasHope(t.triedToo()) {
		f.cause = refused
		f.refusals++
	} else {
		f.connects++
	}
	r := ConnectFailed
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		r = ConnectTimeout
	}
	paused := r == ConnectTimeout && now.stalledSince(began) // which says nothing about the backend
	if !backend.OwnFault(err) && !paused {
		t.attempt.backend.ReportConnectFailure()
		t.settle(now, limit.Failure)
	}
	return t.again(now, r, fmt.Errorf("cannot connect to backend %q: %w", t.attempt.backend.Addr(), err))
}

// AttemptFailed decides what follows an attempt that had a connection and brought
// no response: Retry or Answer. If the backend was given the time that it has, r
// is ResponseTimeout.
func (t *Ticket) AttemptFailed(now Now, r Reason, err error) Decision {
	f := &t.attempt.failure
	if r == ResponseTimeout {
		f.cause = overdue
	}
	switch {
	case errors.Is(err, http1.ErrOwnLimit): // nobody's fault
		t.settle(now, limit.NoOutcome)
	case now.stalledSince(t.attempt.sent): // it may have given us up, or seem slow, because we did not run
	case !f.reused || f.cause == overdue || f.reach == seen: // of an idle connection that had died, the backend is not to blame
		t.observeFailure(now)
		t.attempt.backend.Suspect()
	}
	return t.again(now, r, fmt.Errorf("cannot get a response from backend %q: %w", t.attempt.backend.Addr(), err))
}

// Rescue decides whether another attempt is made beside the one that waits for a
// backend which is down, as after a failure and by the same rules: Retry, or
// Await if that may not be, or there is nobody else. It goes on waiting then: the
// backend may answer yet. The request must not be half sent. After Retry the
// driver lets the connection go and tells Rescued.
func (t *Ticket) Rescue(now Now) Decision {
	f := t.attempt.failure
	f.spent = t.spent()
	if f.reach == unconnected {
		f.connects++
	}
	if retry(f) == giveUp || !t.svc.balancer.HasUntried(t.triedToo()) || !t.free() && !t.svc.budget.Retry(now.Time) {
		return Await
	}
	return Retry
}

// Rescued ends the present attempt, as another one follows it; see Rescue.
func (t *Ticket) Rescued(now Now) {
	f := &t.attempt.failure
	v := retry(*f)
	if f.reach == unconnected {
		f.connects++
	}
	t.outcome.reason, t.outcome.err = BackendReset, errWentDown
	t.giveBack(now, v)
}

// again decides whether there is another attempt after one that failed.
func (t *Ticket) again(now Now, r Reason, err error) Decision {
	t.outcome.reason, t.outcome.err = r, err
	t.attempt.spent = t.spent()
	v := retry(t.attempt.failure)
	if v != giveUp && !t.free() && !t.svc.budget.Retry(now.Time) {
		t.svc.metrics.retriesDenied.Inc()
		v = giveUp
	}
	if v == giveUp {
		return t.Fail(r, err)
	}
	t.giveBack(now, v)
	return Retry
}

// spent reports whether there were as many attempts as there may be.
func (t *Ticket) spent() bool { return t.attempt.retries-t.attempt.refusals >= t.limits.retries }

// free reports whether the next attempt costs the retry budget nothing: nobody
// was connected to, and that was known at once, or there is somebody who is known
// to be good.
func (t *Ticket) free() bool {
	f := &t.attempt.failure
	return f.reach == unconnected && (f.cause == refused || t.svc.balancer.HasGood(balance.Request{Tried: t.triedToo(), Failed: true}))
}

// triedToo returns the backends that were tried, the present one included.
func (t *Ticket) triedToo() balance.Tried {
	tried := t.attempt.tried
	tried.Add(t.attempt.backend)
	return tried
}

// giveBack ends the present attempt, as another one follows it.
func (t *Ticket) giveBack(now Now, v verdict) {
	a := &t.attempt
	t.noteRetry(now)
	t.Resp.Reset()
	a.tried.Add(a.backend)
	a.trail.add(step{a.backend.Addr(), t.outcome.reason, time.Duration(now.Mono - t.start.mono)})
	if a.reach != unconnected {
		a.replays++
		if a.reused {
			a.idled++
		}
	}
	if v == anotherOrSame {
		a.stale = a.backend
	}
	t.settle(now, limit.NoOutcome)
	a.backend.Release()
	a.last, a.backend = a.backend, nil
	a.retries++
}

// observeSuccess tells the backend and its balancer that the attempt went well.
func (t *Ticket) observeSuccess(now Now) {
	b := t.attempt.backend
	b.Observe(t.latency(now), backend.Well)
	b.ReportServed(t.witness())
	t.settle(now, limit.Success)
}

// observeFailure tells the backend and its balancer that the attempt did not go
// well, and that this is the backend's fault.
func (t *Ticket) observeFailure(now Now) {
	b := t.attempt.backend
	b.Observe(t.latency(now), backend.Badly)
	b.ReportFault(t.witness())
	t.settle(now, limit.Failure)
}

// latency notes how long the backend took to answer, and returns what of that it
// is held to. The time to answer a body that streams is the client's doing as well,
// and is left out.
func (t *Ticket) latency(now Now) time.Duration {
	a := &t.attempt
	if a.reply = time.Duration(now.Mono - a.sent); !a.replayable || a.streamed {
		return 0
	}
	return a.reply
}

// witness says of whom and of what an outcome tells.
func (t *Ticket) witness() backend.Witness {
	w := backend.Witness{Client: t.from.client}
	if t.whole && t.traffic.in == 0 { // all of the request is in Raw
		w.Request = t.Raw
	}
	return w
}

// settle tells the backend's breaker how the attempt went.
func (t *Ticket) settle(now Now, o limit.Outcome) {
	if o != limit.NoOutcome {
		t.admission.settled = now.Mono
	}
	if t.attempt.permit != 0 {
		t.admission.rules.breakers.done(t.attempt.backend, t.attempt.permit, o, now.Time)
		t.attempt.permit = 0
	}
}
