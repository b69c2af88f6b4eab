package loop

import (
	"errors"
	"syscall"
	"time"

	"sluice/l7/gate"
)

// Why somebody is not waited for any more.
var (
	errHalfClosed     = errors.New("l7: the client has ended its direction")
	errClientStalled  = errors.New("l7: the client takes nothing of the response")
	errBackendStalled = errors.New("l7: the backend sends nothing of the response")
	errRequestStalled = errors.New("l7: the client sends nothing of the request")
	errNoResponse     = errors.New("l7: no response in time")
)

// brokenGrace is for how long what a side has sent before it broke may be taken
// by nobody.
const brokenGrace = 2 * time.Second

// wait is who is waited for: for how long at most from now on, and what is to be
// done if that is over, which may end the exchange.
type wait struct {
	limit time.Duration
	late  func(*exchange)
}

// wait returns who is waited for in the present phase. Each phase has a function
// of its own below.
func (x *exchange) wait() (w wait) {
	switch x.phase {
	case receiving:
		w = x.waitForBody()
	case verifying:
		w = x.waitForVerdict()
	case queued:
		w = x.waitForSlot()
	case connecting:
		w = x.waitForConnection()
	case sending:
		w = x.waitForUpload()
	case waiting:
		w = x.waitForResponse()
	case responding, answering:
		w = x.waitForDownload()
	case tunnelling:
		return x.waitInTunnel()
	}
	taken := x.download.pending.Empty()
	if !taken {
		w.late = (*exchange).clientStalled
		if x.backendBroken() {
			w.limit, w.late = min(w.limit, brokenGrace), (*exchange).brokeOff
		}
	}
	if fin := x.sh.s.cfg.FINTimeout; x.c.eof {
		if w.limit = min(w.limit, fin); taken && fin < gate.Forever {
			w.late = (*exchange).halfClosed
		}
	}
	return w
}

// waitForBody waits for a small body.
func (x *exchange) waitForBody() wait { return wait{x.Limits().Body, (*exchange).requestStalled} }

// waitForVerdict waits for the client's credentials to be verified.
func (x *exchange) waitForVerdict() wait { return wait{gate.AuthWait, (*exchange).unverified} }

// waitForSlot waits for a backend with a slot free.
func (x *exchange) waitForSlot() wait {
	return wait{x.QueueTime(x.sh.now()), (*exchange).noSlot}
}

// waitForConnection waits for a connection to the backend.
func (x *exchange) waitForConnection() wait {
	return wait{time.Duration(x.connectBy - x.sh.l.Now()), (*exchange).unconnected}
}

// waitForUpload waits for the client to send, or for the backend to take, the
// request.
func (x *exchange) waitForUpload() wait {
	if !x.Whole() && x.upload.held.Empty() && !x.upload.deaf {
		return wait{x.Limits().Body, (*exchange).requestStalled}
	}
	return wait{x.Limits().Body, (*exchange).unanswered}
}

// waitForResponse waits for the backend to answer.
func (x *exchange) waitForResponse() wait { return wait{x.Limits().Response, (*exchange).unanswered} }

// waitForDownload waits for the backend to send the response; that the client
// does not take it is dealt with for all phases.
func (x *exchange) waitForDownload() wait { return wait{x.Limits().Body, (*exchange).backendStalled} }

// waitInTunnel waits for either side.
func (x *exchange) waitInTunnel() wait { return wait{x.tunnelTime(), (*exchange).tunnelIdle} }

// arm gives whoever is waited for the time that is theirs, from now on.
func (x *exchange) arm() { x.c.arm(x.watchPace(x.wait().limit)) }

// timedOut is told that the time of whoever is waited for may be over. It may end
// the exchange.
func (x *exchange) timedOut() {
	if x.look() {
		return
	}
	x.wait().late(x)
}

// Each of these is told that somebody has let the time pass that was theirs, and
// may end the exchange.

func (x *exchange) requestStalled() { x.fail(gate.RequestTimeout, errRequestStalled) }
func (x *exchange) unverified()     { x.overdue(gate.AuthBusy) }

func (x *exchange) clientStalled()  { x.fail(gate.ClientStalled, errClientStalled) }
func (x *exchange) backendStalled() { x.fail(gate.BackendStalled, errBackendStalled) }

func (x *exchange) halfClosed() { x.fail(gate.ClientAbort, errHalfClosed) }
func (x *exchange) unanswered() { x.attemptFailed(gate.ResponseTimeout, errNoResponse) }

func (x *exchange) brokeOff() { x.truncated(syscall.ECONNRESET) }

func (x *exchange) noSlot() {
	x.LeaveQueue()
	x.overdue(gate.NoSlot)
}

func (x *exchange) unconnected() {
	x.NoTimeToConnect()
	x.connectFailed(x.up, x.up.tookTooLong())
}

// A connection that was reset, or has timed out, says so to whoever reads it or
// writes to it. Nobody does while what it sent before is taken by nobody, or
// after its end was read. The loop knows all the same.

// noticeClient ends the exchange of a client that has broken: whatever is under
// way, nobody is left who wants it.
func (c *conn) noticeClient() {
	if x := c.x; x != nil && x.phase != tunnelling && c.stream.Broken() {
		x.clientBroke(syscall.ECONNRESET)
	}
}

// noticeBackend deals with a backend that has broken. What it has sent before
// may be all of the response, and has a little time to be taken.
func (x *exchange) noticeBackend() {
	if x.phase != tunnelling && x.backendBroken() && !x.download.pending.Empty() {
		x.arm()
	}
}

func (x *exchange) backendBroken() bool {
	return x.up != nil && !x.up.connecting && x.up.stream != nil && x.up.stream.Broken()
}
