package epoll

import (
	"time"

	"sluice/l4"
	"sluice/pkg/pump"
)

// flushEvery is how long at most bytes that were moved are not counted yet.
// That is less than the time between two looks of health for stalls.
const flushEvery = 200 * time.Millisecond

// move moves what can be moved both ways now.
func (x *session) move() {
	step := x.pair.Move(x.client, x.server)
	if step.Up > 0 || step.Down > 0 {
		switch {
		case x.flush.Set():
		case step.Quiet >= flushEvery:
			x.count() // at once, or health would take it for silence
		default:
			x.l.After(&x.flush, flushEvery, x)
		}
	}
	switch step.State {
	case pump.Changed:
		x.watchIdle()
	case pump.Ended:
		x.end(eofOf(step.Side)) // whose close sends the other FIN
	case pump.Broke:
		x.end(resetOf(step.Side))
	}
}

func eofOf(s pump.Side) l4.Reason {
	if s == pump.Client {
		return l4.ClientEOF
	}
	return l4.BackendEOF
}

func resetOf(s pump.Side) l4.Reason {
	if s == pump.Client {
		return l4.ClientReset
	}
	return l4.BackendReset
}

// count adds the bytes moved since it was last called to the counters.
func (x *session) count() (in, out int64) {
	x.l.Stop(&x.flush)
	in, out = x.pair.Up.Count(), x.pair.Down.Count()
	x.ticket.Count(in, out)
	return in, out
}

// countLate counts what was moved a while ago.
func (x *session) countLate() {
	if in, out := x.count(); in > 0 && out == 0 {
		x.ticket.Unanswered()
	}
}

// left returns for how long no byte may move from now on.
func (x *session) left() time.Duration {
	up := x.ticket.Upstream()
	return x.pair.Left(x.l.Now(), up.IdleTimeout, up.FINTimeout)
}

// watchIdle sets the timer for the idle time.
func (x *session) watchIdle() {
	if left := x.left(); left != pump.Forever {
		x.l.After(&x.timer, left, x)
	} else {
		x.l.Stop(&x.timer)
	}
}

// checkIdle ends a session in which no byte moved for the idle time.
func (x *session) checkIdle() {
	if x.left() > 0 {
		x.watchIdle()
		return
	}
	if side, broke := x.pair.Broken(x.client, x.server); broke {
		x.end(resetOf(side))
		return
	}
	x.end(l4.IdleTimeout)
}
