package backend

import (
	"slices"
	"sync"
	"time"
)

// departureSteps is in how many steps the connections to a backend that is
// drained are ended, so that their clients do not all come back at once.
const departureSteps = 50

// Departure says why the connections to a backend end that are open already.
type Departure uint8

const (
	Failed  Departure = iota // its checks have failed, or it was withdrawn
	Drained                  // it was taken out, and the time to leave it is over
)

// Terms say on what terms the connections to backends end that leave a service,
// or fail.
type Terms struct {
	// Drain is how long they live on after the backend was deregistered or put
	// into maintenance; they are then ended over a tenth of that. 0 or less means
	// for ever.
	Drain time.Duration
	// OnFailure ends them at once when the backend's checks have failed, or it was
	// withdrawn.
	OnFailure bool
}

// Departures says what becomes of the connections to backends that leave a
// service, or fail. A backend is its address: one that was deregistered and is
// registered again is the same to its connections.
type Departures struct {
	// Terms returns the terms as they are now: those of a backend are the ones
	// of when it leaves. nil means that all connections live on for ever.
	Terms func() Terms
	// End ends the connections to addr, in steps over some time; see InSteps. It
	// must not block, nor write to the pool, and is called from any goroutine.
	End func(addr string, why Departure, over time.Duration)
}

// Follow calls End for the backends of p as they leave, until cancel is called.
func (d Departures) Follow(p *Pool) (cancel func()) {
	f := &departing{Departures: d, all: make(map[string]*leaver)}
	stop := p.OnChange(f.follow)
	return func() {
		stop()
		f.mu.Lock()
		defer f.mu.Unlock()
		for addr, l := range f.all {
			if l.drain != nil {
				l.drain.Stop()
			}
			delete(f.all, addr)
		}
	}
}

// departing is what is known of the backends of a pool, by address.
type departing struct {
	Departures
	mu  sync.Mutex // protects all
	all map[string]*leaver
}

type leaver struct {
	over      time.Duration // of the drain, in which they are ended
	drain     *time.Timer   // set while the backend is on its way out
	ordered   time.Time     // until when an operator lets them live, zero for no such order
	unhealthy bool
	gone      bool // is no member any more
	ended     bool // the time to leave it is over
}

func (f *departing) follow(now *Snapshot) {
	var terms Terms
	if f.Terms != nil {
		terms = f.Terms()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	type seen struct {
		staying, failed bool
		closeBy         time.Time
	}
	members := make(map[string]seen, len(now.All)) // by address
	for _, b := range now.All {
		if f.all[b.Addr()] == nil {
			f.all[b.Addr()] = &leaver{}
		}
		status, order := b.Target().Status, b.Order()
		members[b.Addr()] = seen{
			staying: members[b.Addr()].staying || status != Maintenance,
			failed:  b.Condition().State == Down && order.Force != ForceUp || status == Critical || order.Force == ForceDown,
			closeBy: order.CloseBy,
		}
	}
	for addr, l := range f.all {
		m, member := members[addr]
		if !member {
			m.failed = slices.Contains(now.Withdrawn, addr)
		}
		if terms.OnFailure && m.failed && !l.unhealthy {
			f.End(addr, Failed, 0)
		}
		l.unhealthy = m.failed
		if member && !m.closeBy.Equal(l.ordered) {
			l.order(m.closeBy, func(over time.Duration) { f.ordered(addr, l, m.closeBy, over) })
		}
		if !l.ordered.IsZero() {
			l.gone = !member
			continue
		}
		switch {
		case m.staying && l.drain != nil:
			l.drain.Stop()
			l.drain, l.ended = nil, false
		case !m.staying && l.drain == nil && terms.Drain > 0:
			l.over = terms.Drain / 10
			l.drain = time.AfterFunc(terms.Drain, func() { f.drained(addr, l) })
		case !member && (l.drain == nil || l.ended):
			delete(f.all, addr)
		}
		l.gone = !member
	}
}

// order has end called at closeBy, with over how much time, in place of what was
// to end before; zero for no order.
func (l *leaver) order(closeBy time.Time, end func(over time.Duration)) {
	if l.drain != nil {
		l.drain.Stop()
	}
	l.drain, l.ended, l.ordered = nil, false, closeBy
	if !closeBy.IsZero() {
		left := max(0, time.Until(closeBy))
		l.drain = time.AfterFunc(left, func() { end(left / 10) })
	}
}

// ordered ends the connections of a backend that an operator let live until
// closeBy.
func (f *departing) ordered(addr string, l *leaver, closeBy time.Time, over time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all[addr] != l || !l.ordered.Equal(closeBy) {
		return // there is another order
	}
	f.End(addr, Drained, over)
	if l.ended = true; l.gone {
		delete(f.all, addr)
	}
}

// drained ends the connections of a backend whose time is over.
func (f *departing) drained(addr string, l *leaver) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all[addr] != l || l.drain == nil {
		return // it came back at this moment
	}
	f.End(addr, Drained, l.over)
	if l.ended = true; l.gone {
		delete(f.all, addr)
	}
}

// InSteps calls f for 0 to n-1 in steps over some time, at first at once.
func InSteps(n int, over time.Duration, f func(i int)) {
	if n == 0 {
		return
	}
	per := (n + departureSteps - 1) / departureSteps
	if over <= 0 {
		per = n
	}
	var step func(from int)
	step = func(from int) {
		for i := from; i < min(from+per, n); i++ {
			f(i)
		}
		if from+per < n {
			time.AfterFunc(over/departureSteps, func() { step(from + per) })
		}
	}
	step(0)
}
