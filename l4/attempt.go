package l4

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"strings"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/proxyproto"
	"sluice/pkg/reactor"
)

// dialing is what a session needs until it has a backend. It is used again, so
// that an established session holds nothing of it.
type dialing struct {
	tries    *tries // of the session's record
	attempts [balance.MaxTries]attempt
	begun    int // of them
	running  int // of them
	queue    queueing
}

// freeDialings is how many are kept for sessions to come.
const freeDialings = 64

func (q *sessionList) newDialing(x *session) *dialing {
	d := &dialing{}
	if n := len(q.free); n > 0 {
		d = q.free[n-1]
		q.free = q.free[:n-1]
	}
	if d.tries == nil {
		d.tries = &tries{}
	}
	x.rec.tries = d.tries
	for i := range d.attempts {
		d.attempts[i].x = x
	}
	return d
}

// stopDialing ends the attempts that are under way. Their backends were slow
// to answer, which is for health to look into.
func (x *session) stopDialing() {
	d := x.dialing
	if d == nil {
		return
	}
	x.leaveQueue()
	held := d.queue.used
	for i := range d.attempts[:d.begun] {
		a := &d.attempts[i]
		held = held || a.elsewhere
		if a.b != nil {
			b := a.drop()
			b.Suspect()
			x.svc.lost(b, time.Duration(x.l.Now()-a.begun), x.s.cfg.HedgeAfter)
		}
	}
	x.dialing = nil
	spare := (*tries)(nil)
	if d.tries.plain() && x.b != nil {
		spare, x.rec.tries = d.tries, nil
		*spare = tries{}
	}
	if list := x.list(); !held && len(list.free) < freeDialings { // a goroutine, or a queue, may still hold it
		*d = dialing{tries: spare}
		list.free = append(list.free, d)
	}
}

// attempt is one attempt to connect to a backend, and the handler of its
// socket.
type attempt struct {
	x         *session
	b         *backend.Backend // whose slot is held; nil when the attempt is over
	server    *reactor.Socket  // nil while the attempt is made elsewhere, or a race
	race      *reactor.Race    // to the addresses of a name
	begun     int64            // in the loop's time
	timer     reactor.Timer
	elsewhere bool               // a goroutine resolves a name, or shakes hands
	cancel    context.CancelFunc // of that goroutine
}

// dial begins attempts until one is under way, or waits for a backend that has
// a slot free, or ends the session if there is none.
func (x *session) dial() {
	for !x.ended && x.dialing.running == 0 {
		if x.attempt() {
			continue
		}
		if x.rec.tries.full && x.enqueue() {
			return
		}
		if !x.ended {
			x.end(x.rec.unserved(), nil)
		}
	}
	if !x.ended {
		x.l.After(&x.flush, x.s.cfg.HedgeAfter, x)
	}
}

// attempt begins an attempt, which may fail at once; false means that there is
// no backend for it.
func (x *session) attempt() bool {
	b := x.svc.pick(&x.rec)
	if b == nil {
		return false
	}
	d := x.dialing
	a := d.free()
	d.running++
	a.b, a.begun = b, x.l.Now()
	x.l.After(&a.timer, x.svc.ConnectTimeout, a)
	switch {
	case x.svc.TLS != nil:
		a.goElsewhere()
	case b.AddrPort().IsValid():
		if err := a.connect(b.AddrPort()); err != nil {
			a.failed(err)
		}
	default:
		a.connectByName()
	}
	return true
}

// free returns room for an attempt: of those that count as tries there are no
// more than that, and of the others none is under way.
func (d *dialing) free() *attempt {
	if d.begun < len(d.attempts) {
		d.begun++
		return &d.attempts[d.begun-1]
	}
	for i := range d.attempts {
		if a := &d.attempts[i]; a.b == nil && !a.elsewhere {
			a.server, a.race, a.cancel = nil, nil, nil
			return a
		}
	}
	panic("BUG: more attempts under way than may be")
}

// Expired is told that the attempt took too long.
func (a *attempt) Expired(*reactor.Timer) {
	x := a.x
	a.failed(a.tookTooLong())
	x.dial()
}

// tookTooLong returns what an attempt fails of that is given up.
func (a *attempt) tookTooLong() error {
	if a.race != nil {
		return failures(a.race.GaveUp(reactor.ErrConnectTimeout))
	}
	return reactor.ErrConnectTimeout
}

func (a *attempt) connect(addr netip.AddrPort) error {
	server, err := a.x.l.Connect(addr)
	if err != nil {
		return err
	}
	if t := a.x.s.cfg.UserTimeout; t > 0 {
		server.SetUserTimeout(t)
	}
	a.server = server
	server.Handle(a)
	return nil
}

// connectByName tries the addresses of a backend's name, if they are known.
func (a *attempt) connectByName() {
	if addrs, known := a.b.Known(); known {
		a.race = a.x.l.Race(addrs, backend.AttemptDelay, a)
		return
	}
	a.goElsewhere()
}

// Raced is told of the outcome of the race.
func (a *attempt) Raced(s *reactor.Socket, addr netip.AddrPort, failed []reactor.Failed) {
	x := a.x
	a.race = nil
	if s == nil {
		a.b.Unreached()
		a.failed(failures(failed))
		x.dial()
		return
	}
	a.b.Reached(addr)
	if t := x.s.cfg.UserTimeout; t > 0 {
		s.SetUserTimeout(t)
	}
	x.connected(a, s)
}

// failures returns attempts that came to nothing as one error.
func failures(all []reactor.Failed) error {
	errs := make([]error, len(all))
	for i, f := range all {
		errs[i] = backend.At(f.Addr, f.Err)
	}
	return backend.Several(errs)
}

// goElsewhere leaves the loop for what would block it: to look up a backend's
// name, or to speak TLS.
func (a *attempt) goElsewhere() {
	x, b := a.x, a.b
	a.elsewhere = true
	ctx, cancel := context.WithTimeout(x.s.closing, x.svc.ConnectTimeout)
	a.cancel = cancel
	if x.svc.TLS == nil {
		go func() {
			defer cancel()
			addrs, err := b.Addresses(ctx)
			x.post(func() {
				if a.isBack(err) {
					a.race = x.l.Race(addrs, backend.AttemptDelay, a)
				}
			})
		}()
		return
	}
	header, alpn := x.proxyHeader(), x.agreed()
	go func() {
		defer cancel()
		nc, err := x.s.dialTLS(ctx, x.svc, b, alpn, header)
		if !x.post(func() {
			if a.isBack(err) {
				x.connected(a, x.l.AdoptConn(nc))
			} else if err == nil {
				nc.Close()
			}
		}) && err == nil {
			nc.Close()
		}
	}()
}

// agreed returns the application protocol that was agreed on with the client,
// empty if none was.
func (x *session) agreed() string {
	if tc := x.clientTLS(); tc != nil {
		return tc.ConnectionState().NegotiatedProtocol
	}
	return ""
}

// clientTLS returns the client's connection if it speaks TLS with us, else nil.
func (x *session) clientTLS() *tls.Conn {
	c, ok := x.client.(*reactor.Conn)
	if !ok {
		return nil
	}
	tc, _ := c.NetConn().(*tls.Conn)
	return tc
}

// proxyHeader returns the header for the backend, if it wants one, with the
// client's certificate if that has shown one and there is a place for it.
func (x *session) proxyHeader() []byte {
	if x.svc.proxyOut.Load() == 0 {
		return nil // and nobody asks the system for the client's local address
	}
	header := x.svc.proxyHeader(nil, x.rec.client, x.localAddr())
	tc := x.clientTLS()
	if len(header) == 0 || tc == nil {
		return header
	}
	state := tc.ConnectionState()
	if len(state.PeerCertificates) == 0 {
		return header
	}
	return proxyproto.AppendSSL(header, proxyproto.SSL{
		Version:    strings.ReplaceAll(tls.VersionName(state.Version), "TLS ", "TLSv"),
		CommonName: state.PeerCertificates[0].Subject.CommonName,
	})
}

// isBack reports whether the attempt goes on after it was elsewhere, with err.
func (a *attempt) isBack(err error) bool {
	a.elsewhere = false
	if a.b == nil {
		return false // it is over
	}
	if err != nil {
		a.failed(err)
		a.x.dial()
	}
	return err == nil
}

// Ready is told of the outcome of the connect.
func (a *attempt) Ready(reactor.Stream) {
	switch err := a.server.Connected(); {
	case errors.Is(err, reactor.ErrAgain):
	case err != nil:
		a.failed(err)
		a.x.dial()
	default:
		a.x.connected(a, a.server)
	}
}

// Panicked ends the session after a defect of ours.
func (a *attempt) Panicked() { a.x.Panicked() }

// over ends the attempt, whatever came of it, and returns its backend.
func (a *attempt) over() *backend.Backend {
	b := a.b
	a.b = nil
	a.x.dialing.running--
	a.x.l.Stop(&a.timer)
	return b
}

// drop gives back what the attempt holds.
func (a *attempt) drop() *backend.Backend {
	b := a.over()
	if a.server != nil {
		a.server.Close()
	}
	if a.race != nil {
		a.race.Close()
		a.race = nil
	}
	if a.cancel != nil {
		a.cancel()
	}
	b.Release()
	return b
}

// failed ends the attempt by err.
func (a *attempt) failed(err error) {
	a.x.rec.connect = time.Duration(a.x.l.Now() - a.begun)
	a.x.svc.dialFailed(&a.x.rec, a.drop(), err, a.x.l.StalledSince(a.begun))
}

// deadlineOver ends a session for which connecting, or waiting for a slot, took
// too long altogether.
func (x *session) deadlineOver() {
	for i := range x.dialing.attempts[:x.dialing.begun] {
		if a := &x.dialing.attempts[i]; a.b != nil {
			a.failed(a.tookTooLong())
		}
	}
	x.end(x.rec.unserved(), nil)
}
