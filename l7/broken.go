package l7

import (
	"syscall"
	"time"
)

// A connection that was reset, or has timed out, says so to whoever reads it or
// writes to it. Nobody does while what it sent before is taken by nobody, or
// after its end was read. The loop knows all the same.

// brokenGrace is for how long what a side has sent before it broke may be taken
// by nobody.
const brokenGrace = 2 * time.Second

// noticeClient ends the exchange of a client that has broken: whatever is under
// way, nobody is left who wants it. A tunnel is a connection in its own right,
// in which what was sent before has a little time.
func (c *conn) noticeClient() {
	switch x := c.x; {
	case x == nil || !c.stream.Broken():
	case x.tunnel != nil && !(x.tunnel.up.eof && x.held.empty()):
		x.arm()
	default:
		x.clientBroke(syscall.ECONNRESET)
	}
}

// noticeBackend deals with a backend that has broken. What it has sent before
// may be all of the response, and has a little time to be taken.
func (x *exchange) noticeBackend() {
	switch t := x.tunnel; {
	case !x.backendBroken():
	case t != nil && t.down.eof && x.pending.empty():
		x.fail(BackendReset, syscall.ECONNRESET)
	case t != nil || !x.pending.empty():
		x.arm()
	}
}

func (x *exchange) backendBroken() bool {
	return x.up != nil && !x.up.connecting && x.up.stream != nil && x.up.stream.Broken()
}

// grace returns for how long to wait at most because a side has broken, and
// what is to be said then; it is d if none has.
func (x *exchange) grace(d time.Duration) time.Duration {
	if x.backendBroken() && (x.tunnel != nil || !x.pending.empty()) || x.tunnel != nil && x.c.stream.Broken() {
		return min(d, brokenGrace)
	}
	return d
}
