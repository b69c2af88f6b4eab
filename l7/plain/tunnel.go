package plain

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/l7/gate"
)

// Duplex is a client's connection that has switched protocols.
type Duplex interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	// CloseWrite ends the direction towards the client.
	CloseWrite() error
}

// switchProtocols begins to pass bytes on both ways: the 101 comes first, with
// what the backend has sent behind it.
func (x *Exchange) switchProtocols() {
	u, t := x.u, &x.t
	x.state = switched
	t.CountIn(len(x.data))
	x.out = t.AppendSwitch(x.out[:0], x.p.now())
	x.head = len(x.out)
	x.piece = u.buf[u.r:u.w]
	x.out = append(x.out, x.piece...)
	t.CountOut(len(x.piece))
	t.Count()
	u.r = u.w
	x.unwatch()
	x.staysWith(u.b)
}

// Switched reports whether the protocol is switched: once the client has got what
// Out says, Tunnel is next.
func (x *Exchange) Switched() bool { return x.state == switched }

// tunnel passes bytes on as they come, both ways, and so is the end of each
// direction.
type tunnel struct {
	x     *Exchange
	moved atomic.Int64 // when a byte has moved last, since the proxy's start
	ended atomic.Bool  // one direction has

	// mu protects the fields below.
	mu     sync.Mutex
	reason gate.Reason
	err    error
}

// Tunnel passes bytes on between the client and the backend until both have ended
// their direction, or something else ends it.
func (x *Exchange) Tunnel(client Duplex) {
	tn := &tunnel{x: x}
	tn.touch()
	both := func() {
		_ = client.SetReadDeadline(past)
		_ = client.SetWriteDeadline(past)
		_ = x.u.SetDeadline(past)
	}
	var down sync.WaitGroup
	down.Go(func() {
		if !tn.pass(client, x.u, gate.BackendReset, gate.ClientAbort, x.countOut) {
			both()
		}
	})
	if !tn.pass(x.u, client, gate.ClientAbort, gate.BackendReset, x.countIn) {
		both()
	}
	down.Wait()
	if tn.reason != gate.None {
		x.flaw = cut
		x.t.Fail(tn.reason, tn.err)
	}
}

func (x *Exchange) countIn(n int) {
	x.tell.Lock()
	defer x.tell.Unlock()
	x.t.CountIn(n)
	x.t.Count()
}

func (x *Exchange) countOut(n int) {
	x.tell.Lock()
	defer x.tell.Unlock()
	x.t.CountOut(n)
	x.t.Count()
}

func (tn *tunnel) touch() { tn.moved.Store(int64(time.Since(tn.x.p.start))) }

// idleBy returns when it is over because no byte has moved, in either direction.
func (tn *tunnel) idleBy() time.Time {
	limits := tn.x.t.Limits()
	idle := limits.UpgradeIdle
	if tn.ended.Load() {
		idle = min(idle, limits.UpgradeFIN)
	}
	return tn.x.p.start.Add(time.Duration(tn.moved.Load()) + idle)
}

// duplex is one side of a tunnel.
type duplex interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	CloseWrite() error
}

// pass passes one direction on until it ends, and reports whether that was in
// order. srcBroke and dstBroke say what it means if one of the two breaks.
func (tn *tunnel) pass(dst, src duplex, srcBroke, dstBroke gate.Reason, count func(int)) bool {
	buf := tn.x.p.buffers.Get().(*buffer)
	defer tn.x.p.buffers.Put(buf)
	for {
		tn.setBy(src.SetReadDeadline)
		if r, err := tn.stopped(); r != gate.None {
			return tn.fail(r, err)
		}
		n, err := src.Read(buf[:])
		switch {
		case n > 0:
		case errors.Is(err, io.EOF):
			tn.touch()
			tn.ended.Store(true)
			_ = dst.CloseWrite() // fails only if dst broke, which a read of it tells
			_ = dst.SetReadDeadline(tn.idleBy())
			_ = src.SetWriteDeadline(tn.idleBy())
			return true
		case errors.Is(err, os.ErrDeadlineExceeded):
			if r, err := tn.stopped(); r != gate.None {
				return tn.fail(r, err)
			}
			if time.Now().Before(tn.idleBy()) {
				continue
			}
			return tn.fail(gate.IdleTimeout, nil)
		default:
			return tn.fail(srcBroke, err)
		}
		tn.touch()
		for out := buf[:n]; len(out) > 0; {
			tn.setLook(dst.SetWriteDeadline)
			k, err := dst.Write(out)
			if out = out[k:]; k > 0 {
				tn.touch()
			}
			switch {
			case err == nil:
			case errors.Is(err, os.ErrDeadlineExceeded):
				if r, err := tn.stopped(); r != gate.None {
					return tn.fail(r, err)
				}
				switch {
				case k > 0:
				case broken(src):
					return tn.fail(srcBroke, syscall.ECONNRESET)
				case !time.Now().Before(tn.idleBy()):
					return tn.fail(gate.IdleTimeout, nil)
				}
			default:
				return tn.fail(dstBroke, err)
			}
		}
		count(n)
	}
}

// setLook sets the deadline of a write: nobody reads of the source meanwhile, so
// it is looked at now and then.
func (tn *tunnel) setLook(set func(time.Time) error) {
	by := tn.idleBy()
	if soon := time.Now().Add(lookEvery); soon.Before(by) {
		by = soon
	}
	_ = set(by)
}

// broken reports whether one side of a tunnel was reset.
func broken(side duplex) bool {
	switch s := side.(type) {
	case *upstream:
		return s.isBroken()
	case interface{ Broken() bool }:
		return s.Broken()
	}
	return false
}

// setBy sets a deadline to when it is over. The other direction, should it end at
// this moment, may have set an earlier one.
func (tn *tunnel) setBy(set func(time.Time) error) {
	for ended := tn.ended.Load(); ; {
		_ = set(tn.idleBy())
		now := tn.ended.Load()
		if now == ended {
			return
		}
		ended = now
	}
}

// stopped returns why the tunnel is over, if it is.
func (tn *tunnel) stopped() (gate.Reason, error) {
	tn.mu.Lock()
	defer tn.mu.Unlock()
	if tn.reason != gate.None {
		return tn.reason, tn.err
	}
	if c, stopped := tn.x.why(); stopped && !c.rescue {
		return c.reason, c.err
	}
	return gate.None, nil
}

// fail notes why the tunnel is over, the first time.
func (tn *tunnel) fail(r gate.Reason, err error) bool {
	tn.mu.Lock()
	defer tn.mu.Unlock()
	if c, stopped := tn.x.why(); stopped && !c.rescue {
		r, err = c.reason, c.err
	}
	if tn.reason == gate.None {
		tn.reason, tn.err = r, err
	}
	return false
}
