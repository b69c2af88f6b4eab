package l7

import (
	"errors"
	"io"
	"time"

	"sluice/pkg/reactor"
)

const (
	// tunnelIdle is how long no byte may move on a connection that has switched
	// protocols, in either direction.
	tunnelIdle = time.Hour
	// tunnelFIN is the same once one side has ended its direction.
	tunnelFIN = time.Minute
)

// tunnel is a pair of connections that have switched protocols: bytes are
// passed on as they come, both ways, and so is the end of each direction.
type tunnel struct {
	up, down flow
}

// flow is one direction of a tunnel.
type flow struct {
	pending []byte // what the destination does not take yet; borrowed
	eof     bool   // the source has ended
	done    bool   // which the destination was told
}

func (t *tunnel) idle() time.Duration {
	if t.up.done || t.down.done {
		return tunnelFIN
	}
	return tunnelIdle
}

func (t *tunnel) free(l *reactor.Loop) {
	for _, f := range []*flow{&t.up, &t.down} {
		if f.pending != nil {
			l.Return(f.pending)
			f.pending = nil
		}
	}
}

// switchProtocols passes the 101 on, with what the backend has sent after it,
// and to the backend what the client has sent after its request.
func (x *exchange) switchProtocols(rest []byte) bool {
	x.answered, x.closing, x.status = true, true, 101
	x.in += int64(x.data)
	x.observe(true)
	b := appendInterim(x.sh.l.Scratch()[:0:halfScratch], &x.resp)
	b = append(b, rest...)
	x.outN += int64(len(rest))
	if !x.toClient(b) {
		return false
	}
	t := &tunnel{}
	t.down.pending, x.pending = x.pending, nil
	if ahead := x.c.in; len(ahead) > 0 {
		t.up.pending = x.sh.l.Borrow(ahead)
		x.in += int64(len(ahead))
		x.c.in = nil
	}
	t.up.eof = x.c.eof
	x.tunnel = t
	x.arm()
	return true
}

// pumpTunnel moves what can be moved both ways now.
func (x *exchange) pumpTunnel() bool {
	t := x.tunnel
	return x.pump(&t.up, x.c.stream, x.up.stream, ClientAbort, BackendReset, &x.in) &&
		x.pump(&t.down, x.up.stream, x.c.stream, BackendReset, ClientAbort, &x.outN)
}

// pump moves what can be moved of one direction now. srcBroke and dstBroke
// say what it means if one of the two breaks.
func (x *exchange) pump(f *flow, src, dst reactor.Stream, srcBroke, dstBroke Reason, count *int64) bool {
	for moved := 0; ; {
		if len(f.pending) > 0 {
			n, err := dst.Write(f.pending)
			if err != nil && !errors.Is(err, reactor.ErrAgain) {
				x.fail(dstBroke, err)
				return false
			}
			if n > 0 {
				x.arm()
			}
			if f.pending = x.sh.keep(f.pending, n); f.pending != nil {
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
			x.sh.l.Again(src)
			return true
		}
		buf := x.sh.l.Scratch()
		n, err := src.Read(buf)
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
		w, err := dst.Write(buf[:n])
		if err != nil && !errors.Is(err, reactor.ErrAgain) {
			x.fail(dstBroke, err)
			return false
		}
		if w < n {
			f.pending = x.sh.l.Borrow(buf[w:n])
		}
		x.count()
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
