package l7

import (
	"errors"
	"time"
)

var (
	errTooSlow = errors.New("l7: the client sends or takes a body too slowly")
	errNoTime  = errors.New("l7: the exchange took too long in all")
)

// defaultMinBodyRate is far below what the slowest of lines carries, 64 bytes a
// second, and far above what keeps others from being served on purpose.
const defaultMinBodyRate = 64

// pace is how fast a client sends or takes a body while nobody but it is waited
// for. Its zero value measures nothing.
type pace struct {
	from  int64 // when the window began, in the loop's time; 0: there is none
	bytes int64 // that had moved then; unknown until the first look
}

// unknown stands for a number of bytes that it is not worth to ask for yet.
const unknown = -1

// slow takes a look at how many bytes have moved in all, and reports whether
// that is less than rate a second, once a window is over. If nothing has, that is for the limit of time
// without progress to judge, and the window becomes longer.
func (p *pace) slow(now, moved, rate int64, window time.Duration) bool {
	switch elapsed := now - p.from; {
	case p.from == 0 || elapsed < int64(window):
		return false
	case p.bytes == unknown || float64(moved-p.bytes) >= float64(rate)*float64(elapsed)/float64(time.Second):
		p.from, p.bytes = now, moved
		return false
	}
	return moved > p.bytes
}

// direction is which way a body moves that a client is waited for with.
type direction uint8

const (
	neither  direction = iota
	upward             // it sends its request
	downward           // it takes its response
)

// clientBody returns which of its bodies the client alone is waited for with.
func (x *exchange) clientBody() direction {
	switch {
	case x.tunnel != nil:
		return neither
	case !x.pending.empty():
		return downward
	case x.small > 0, !x.inDone && !x.answered && !x.deaf && x.held.empty() && x.up != nil && !x.up.connecting:
		return upward
	}
	return neither
}

// received returns how many bytes of the request's body have come.
func (x *exchange) received() int64 {
	if x.small > 0 {
		return int64(len(x.raw))
	}
	return x.in + int64(x.data)
}

// moved returns how many bytes of the body that is measured the client has sent
// or, as far as its system has acknowledged, taken; unknown if that is not known.
func (x *exchange) moved() int64 {
	if x.paced == upward {
		return x.received()
	}
	if s, ok := x.c.stream.(interface{ Unacked() int }); ok {
		if n := s.Unacked(); n >= 0 {
			return x.c.wrote - int64(n)
		}
	}
	return unknown
}

// watchPace is told that somebody is waited for, for d at most, and returns when
// to take a look, at the latest.
func (x *exchange) watchPace(d time.Duration) time.Duration {
	now := x.sh.l.Now()
	x.giveUp = now + int64(d)
	if way := x.clientBody(); x.waits.rate > 0 && way != x.paced {
		x.paced, x.pace = way, pace{}
		switch way {
		case upward:
			x.pace = pace{from: now, bytes: x.received()}
		case downward:
			x.pace = pace{from: now, bytes: unknown}
		}
	}
	return min(d, x.nextLook(now))
}

// nextLook returns how long it is until the pace and the time of the whole
// exchange are to be looked at again.
func (x *exchange) nextLook(now int64) time.Duration {
	d := forever
	if x.paced != neither && x.waits.rate > 0 {
		d = x.sh.s.cfg.MinBodyRateOver - time.Duration(now-x.pace.from)%x.sh.s.cfg.MinBodyRateOver
	}
	if x.waits.total < forever && x.tunnel == nil {
		d = min(d, max(0, time.Duration(x.start+int64(x.waits.total)-now)))
	}
	return d
}

// look is told that a timer has fired and reports whether that is dealt with:
// the exchange has ended for lack of time or pace, or goes on because whoever is
// waited for has time left.
func (x *exchange) look() bool {
	now := x.sh.l.Now()
	if x.waits.total < forever && x.tunnel == nil && now-x.start >= int64(x.waits.total) {
		x.outOfTime()
		return true
	}
	if x.paced != neither && x.waits.rate > 0 {
		moved, before := x.moved(), x.pace.bytes
		switch {
		case moved == unknown:
		case x.pace.slow(now, moved, x.waits.rate, x.sh.s.cfg.MinBodyRateOver):
			x.fail(ClientTooSlow, errTooSlow)
			return true
		case x.paced == downward && before != unknown && moved > before:
			x.giveUp = now + int64(x.waits.body) // what its system has acknowledged is progress
		}
	}
	left := x.giveUp - now
	if left <= 0 {
		return false
	}
	x.c.arm(min(time.Duration(left), x.nextLook(now)))
	return true
}

// outOfTime ends an exchange that has taken longer in all than it may.
func (x *exchange) outOfTime() {
	x.leaveQueue()
	if !x.inDone && !x.answered {
		x.fail(RequestTimeout, errNoTime)
		return
	}
	x.fail(TotalTimeout, errNoTime)
}
