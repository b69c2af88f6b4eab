package loop

import (
	"errors"
	"time"

	"sluice/l7/gate"
)

var (
	errTooSlow = errors.New("l7: the client sends or takes a body too slowly")
	errNoTime  = errors.New("l7: the exchange took too long in all")
)

// watchPace is told that somebody is waited for, for d at most, and returns when
// to take a look, at the latest.
func (x *exchange) watchPace(d time.Duration) time.Duration {
	now, p := x.sh.l.Now(), &x.patience
	p.until = now + int64(d)
	if way := x.clientBody(); x.Limits().MinRate > 0 && way != p.way {
		p.way, p.pace = way, gate.Pace{}
		switch way {
		case upward:
			p.pace = gate.Pace{From: now, Bytes: x.received()}
		case downward:
			p.pace = gate.Pace{From: now, Bytes: gate.Unknown}
		}
	}
	return min(d, x.nextLook(now))
}

// clientBody returns which of its bodies the client alone is waited for with.
func (x *exchange) clientBody() direction {
	u := &x.upload
	switch {
	case x.phase == tunnelling:
		return neither
	case !x.download.pending.Empty():
		return downward
	case u.small > 0, x.phase == sending && !x.Whole() && !u.deaf && u.held.Empty():
		return upward
	}
	return neither
}

// received returns how many bytes of the request's body have come.
func (x *exchange) received() int64 {
	if x.upload.small > 0 {
		return int64(len(x.Raw))
	}
	return x.In() + int64(x.upload.data)
}

// moved returns how many bytes of the body that is measured the client has sent
// or, as far as its system has acknowledged, taken; unknown if that is not known.
func (x *exchange) moved() int64 {
	if x.patience.way == upward {
		return x.received()
	}
	if s, ok := x.c.stream.(interface{ Unacked() int }); ok {
		if n := s.Unacked(); n >= 0 {
			return x.c.wrote - int64(n)
		}
	}
	return gate.Unknown
}

// nextLook returns how long it is until the pace and the time of the whole
// exchange are to be looked at again.
func (x *exchange) nextLook(now int64) time.Duration {
	d, p, l := gate.Forever, &x.patience, x.Limits()
	if over := x.sh.s.cfg.MinBodyRateOver; p.way != neither && l.MinRate > 0 {
		d = over - time.Duration(now-p.pace.From)%over
	}
	if l.Total < gate.Forever && x.phase != tunnelling {
		d = min(d, max(0, time.Duration(x.Began()+int64(l.Total)-now)))
	}
	return d
}

// look is told that a timer has fired and reports whether that is dealt with:
// the exchange has ended for lack of time or pace, or goes on because whoever is
// waited for has time left.
func (x *exchange) look() bool {
	now, p, l := x.sh.l.Now(), &x.patience, x.Limits()
	if l.Total < gate.Forever && x.phase != tunnelling && now-x.Began() >= int64(l.Total) {
		x.outOfTime()
		return true
	}
	if p.way != neither && l.MinRate > 0 {
		moved, before := x.moved(), p.pace.Bytes
		switch {
		case moved == gate.Unknown:
		case p.pace.Slow(now, moved, l.MinRate, x.sh.s.cfg.MinBodyRateOver):
			x.fail(gate.ClientTooSlow, errTooSlow)
			return true
		case p.way == downward && before != gate.Unknown && moved > before:
			p.until = now + int64(l.Body) // what its system has acknowledged is progress
		}
	}
	left := p.until - now
	if left <= 0 {
		return false
	}
	x.c.arm(min(time.Duration(left), x.nextLook(now)))
	return true
}

// outOfTime ends an exchange that has taken longer in all than it may.
func (x *exchange) outOfTime() {
	x.LeaveQueue()
	if !x.Whole() && x.phase < responding {
		x.fail(gate.RequestTimeout, errNoTime)
		return
	}
	x.fail(gate.TotalTimeout, errNoTime)
}
