package l4

import "time"

// brokenGrace is for how long a side that has broken may have unread what it
// sent before, while the other one takes nothing.
const brokenGrace = 2 * time.Second

// checkIdle ends a session in which no byte moved for the idle time.
func (x *session) checkIdle() {
	idle := x.idleTimeout()
	if quiet := time.Duration(x.l.Now() - x.active); quiet < idle {
		x.l.After(&x.timer, idle-quiet, x)
		return
	}
	switch {
	case !x.breaking:
		x.end(IdleTimeout, nil)
	case x.client.Broken():
		x.broke(x.client)
	default:
		x.broke(x.server)
	}
}

// idleTimeout returns how long no byte may move now; 0 means for ever.
func (x *session) idleTimeout() time.Duration {
	if x.breaking {
		return brokenGrace
	}
	idle, fin := max(x.svc.IdleTimeout, 0), x.svc.FINTimeout
	if (x.up.done || x.down.done) && fin > 0 && (fin < idle || idle == 0) {
		return fin
	}
	return idle
}

// watchIdle sets the timer for the idle time from now on.
func (x *session) watchIdle() {
	x.active = x.l.Now()
	if idle := x.idleTimeout(); idle > 0 {
		x.l.After(&x.timer, idle, x)
	} else {
		x.l.Stop(&x.timer)
	}
}

// notice deals with a side that has broken, which a read would tell if there
// were one: not after its end was read, nor while nobody takes what it sent.
// What there is of that has a little time, for the other side may just be slow.
func (x *session) notice() {
	switch {
	case x.client.Broken() && x.up.eof && x.up.idle():
		x.broke(x.client)
	case x.server.Broken() && x.down.eof && x.down.idle():
		x.broke(x.server)
	case !x.breaking:
		x.breaking = true
		x.watchIdle()
	}
}

// idle reports whether nothing is under way.
func (f *flow) idle() bool { return f.pending == nil && f.pipe == nil }
