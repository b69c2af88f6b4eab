package l7

import (
	"errors"
	"fmt"
	"net"
	"time"

	"sluice/l7/http1"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/limit"
	"sluice/pkg/reactor"
)

const (
	// share is how many bytes a direction moves before other connections get
	// their turn.
	share = 4 * reactor.ScratchSize
	// halfScratch is where in the scratch something is read that something
	// else, before it, is made of.
	halfScratch = reactor.ScratchSize / 2
)

// Why a client is not waited for any more.
var (
	errHalfClosed     = errors.New("l7: the client has ended its direction")
	errClientStalled  = errors.New("l7: the client takes nothing of the response")
	errBackendStalled = errors.New("l7: the backend sends nothing of the response")
	errRequestStalled = errors.New("l7: the client sends nothing of the request")
	errNoResponse     = errors.New("l7: no response in time")
)

// admit hands the request to its service.
func (x *exchange) admit() {
	x.admitted = true
	svc := x.svc
	svc.metrics.begin()
	if !x.enter() {
		return
	}
	svc.budget.Attempt()
	x.attempt = failure{replayable: true, idempotent: x.req.Idempotent()}
	x.begun = x.sh.l.Now()
	x.mirrorRequest()
	x.try()
}

// try makes an attempt at getting a response, from the backend that the
// strategy picks.
func (x *exchange) try() {
	if x.goOn() {
		return
	}
	b, why := (*backend.Backend)(nil), NoBackend
	if !x.mustWait() {
		b, why = x.pick()
	}
	switch {
	case b != nil:
		x.leaveQueue()
	case why == NoBackend && x.stale == nil && x.enqueue():
		x.arm()
		x.watchIfWhole()
		return
	case why == NoBackend && x.stale == nil && x.svc.balancer.HasUntried(x.tried):
		why, x.retryAfter = NoSlot, overloadRetry
	}
	if b == nil && x.stale != nil {
		b = x.stale
		b.Acquire()
	}
	if b == nil {
		if x.last == nil {
			x.reason = why
		}
		if x.reason == BreakerOpen {
			x.retryAfter = max(overloadRetry, x.svc.policy.breakers.opensIn(x.svc.balancer.Pool().Snapshot(), x.sh.l.Time()))
		}
		x.fail(x.reason, x.err)
		return
	}
	x.stale, x.backend = nil, b
	if x.picked == 0 {
		x.picked = x.sh.l.Now()
	}
	f := &x.attempt
	f.connected, f.reused, f.timeout, f.refused, f.written, f.answered = false, false, false, false, false, false
	// What is sent again goes over a new connection: another idle one may have
	// died of the same cause. What cannot be sent again is not risked.
	if f.replays == 0 && x.mayReuse() {
		if up := x.sh.take(b, !(f.idempotent && x.inDone)); up != nil {
			up.x, x.up = x, up
			x.took()
			return
		}
	}
	if x.connectBy == 0 {
		x.connectBy = x.sh.l.Now() + int64(x.waits.deadline)
	}
	if err := x.sh.dial(x, b); err != nil {
		x.connectFailed(nil, err)
		return
	}
	x.arm()
	x.watchIfWhole()
}

// mayReuse reports whether the request may be sent on a connection that was
// idle.
func (x *exchange) mayReuse() bool { return x.svc.reuse.mayReuse(!x.c.served) }

// took goes on with a connection that was idle.
func (x *exchange) took() {
	x.attempt.connected, x.attempt.reused, x.connectBy = true, true, 0
	x.send()
}

// connected goes on with a connection that was made.
func (x *exchange) connected(up *upstream) {
	x.attempt.connected, x.connectBy = true, 0
	x.connect = time.Duration(x.sh.l.Now() - up.begun)
	x.svc.metrics.connected(x.backend, x.connect)
	x.send()
}

// connectFailed goes on after an attempt to connect failed. up is nil if that
// was known at once.
func (x *exchange) connectFailed(up *upstream, err error) {
	after := time.Duration(0)
	if up != nil {
		after = time.Duration(x.sh.l.Now() - up.begun)
		x.dropUpstream(false)
	}
	if x.waits.lenient && backend.Refused(err, after) && x.attempt.refusals < mostRefusals && x.svc.balancer.HasHope(x.triedToo()) {
		x.attempt.refused = true
		x.attempt.refusals++
	} else {
		x.attempt.connects++
	}
	r := ConnectFailed
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		r, x.attempt.timeout = ConnectTimeout, true
	}
	paused := up != nil && r == ConnectTimeout && x.sh.l.StalledSince(up.begun) // which says nothing about the backend
	if !backend.OwnFault(err) && !paused {
		x.backend.ReportConnectFailure()
		x.settle(limit.Failure)
	}
	x.again(r, fmt.Errorf("cannot connect to backend %q: %w", x.backend.Addr(), err))
}

// attemptFailed goes on after an attempt that had a connection brought no
// response.
func (x *exchange) attemptFailed(r Reason, err error) {
	f := &x.attempt
	switch {
	case errors.Is(err, http1.ErrOwnLimit): // nobody's fault
		x.settle(limit.NoOutcome)
	case x.sh.l.StalledSince(x.sent): // it may have given us up, or seem slow, because we did not run
	case !f.reused || f.timeout || f.answered: // of an idle connection that had died, the backend is not to blame
		x.observe(false)
		x.backend.Suspect()
	}
	x.again(r, fmt.Errorf("cannot get a response from backend %q: %w", x.backend.Addr(), err))
}

// observe tells x.backend and its balancer how the attempt went. The time to answer
// a body that streams is the client's doing as well, and is left out.
func (x *exchange) observe(ok bool) {
	x.reply = time.Duration(x.sh.l.Now() - x.sent)
	latency := x.reply
	if !x.attempt.replayable {
		latency = 0
	}
	x.backend.Observe(latency, ok)
	if ok {
		x.backend.ReportServed(x.witness())
		x.settle(limit.Success)
	} else {
		x.backend.ReportFault(x.witness())
		x.settle(limit.Failure)
	}
}

// witness says of whom and of what an outcome of the exchange tells.
func (x *exchange) witness() backend.Witness {
	w := backend.Witness{Client: x.from.client}
	if x.inDone && x.in == 0 { // all of the request is in raw
		w.Request = x.raw
	}
	return w
}

// faulty reports whether a response with this status says that the backend
// failed. The two of 5xx that do not are about the request; those from 600 are
// no HTTP, and not for us to interpret.
func faulty(status int) bool { return statusClass(status) == 5 && status != 501 && status != 505 }

// again makes another attempt after one that failed, if that may be.
func (x *exchange) again(r Reason, err error) {
	x.reason, x.err = r, err
	x.attempt.spent = x.spent()
	v := retry(x.attempt)
	svc := x.svc
	if v != giveUp && !x.free() && !svc.budget.Retry(time.Now()) {
		svc.metrics.retriesDenied.Inc()
		v = giveUp
	}
	if v == giveUp {
		x.fail(r, err)
		return
	}
	x.elsewhere(v)
}

// spent reports whether there were as many attempts as there may be.
func (x *exchange) spent() bool { return x.retries-x.attempt.refusals >= x.waits.retries }

// free reports whether the next attempt costs the retry budget nothing: nobody
// was connected to, and that was known at once, or there is somebody who is known
// to be good.
func (x *exchange) free() bool {
	return !x.attempt.connected && (x.attempt.refused || x.svc.balancer.HasGood(balance.Request{Tried: x.triedToo(), Failed: true}))
}

// triedToo returns the backends that were tried, the present one included.
func (x *exchange) triedToo() balance.Tried {
	tried := x.tried
	tried.Add(x.backend)
	return tried
}

// elsewhere makes another attempt.
func (x *exchange) elsewhere(v verdict) {
	f := &x.attempt
	x.dropUpstream(true)
	x.held.drop(x.sh.l)
	x.resp.Reset()
	x.deaf = false
	x.tried.Add(x.backend)
	if f.connected {
		f.replays++
		if f.reused {
			f.idled++
		}
	}
	if v == anotherOrSame {
		x.stale = x.backend
	}
	x.settle(limit.NoOutcome)
	x.backend.Release()
	x.last, x.backend = x.backend, nil
	x.retries++
	x.try()
}
