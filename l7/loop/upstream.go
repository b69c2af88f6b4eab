package loop

import (
	"context"
	"errors"
	"net/netip"

	"sluice/l7/gate"
	"sluice/pkg/backend"
	"sluice/pkg/reactor"
)

// upstream is a connection to a backend, and the handler of its socket. It
// belongs to one exchange or is idle.
type upstream struct {
	sh      *shard
	svc     *gate.Service
	b       *backend.Backend
	stream  *reactor.Socket // nil during a look-up, a race, or a search for an idle one elsewhere
	race    *reactor.Race   // to the addresses of a name
	x       *exchange       // that uses it; nil while it is idle
	reused  bool            // it has served a request before
	private bool            // somebody has authenticated on it: it is their connection's alone
	wrote   int             // bytes of the request that it serves
	partial []byte          // the beginning of a response head

	connecting bool
	begun      int64         // when it began to connect, in the loop's time
	timer      reactor.Timer // of the connect

	// While idle it is in a pool, or bound to its owner.
	owner      *conn
	pool       *idlePool
	prev, next *upstream
	since      int64 // in the loop's time, as the others
	rests      int64 // until when it is not to be taken
	until      int64 // when it is too old
	counted    bool  // among the idle connections of b
}

// Ready is told that the backend's socket may be read or written.
func (up *upstream) Ready(reactor.Stream) {
	x := up.x
	if x == nil {
		up.idleReady()
		return
	}
	defer x.c.guard()
	if up.connecting {
		up.connectReady()
		return
	}
	x.backendReady()
}

// quiet reports whether an idle connection is alive: its backend has not
// closed it and sent nothing. A byte that nobody asked for would be taken for
// the beginning of the next response.
func (up *upstream) quiet() bool {
	_, err := up.stream.Read(up.sh.probe[:])
	return errors.Is(err, reactor.ErrAgain)
}

// idleReady drops an idle connection that ended or spoke.
func (up *upstream) idleReady() {
	if !up.stream.Readable() || up.quiet() {
		return
	}
	if up.owner != nil {
		up.owner.unbind(up)
	} else {
		up.pool.ended(up)
		up.pool.remove(up)
	}
	up.close()
}

// unseen reports whether nothing of the request had come to the backend's system
// when the backend ended its direction: the FIN acknowledges what had. That end
// was no answer to it then, and nobody will read it.
func (up *upstream) unseen() bool { return up.wrote > 0 && up.stream.Unacked() >= up.wrote }

// reset closes the connection so that the backend sees it break.
func (up *upstream) reset() {
	if up.stream != nil {
		up.stream.Reset()
	}
	up.close()
}

// close closes the connection, or ends the attempt to make one.
func (up *upstream) close() {
	up.x = nil
	up.sh.l.Stop(&up.timer)
	if up.race != nil {
		up.race.Close()
		up.race = nil
	}
	if up.stream == nil {
		return
	}
	up.stream.Close()
	up.stream = nil
	up.b.Conns.Open.Add(-1)
	up.sh.upstreams--
}

// dial begins to connect to b for x, whose connection it is then. An error that
// is known at once is returned, and the connection is then gone.
func (sh *shard) dial(x *exchange, b *backend.Backend) error {
	sh.trim(1)
	up := &upstream{sh: sh, svc: x.Service(), b: b, x: x, connecting: true, begun: sh.l.Now()}
	sh.l.After(&up.timer, x.Limits().Connect, up)
	x.up = up
	var err error
	if full(b) {
		err = up.borrow()
	} else {
		err = up.reach()
	}
	if err != nil {
		x.closeUpstream()
	}
	return err
}

// reach begins to connect, to a name when that is resolved.
func (up *upstream) reach() error {
	if addr := up.b.AddrPort(); addr.IsValid() {
		return up.connect(addr)
	}
	up.connectByName()
	return nil
}

func (up *upstream) connect(addr netip.AddrPort) error {
	stream, err := up.sh.l.Connect(addr)
	if err != nil {
		return err
	}
	up.b.Conns.Open.Add(1)
	up.sh.upstreams++
	up.stream = stream
	stream.Handle(up)
	return nil
}

// connectByName tries the addresses of a backend's name, if they are known.
func (up *upstream) connectByName() {
	if addrs, known := up.b.Known(); known {
		up.race = up.sh.l.Race(addrs, backend.AttemptDelay, up)
		return
	}
	up.resolve()
}

// Raced is told of the outcome of the race.
func (up *upstream) Raced(s *reactor.Socket, addr netip.AddrPort, failed []reactor.Failed) {
	up.race = nil
	defer up.x.c.guard()
	if s == nil {
		up.b.Unreached()
		up.x.connectFailed(up, failures(failed))
		return
	}
	up.b.Reached(addr)
	up.b.Conns.Open.Add(1)
	up.sh.upstreams++
	up.stream = s
	s.Handle(up)
	up.established()
}

// failures returns attempts that came to nothing as one error.
func failures(all []reactor.Failed) error {
	errs := make([]error, len(all))
	for i, f := range all {
		errs[i] = backend.At(f.Addr, f.Err)
	}
	return backend.Several(errs)
}

// tookTooLong returns what a connect fails of that is given up.
func (up *upstream) tookTooLong() error {
	if up.race != nil {
		return failures(up.race.GaveUp(reactor.ErrConnectTimeout))
	}
	return reactor.ErrConnectTimeout
}

// resolve looks a backend's name up, outside the loop, and then connects.
func (up *upstream) resolve() {
	sh, b := up.sh, up.b
	ctx, cancel := context.WithTimeout(sh.s.closing, up.x.Limits().Connect)
	go func() {
		defer cancel()
		addrs, err := b.Addresses(ctx)
		sh.l.Post(func() {
			if up.x == nil {
				return // it is over
			}
			defer up.x.c.guard()
			if err != nil {
				up.x.connectFailed(up, err)
				return
			}
			up.race = sh.l.Race(addrs, backend.AttemptDelay, up)
		})
	}()
}

func (up *upstream) connectReady() {
	switch err := up.stream.Connected(); {
	case errors.Is(err, reactor.ErrAgain):
	case err != nil:
		up.x.connectFailed(up, err)
	default:
		up.established()
	}
}

// established goes on with a connect that has succeeded.
func (up *upstream) established() {
	up.connecting = false
	up.sh.l.Stop(&up.timer)
	if up.stream.Readable() { // it speaks first, or has ended; there may be no other event
		up.sh.l.Again(up.stream)
	}
	up.x.connected(up)
}

// Expired is told that the connect took too long.
func (up *upstream) Expired(*reactor.Timer) {
	if x := up.x; x != nil {
		defer x.c.guard()
		x.connectFailed(up, up.tookTooLong())
	}
}
