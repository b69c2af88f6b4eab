package loop

import (
	"context"
	"errors"
	"net/netip"

	"sluice/pkg/backend"
	"sluice/pkg/reactor"
)

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

func (up *upstream) connectReady() {
	switch err := up.stream.(*reactor.Socket).Connected(); {
	case errors.Is(err, reactor.ErrAgain):
	case err != nil:
		up.x.connectFailed(up, err)
	default:
		up.established()
	}
}

// connectByName tries the addresses of a backend's name, if they are known.
func (up *upstream) connectByName() {
	if addrs, known := up.b.Known(); known {
		up.race = up.sh.l.Race(addrs, backend.AttemptDelay, up)
		return
	}
	up.resolve()
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

// tookTooLong returns what a connect fails of that is given up.
func (up *upstream) tookTooLong() error {
	if up.race != nil {
		return failures(up.race.GaveUp(reactor.ErrConnectTimeout))
	}
	return reactor.ErrConnectTimeout
}

// failures returns attempts that came to nothing as one error.
func failures(all []reactor.Failed) error {
	errs := make([]error, len(all))
	for i, f := range all {
		errs[i] = backend.At(f.Addr, f.Err)
	}
	return backend.Several(errs)
}
