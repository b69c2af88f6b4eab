package epoll

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"sluice/pkg/attempt"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/reactor"
)

// dialing is what a session needs until it has a backend. It is used again, so
// that an established session holds nothing of it.
type dialing struct {
	plan     *attempt.Plan
	unused   bool // the ticket holds the plan no more
	connects [balance.MaxTries]connect
	begun    int // of them
}

// freeDialings is how many are kept for sessions to come.
const freeDialings = 64

func (q *sessions) newDialing(x *session) *dialing {
	var d *dialing
	if n := len(q.free); n > 0 {
		d = q.free[n-1]
		q.free = q.free[:n-1]
	} else {
		d = new(dialing)
	}
	if d.plan == nil {
		d.plan = &attempt.Plan{}
	}
	for i := range d.connects {
		d.connects[i].x = x
	}
	return d
}

// act does what the plan says.
func (x *session) act(a attempt.Action) {
	for !x.ended {
		switch a.Do {
		case attempt.Dial:
			c := x.dialing.room()
			if err := c.begin(a.Backend); err != nil {
				a = c.failed(err)
				continue
			}
		case attempt.Enqueue:
			x.l.After(&x.timer, a.After, x)
			x.readQueued()
			return
		case attempt.GiveUp:
			x.end(x.ticket.GaveUp())
			return
		}
		if a.After > 0 {
			x.l.After(&x.flush, a.After, x)
		}
		return
	}
}

// Wake tells the loop that a slot may be free. It is called from any goroutine.
func (x *session) Wake() bool { return x.post(x.woken) }

// woken tries for the slot that may be free. A session that has ended meanwhile
// has said so.
func (x *session) woken() {
	if x.ended || x.dialing == nil || !x.dialing.plan.Queued() {
		return
	}
	x.l.After(&x.timer, x.s.gate.ConnectDeadline, x)
	x.act(x.dialing.plan.Woken(x.l.Now()))
}

// overdue ends a session for which connecting, or waiting for a slot, took too
// long altogether.
func (x *session) overdue() {
	d := x.dialing
	a := d.plan.Overdue()
	for i := range d.connects[:d.begun] {
		if c := &d.connects[i]; c.b != nil {
			a = c.failed(c.tookTooLong())
		}
	}
	x.act(a)
}

// connected goes on with the attempt that won, by server.
func (x *session) connected(c *connect, server reactor.Stream) {
	took, b := c.took(), c.over()
	x.server = server
	x.dialing.plan.Connected()
	x.dialing.unused = x.list().lead(x, b, took)
	x.stopDialing()
	x.l.Stop(&x.flush)
	if x.ticket.Upstream().TLS == nil { // through TLS, the attempt has sent it
		if header := x.ticket.Header(x.localAddr, x.clientTLS()); len(header) > 0 {
			x.pair.Up.Ahead(header)
		}
	}
	x.server.Handle(x)
	x.pair.Begin(x.l.Now())
	x.watchIdle()
	x.move()
}

// stopDialing ends the attempts that are under way, and the wait.
func (x *session) stopDialing() {
	d := x.dialing
	if d == nil {
		return
	}
	x.dialing = nil
	d.plan.Leave()
	held := d.plan.Shared() // somebody, or a goroutine, may still hold it
	for i := range d.connects[:d.begun] {
		c := &d.connects[i]
		held = held || c.elsewhere
		if c.b != nil {
			took := c.took()
			d.plan.Lost(c.drop(), took)
		}
	}
	q := x.list()
	if held || len(q.free) == freeDialings {
		return
	}
	spare := (*attempt.Plan)(nil)
	if d.unused {
		spare = d.plan
		*spare = attempt.Plan{}
	}
	*d = dialing{plan: spare}
	q.free = append(q.free, d)
}

// connect is one attempt to connect to a backend, and the handler of its socket.
type connect struct {
	x         *session
	b         *backend.Backend // whose slot is held; nil when the attempt is over
	server    *reactor.Socket  // nil while the attempt is made elsewhere, or a race
	race      *reactor.Race    // to the addresses of a name
	begun     int64            // in the loop's time
	timer     reactor.Timer
	elsewhere bool               // a goroutine resolves a name, or shakes hands
	cancel    context.CancelFunc // of that goroutine
}

// room returns room for an attempt: of those that count as tries there are no
// more than that, and of the others none is under way.
func (d *dialing) room() *connect {
	if d.begun < len(d.connects) {
		d.begun++
		return &d.connects[d.begun-1]
	}
	for i := range d.connects {
		if c := &d.connects[i]; c.b == nil && !c.elsewhere {
			c.server, c.race, c.cancel = nil, nil, nil
			return c
		}
	}
	panic("BUG: more attempts under way than may be")
}

// begin begins to connect to b. It may fail at once.
func (c *connect) begin(b *backend.Backend) error {
	x := c.x
	c.b, c.begun = b, x.l.Now()
	x.l.After(&c.timer, x.ticket.Upstream().ConnectTimeout, c)
	if x.ticket.Upstream().TLS != nil {
		c.shakeHands()
		return nil
	}
	if b.AddrPort().IsValid() {
		return c.reach(b.AddrPort())
	}
	if addrs, known := b.Known(); known {
		c.race = x.l.Race(addrs, backend.AttemptDelay, c)
	} else {
		c.resolve()
	}
	return nil
}

func (c *connect) reach(addr netip.AddrPort) error {
	server, err := c.x.l.Connect(addr)
	if err != nil {
		return err
	}
	if t := c.x.s.gate.UserTimeout; t > 0 {
		server.SetUserTimeout(t)
	}
	c.server = server
	server.Handle(c)
	return nil
}

// Ready is told of the outcome of the connect.
func (c *connect) Ready(reactor.Stream) {
	switch err := c.server.Connected(); {
	case errors.Is(err, reactor.ErrAgain):
	case err != nil:
		c.x.act(c.failed(err))
	default:
		c.x.connected(c, c.server)
	}
}

// Raced is told of the outcome of the race.
func (c *connect) Raced(s *reactor.Socket, addr netip.AddrPort, failed []reactor.Failed) {
	c.race = nil
	if s == nil {
		c.b.Unreached()
		c.x.act(c.failed(failures(failed)))
		return
	}
	c.b.Reached(addr)
	if t := c.x.s.gate.UserTimeout; t > 0 {
		s.SetUserTimeout(t)
	}
	c.x.connected(c, s)
}

// failures returns attempts that came to nothing as one error.
func failures(all []reactor.Failed) error {
	errs := make([]error, len(all))
	for i, f := range all {
		errs[i] = backend.At(f.Addr, f.Err)
	}
	return backend.Several(errs)
}

// Expired is told that the attempt took too long.
func (c *connect) Expired(*reactor.Timer) { c.x.act(c.failed(c.tookTooLong())) }

// tookTooLong returns what an attempt fails of that is given up.
func (c *connect) tookTooLong() error {
	if c.race != nil {
		return failures(c.race.GaveUp(reactor.ErrConnectTimeout))
	}
	return reactor.ErrConnectTimeout
}

// Panicked ends the session after a defect of ours.
func (c *connect) Panicked() { c.x.Panicked() }

// took returns for how long the attempt has been under way.
func (c *connect) took() time.Duration { return time.Duration(c.x.l.Now() - c.begun) }

// failed ends the attempt by err, and returns what to do next.
func (c *connect) failed(err error) attempt.Action {
	l, took := c.x.l, c.took()
	paused := attempt.Pause(l.StalledSince(c.begun))
	return c.x.dialing.plan.Failed(l.Now(), c.drop(), err, took, paused)
}

// drop gives back what the attempt holds but the slot, and returns whose that is.
func (c *connect) drop() *backend.Backend {
	if c.server != nil {
		c.server.Close()
	}
	if c.race != nil {
		c.race.Close()
		c.race = nil
	}
	if c.cancel != nil {
		c.cancel()
	}
	return c.over()
}

// over ends the attempt, whatever came of it, and returns its backend.
func (c *connect) over() *backend.Backend {
	b := c.b
	c.b = nil
	c.x.l.Stop(&c.timer)
	return b
}
