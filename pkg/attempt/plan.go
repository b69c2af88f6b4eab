package attempt

import (
	"errors"
	"net"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/limit"
)

// Terms are what the plans of a service have in common.
type Terms struct {
	// Balancer picks the backends.
	Balancer *balance.Balancer
	// Budget is asked before a backend beside the first one is tried.
	Budget *limit.Budget
	// Retries is how many backends may be tried after the first one, or beside
	// it; balance.MaxTries less the first at most.
	Retries int
	// Lenient does not count who refuses at once.
	Lenient bool
	// HedgeAfter is how long a backend may take to answer before it gets a
	// rival.
	HedgeAfter time.Duration
	// QueueTimeout bounds the wait for a slot.
	QueueTimeout time.Duration
	// Counters count what the plans do. None may be nil.
	Counters Counters
}

// Counters count, for all plans of a service together.
type Counters struct {
	Failures *metrics.Counter // attempts that failed
	Retries  *metrics.Counter // attempts after the first one, or beside it
	Hedges   *metrics.Counter // those beside a slow one
	Denied   *metrics.Counter // retries that the budget did not allow
}

// Do is what the owner of a plan is to do.
type Do uint8

// What there is to do.
const (
	Wait    Do = iota // for the attempts under way; with none, nothing at all
	Dial              // connect to Action.Backend, whose slot is taken
	Enqueue           // to wait for Waker.Wake, for Action.After at most
	GiveUp            // there is nobody left to try; Plan.Found says why
)

// Action is what to do next.
type Action struct {
	Do      Do
	Backend *backend.Backend
	// After is when to call Slow, with Dial and Wait, if not 0: in place of what
	// was said before. With Enqueue it is when to call Overdue.
	After time.Duration
}

// Plan is how one connection gets its backend.
type Plan struct {
	terms *Terms
	waker Waker
	key   uint64 // see balance.Request

	tried    balance.Tried // begun with, successful or not
	queue    Queue
	running  int              // attempts under way
	failures int              // attempts that came to nothing
	failed   *backend.Backend // the last one that could not be connected to
	err      error            // why
	took     time.Duration    // how long it took to
	refused  bool             // the next one makes up for one that cost nothing
	full     bool             // of those not tried, none had a slot free
	closed   bool             // the service is in maintenance
	overdue  bool
}

// New returns a plan by terms, whose owner waker wakes. Key says who belongs
// together, see balance.Request.
func New(terms *Terms, waker Waker, key uint64) Plan {
	return Plan{terms: terms, waker: waker, key: key}
}

// Begin starts the plan.
func (p *Plan) Begin(now int64) Action { return p.next(now) }

// Failed is told that the attempt at b came to nothing by err, after took. If
// paused, the process did not run for a while meanwhile, so that a time-out says
// nothing about b. It gives the slot back.
func (p *Plan) Failed(now int64, b *backend.Backend, err error, took time.Duration, paused Pause) Action {
	p.running--
	b.Release()
	t := p.terms
	t.Counters.Failures.Inc()
	p.err, p.failed, p.took = err, b, took
	p.failures++ // whoever's fault: the client is to be served
	if t.Lenient && backend.Refused(err, took) && t.Balancer.HasHope(p.tried) {
		p.refused = true
		p.tried.Refuse()
	}
	if !backend.OwnFault(err) && !(bool(paused) && timedOut(err)) {
		b.ReportConnectFailure()
	}
	return p.next(now)
}

// Pause says whether the process did not run for a while.
type Pause bool

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// Slow is told that Action.After is over and nobody has answered yet.
func (p *Plan) Slow() Action {
	if p.running != 1 || p.overdue {
		return Action{}
	}
	b := p.pick()
	if b == nil {
		return Action{}
	}
	p.terms.Counters.Hedges.Inc()
	p.running++
	return Action{Do: Dial, Backend: b, After: p.terms.HedgeAfter}
}

// Woken is told that the waker was called.
func (p *Plan) Woken(now int64) Action {
	if !p.queue.Woken() {
		return Action{}
	}
	return p.next(now)
}

// Overdue is told that there is no time left. The attempts that are under way
// have failed then, of which it is to be told next.
func (p *Plan) Overdue() Action {
	p.overdue = true
	p.queue.Leave()
	return p.next(0)
}

// Connected is told that an attempt has won. Its slot is the owner's from now
// on, and of those that are still under way Lost is to be told.
func (p *Plan) Connected() {
	p.running--
	p.queue.Leave()
}

// Lost is told that the attempt at b was given up after took, because another
// one has won or nobody wants one any more. It was slow to answer, which is for
// health to look into, and gives the slot back.
func (p *Plan) Lost(b *backend.Backend, took time.Duration) {
	p.running--
	b.Release()
	b.Suspect()
	// It is to blame only if it was the one that others were tried beside.
	if took >= p.terms.HedgeAfter {
		b.Observe(took, backend.Badly)
	}
}

// Leave ends the wait for a slot, if there is one: nobody wants a backend any
// more.
func (p *Plan) Leave() { p.queue.Leave() }

// next says what to do.
func (p *Plan) next(now int64) Action {
	switch {
	case p.running > 0:
		return Action{After: p.terms.HedgeAfter}
	case p.overdue:
		return Action{Do: GiveUp}
	}
	if b := p.pick(); b != nil {
		p.running++
		return Action{Do: Dial, Backend: b, After: p.terms.HedgeAfter}
	}
	if p.full {
		if left, ok := p.queue.Await(p.terms.Balancer.Pool(), p.waker, now, p.terms.QueueTimeout); ok {
			return Action{Do: Enqueue, After: left}
		}
	}
	return Action{Do: GiveUp}
}

// pick chooses a backend that was not tried and takes its slot, or returns nil
// if there is none, if enough were tried, or if the budget is spent. p.full then
// says whether one would do that has no slot free.
func (p *Plan) pick() *backend.Backend {
	t, b := p.terms, p.terms.Balancer
	p.full = false
	retry := p.tried.Len() > 0
	req := balance.Request{Tried: p.tried, Key: p.key, HasKey: true, Failed: p.failures >= p.tried.Len()}
	switch {
	case b.Pool().Maintenance() != nil:
		p.closed = true
		return nil
	case !retry && !p.queue.Used() && b.Pool().Contended(): // others came first
		p.full = true
		return nil
	case p.tried.Tries() > t.Retries:
		return nil
	case retry && !p.refused && !b.HasGood(req) && !t.Budget.Retry(time.Now()):
		t.Counters.Denied.Inc()
		return nil
	}
	chosen := b.Pick(req)
	if chosen == nil {
		p.full = b.HasUntried(p.tried)
		return nil
	}
	if retry {
		t.Counters.Retries.Inc()
	} else {
		t.Budget.Attempt()
	}
	p.tried.Add(chosen)
	p.refused = false
	p.queue.Leave()
	return chosen
}
