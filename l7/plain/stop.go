package plain

import (
	"errors"
	"io"
	"time"

	"sluice/l7/gate"
	"sluice/pkg/backend"
)

// An exchange waits in one goroutine; others stop it, or make it look again. They
// leave word under mu, and then wake it: in a wait for a backend by a deadline
// that is over, elsewhere by awake.

// stop ends the exchange, or has it look for another backend. It may be called
// from any goroutine; the first word counts.
func (x *Exchange) stop(c cause) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stopLocked(c)
}

func (x *Exchange) stopLocked(c cause) {
	if x.halted == (cause{}) || x.halted.rescue {
		x.halted = c
	}
	if x.u != nil && !c.rescue {
		_ = x.u.SetWriteDeadline(past)
	}
	x.wake()
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// wake makes the exchange look; x.mu is held.
func (x *Exchange) wake() {
	x.poked.Store(true)
	if x.u != nil {
		_ = x.u.SetReadDeadline(past)
	}
	select {
	case x.awake <- struct{}{}:
	default:
	}
}

// poke makes the exchange look.
func (x *Exchange) poke() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.wake()
}

// use makes u the connection in use, or none.
func (x *Exchange) use(u *upstream) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.u = u
	if u != nil && x.halted != (cause{}) {
		x.wake()
	}
}

// why returns why the exchange was stopped, if it was. Word of a backend that is
// down is given once.
func (x *Exchange) why() (c cause, stopped bool) {
	x.poked.Store(false)
	x.mu.Lock()
	defer x.mu.Unlock()
	c = x.halted
	if c.rescue {
		x.halted = cause{}
	}
	return c, c != (cause{})
}

// notes whom it waits for, for who rescues, and who it stays on, for who evicts.
func (x *Exchange) awaits(b *backend.Backend) {
	x.mu.Lock()
	x.waits, x.stays = b, nil
	x.mu.Unlock()
}

func (x *Exchange) staysWith(b *backend.Backend) {
	x.mu.Lock()
	x.waits, x.stays = nil, b
	x.mu.Unlock()
}

func (x *Exchange) waitsFor() *backend.Backend {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.waits
}

func (x *Exchange) staysOn() *backend.Backend {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.stays
}

// visit is an exchange at a time; the same memory may serve another request
// later.
type visit struct {
	x      *Exchange
	number uint64
}

func (x *Exchange) visit() visit {
	x.mu.Lock()
	defer x.mu.Unlock()
	return visit{x, x.number}
}

func (v visit) stop(c cause) {
	v.x.mu.Lock()
	defer v.x.mu.Unlock()
	if v.x.number == v.number {
		v.x.stopLocked(c)
	}
}

// watch looks what the client does, if it has nothing to send any more.
func (x *Exchange) watch() {
	if x.watching || !x.t.Whole() {
		return
	}
	x.watching = true
	x.c.Watch(x.clientGone)
}

func (x *Exchange) unwatch() {
	if x.watching {
		x.watching = false
		x.c.Unwatch()
	}
}

// clientGone is told that the client has ended its direction, or broken. A reset
// cancels the request at once. The end of its direction alone may mean that it
// has said everything and listens.
func (x *Exchange) clientGone(err error) {
	if !errors.Is(err, io.EOF) {
		x.stop(cause{reason: gate.ClientAbort, err: err})
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gone = true
	x.wake()
}

// isStopped reports whether the exchange was stopped, as by who takes everybody off
// its backend.
func (x *Exchange) isStopped() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.halted != (cause{}) && !x.halted.rescue
}

// hasGone reports whether the client has ended its direction.
func (x *Exchange) hasGone() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.gone
}
