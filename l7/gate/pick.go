package gate

import (
	"sluice/pkg/backend"
	"sluice/pkg/balance"
)

// Pick begins an attempt: it takes a slot of a backend, which Backend returns if
// the decision is Forward. Await means that there is none free, and one is worth
// waiting for; see the method of that name. Answer means that there is nobody.
func (t *Ticket) Pick(now Now) Decision {
	a := &t.attempt
	b, why := (*backend.Backend)(nil), NoBackend
	if !t.mustWait() {
		b, why = t.pick(now)
	}
	switch {
	case b != nil:
		t.LeaveQueue()
	case a.stale != nil:
		b = a.stale
		b.Acquire()
	case why == NoBackend && t.mayQueue(now):
		return Await
	default:
		return t.nobody(now, why)
	}
	t.begin(b, now)
	return Forward
}

// PickBound begins an attempt at b, to which there is a connection that serves
// this client alone, unless its breaker is open. The strategy is not asked, nor is
// there a wait for a slot: that connection is there.
func (t *Ticket) PickBound(b *backend.Backend, now Now) Decision {
	if !t.allowed(b, now) {
		return Retry
	}
	b.Acquire()
	t.begin(b, now)
	return Forward
}

// begin begins an attempt at b, whose slot is held.
func (t *Ticket) begin(b *backend.Backend, now Now) {
	a := &t.attempt
	a.stale, a.backend = nil, b
	if a.picked == 0 {
		a.picked = now.Mono
	}
	a.reach, a.cause, a.reused = unconnected, otherwise, false
}

// nobody fails the request for lack of a backend, for the reason why or, if any
// was tried, for the one of which the last attempt came to nothing.
func (t *Ticket) nobody(now Now, why Reason) Decision {
	o := &t.outcome
	if why == NoBackend && t.svc.balancer.HasUntried(t.attempt.tried) {
		why, o.retryAfter = NoSlot, overloadRetry
	}
	if t.attempt.last == nil {
		o.reason = why
	}
	if o.reason == BreakerOpen {
		o.retryAfter = max(overloadRetry, t.admission.rules.breakers.opensIn(t.svc.Pool().Snapshot(), now.Time))
	}
	return t.Fail(o.reason, o.err)
}

// pick takes a slot of a backend for the next attempt. If there is none, why
// says so.
func (t *Ticket) pick(now Now) (b *backend.Backend, why Reason) {
	p, tried := t.admission.rules, &t.attempt.tried
	req := balance.Request{Tried: *tried, Failed: t.failed()}
	req.Key, req.HasKey = p.sticky.key(t.Req.Fields, t.from.client)
	if p.pins != nil {
		b, known := p.pins.pick(p.pins.cookieOf(t.Req.Fields, p.sticky.Name), tried)
		if t.repin = !known; b != nil {
			if t.allowed(b, now) {
				return b, None
			}
			b.Release()
		}
	}
	if b = t.choose(req); b == nil || t.allowed(b, now) {
		return b, NoBackend
	}
	return t.pickAllowed(b, req, now)
}

// failed reports whether all that was tried has failed. That a connection which
// had been idle is gone says little about its backend, which may be tried again.
func (t *Ticket) failed() bool { return t.attempt.tried.Len() > 0 && t.attempt.stale == nil }

// choose has the strategy choose.
func (t *Ticket) choose(req balance.Request) *backend.Backend { return t.svc.balancer.Pick(req) }

// allowed asks the breaker of b, if there is one.
func (t *Ticket) allowed(b *backend.Backend, now Now) bool {
	bs := t.admission.rules.breakers
	if bs == nil {
		return true
	}
	t.attempt.permit = bs.allow(b, now.Time)
	return t.attempt.permit != 0
}

// pickAllowed picks a backend whose breaker lets the request pass, other than
// refused, whose does not: first as the strategy has it, and then the least
// busy one.
func (t *Ticket) pickAllowed(refused *backend.Backend, req balance.Request, now Now) (*backend.Backend, Reason) {
	for req.Tried.Len() < balance.MaxTries {
		refused.Release()
		req.Tried.Add(refused)
		b := t.choose(req)
		if b == nil || t.allowed(b, now) {
			return b, BreakerOpen
		}
		refused = b
	}
	refused.Release()
	s := t.svc.Pool().Snapshot()
	var best *backend.Backend
	for _, b := range s.Eligible {
		if !t.attempt.tried.Has(b) && b.HasRoom() && (best == nil || balance.LessLoaded(b, b.Weight(), best, best.Weight())) && t.admission.rules.breakers.isClosed(b) {
			best = b
		}
	}
	if best == nil || !best.TryAcquire() {
		return nil, BreakerOpen
	}
	if !t.allowed(best, now) { // it has just opened
		best.Release()
		return nil, BreakerOpen
	}
	return best, None
}
