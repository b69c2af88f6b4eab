package loop

import (
	"errors"
	"io"
	"math"
	"time"

	"sluice/l7/gate"
	"sluice/pkg/reactor"
)

// tunnel is a pair of connections that have switched protocols: bytes are
// passed on as they come, both ways, and so is the end of each direction. What
// waits for somebody to take it is in the exchange's backlogs.
type tunnel struct {
	up, down flow
}

// flow is one direction of a tunnel.
type flow struct {
	eof  bool // the source has ended
	done bool // which the destination was told
}

// idle returns how long no byte may move, in either direction.
func (t *tunnel) idle(l *gate.Limits) time.Duration {
	if t.up.done || t.down.done {
		return min(l.UpgradeFIN, l.UpgradeIdle)
	}
	return l.UpgradeIdle
}

// switchProtocols passes the 101 on, with what the backend has sent after it,
// and to the backend what the client has sent after its request. It reports
// whether the exchange goes on.
func (x *exchange) switchProtocols(rest []byte) bool {
	x.CountIn(x.upload.data)
	b := append(x.AppendSwitch(x.sh.l.Scratch()[:0:halfScratch], x.sh.now()), rest...)
	x.CountOut(len(rest))
	if !x.toClient(b) {
		return false
	}
	if ahead := x.c.in; len(ahead) > 0 {
		x.upload.held.add(x.sh.l, ahead)
		x.CountIn(len(ahead))
		x.c.in = nil
	}
	x.phase, x.tunnel = tunnelling, &tunnel{up: flow{eof: x.c.eof}}
	x.arm()
	return true
}

// pumpTunnel moves what can be moved both ways now. It reports whether the
// exchange goes on.
func (x *exchange) pumpTunnel() bool {
	t := x.tunnel
	return x.pump(&t.up, &x.upload.held, x.c.stream, x.up.stream) &&
		x.pump(&t.down, &x.download.pending, x.up.stream, x.c.stream)
}

// pump moves what can be moved of one direction now. It reports whether the
// exchange goes on.
func (x *exchange) pump(f *flow, waits *backlog, src, dst reactor.Stream) bool {
	l := x.sh.l
	srcBroke, dstBroke, count := gate.ClientAbort, gate.BackendReset, x.CountIn
	if f == &x.tunnel.down {
		srcBroke, dstBroke, count = gate.BackendReset, gate.ClientAbort, x.CountOut
	}
	for moved := 0; ; {
		if !waits.empty() {
			n, err := waits.flush(l, dst)
			if err != nil {
				x.fail(dstBroke, err)
				return false
			}
			if n > 0 {
				x.arm()
			}
			if !waits.empty() {
				return true
			}
		}
		if f.eof {
			return x.endFlow(f, dst)
		}
		if !src.Readable() {
			return true
		}
		if moved >= share {
			l.Again(src)
			return true
		}
		buf := l.Scratch()
		n, spliced, err := waits.splice(l, src, dst, math.MaxInt64)
		if !spliced {
			n, err = src.Read(buf)
			waits.large = n >= bulk
		}
		switch {
		case err == nil:
		case errors.Is(err, reactor.ErrAgain):
			return true
		case errors.Is(err, io.EOF):
			f.eof = true
			continue
		default:
			x.fail(srcBroke, err)
			return false
		}
		moved += n
		count(n)
		x.Count()
		if spliced {
			continue
		}
		w, err := dst.Write(buf[:n])
		if err != nil && !errors.Is(err, reactor.ErrAgain) {
			x.fail(dstBroke, err)
			return false
		}
		waits.add(l, buf[w:n])
		x.arm()
	}
}

// endFlow passes on that a direction has ended. With both, the exchange has.
func (x *exchange) endFlow(f *flow, dst reactor.Stream) bool {
	if f.done {
		return true
	}
	f.done = true
	t := x.tunnel
	if !t.up.done || !t.down.done {
		_ = dst.CloseWrite() // fails only if dst broke, which a read of it tells
		x.arm()
		return true
	}
	c := x.c
	x.closeUpstream() // whose close sends the other FIN, or the client's does
	x.end()
	c.close()
	return false
}
