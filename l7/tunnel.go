package l7

import (
	"errors"
	"io"
	"math"
	"time"

	"sluice/l7/http1"
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
func (t *tunnel) idle(w *waits) time.Duration {
	if t.up.done || t.down.done {
		return min(w.upgradeFIN, w.upgradeIdle)
	}
	return w.upgradeIdle
}

// switchProtocols passes the 101 on, with what the backend has sent after it,
// and to the backend what the client has sent after its request.
func (x *exchange) switchProtocols(rest []byte) bool {
	x.answered, x.closing, x.status = true, true, 101
	x.in += int64(x.data)
	x.observe(true)
	x.upgraded()
	b := http1.AppendInterim(x.sh.l.Scratch()[:0:halfScratch], &x.resp)
	b = append(x.editResponse(b), rest...)
	x.outN += int64(len(rest))
	if !x.toClient(b) {
		return false
	}
	if ahead := x.c.in; len(ahead) > 0 {
		x.held.add(x.sh.l, ahead)
		x.in += int64(len(ahead))
		x.c.in = nil
	}
	x.tunnel = &tunnel{up: flow{eof: x.c.eof}}
	x.svc.metrics.upgraded.Inc()
	x.arm()
	return true
}

// pumpTunnel moves what can be moved both ways now.
func (x *exchange) pumpTunnel() bool {
	t := x.tunnel
	return x.pump(&t.up, &x.held, x.c.stream, x.up.stream, ClientAbort, BackendReset, &x.in) &&
		x.pump(&t.down, &x.pending, x.up.stream, x.c.stream, BackendReset, ClientAbort, &x.outN)
}

// pump moves what can be moved of one direction now. srcBroke and dstBroke
// say what it means if one of the two breaks.
func (x *exchange) pump(f *flow, waits *backlog, src, dst reactor.Stream, srcBroke, dstBroke Reason, count *int64) bool {
	l := x.sh.l
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
		*count += int64(n)
		x.count()
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
	x.dropUpstream(false) // whose close sends the other FIN, or the client's does
	x.end()
	c.close()
	return false
}
