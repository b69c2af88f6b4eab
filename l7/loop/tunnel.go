package loop

import (
	"bytes"
	"cmp"
	"syscall"
	"time"

	"sluice/l7/gate"
	"sluice/pkg/pump"
)

// switchProtocols passes the 101 on, with what the backend has sent after it,
// and to the backend what the client has sent after its request. It reports
// whether the exchange goes on.
func (x *exchange) switchProtocols(rest []byte) bool {
	x.CountIn(x.upload.data)
	rest = bytes.Clone(rest)
	if !x.toClient(x.AppendSwitch(x.sh.l.Scratch()[:0:halfScratch], x.sh.now())) {
		return false
	}
	t := new(pump.Pair)
	t.Begin(x.sh.l.Now())
	t.Down.Hold(rest)
	t.Up.Hold(x.c.in)
	if x.c.in = nil; x.c.eof {
		t.Up.End()
	}
	x.phase, x.tunnel = tunnelling, t
	x.arm()
	return true
}

// pumpTunnel moves what can be moved both ways now. It reports whether the
// exchange goes on.
func (x *exchange) pumpTunnel() bool {
	if pending := &x.download.pending; !pending.Empty() { // the 101 itself
		if _, err := pending.Flush(x.c.stream); err != nil {
			x.clientBroke(err)
			return false
		}
		if !pending.Empty() {
			return true
		}
	}
	step := x.tunnel.Move(x.c.stream, x.up.stream)
	x.CountIn(int(step.Up))
	x.CountOut(int(step.Down))
	x.Count()
	switch step.State {
	case pump.Changed:
		x.arm()
	case pump.Ended:
		c := x.c
		x.closeUpstream() // whose close sends the other FIN, or the client's does
		x.end()
		c.close()
		return false
	case pump.Broke:
		x.sideBroke(step.Side, step.Err)
		return false
	}
	return true
}

// sideBroke ends a tunnel of which a side has broken.
func (x *exchange) sideBroke(side pump.Side, err error) {
	r := gate.BackendReset
	if side == pump.Client {
		r = gate.ClientAbort
	}
	x.fail(r, cmp.Or[error](err, syscall.ECONNRESET))
}

// tunnelTime returns for how long from now on no byte may move.
func (x *exchange) tunnelTime() time.Duration {
	l := x.Limits()
	return x.tunnel.Left(x.sh.l.Now(), l.UpgradeIdle, l.UpgradeFIN)
}

// tunnelIdle is told that the time of both sides may be over. It may end the
// exchange.
func (x *exchange) tunnelIdle() {
	if x.tunnelTime() > 0 {
		x.arm()
	} else if side, broke := x.tunnel.Broken(x.c.stream, x.up.stream); broke {
		x.sideBroke(side, nil)
	} else {
		x.fail(gate.IdleTimeout, nil)
	}
}
