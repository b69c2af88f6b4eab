package copy

import (
	"context"
	"net"
	"slices"
	"time"

	"sluice/l4"
	"sluice/pkg/attempt"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
)

// started is an attempt that is under way.
type started struct {
	b  *backend.Backend
	at time.Time
}

// outcome is what became of one.
type outcome struct {
	started
	conn net.Conn // nil with an error
	took time.Duration
	err  error
}

// dialing is a connection's attempts to get a backend.
type dialing struct {
	*walk
	ctx      context.Context // ends when the time for all attempts is over
	end      context.CancelFunc
	under    []started    // way, the oldest first
	outcomes chan outcome // has room for all that can be under way
	slow     *time.Timer  // that the plan is told of
}

// dial does what the plan says until there is a backend, or there is none: then
// the connection is nil, and the reason says why. The caller owns the connection,
// and the ticket the slot.
func (w *walk) dial() (net.Conn, l4.Reason) {
	d := &dialing{walk: w, outcomes: make(chan outcome, balance.MaxTries), slow: time.NewTimer(w.s.gate.HedgeAfter)}
	defer d.slow.Stop()
	d.beginTime()
	defer func() { d.end() }() // ends the attempts that lost
	for a := w.plan.Begin(w.now()); ; {
		switch a.Do {
		case attempt.Dial:
			d.begin(a.Backend)
		case attempt.Enqueue:
			next, reason, gone := w.await(a.After)
			if gone {
				return nil, reason
			}
			d.end()
			d.beginTime()
			a = next
			continue
		case attempt.GiveUp:
			return nil, w.ticket.GaveUp()
		}
		if a.After > 0 {
			d.slow.Reset(a.After)
		}
		select {
		case <-d.slow.C:
			a = w.plan.Slow()
			continue
		case o := <-d.outcomes:
			switch {
			case o.err == nil:
				return d.won(o), 0
			case w.s.closing.Err() != nil:
				d.abandon()
				return nil, l4.Draining
			}
			a = d.failed(o)
		}
	}
}

// now returns the time as the plan reckons it.
func (w *walk) now() int64 { return int64(time.Since(w.start)) }

// beginTime starts the time for all attempts together.
func (d *dialing) beginTime() {
	d.ctx, d.end = context.WithTimeout(d.s.closing, d.s.gate.ConnectDeadline)
}

// begin begins to connect to b.
func (d *dialing) begin(b *backend.Backend) {
	x := started{b, time.Now()}
	d.under = append(d.under, x)
	ctx := d.ctx // it is another one later
	go func() {
		conn, err := d.connect(ctx, b)
		d.outcomes <- outcome{x, conn, time.Since(x.at), err}
	}()
}

// connect makes one connection to b.
func (w *walk) connect(ctx context.Context, b *backend.Backend) (net.Conn, error) {
	up := w.ticket.Upstream()
	ctx, cancel := context.WithTimeout(ctx, up.ConnectTimeout)
	defer cancel()
	if up.TLS != nil {
		return conn(w.s.dialer.TLS(ctx, b, up.TLSFor(b, w.guest.TLS), w.header()))
	}
	return conn(w.s.dialer.TCP(ctx, b))
}

// conn returns a connection of any type as one; a nil of that type is none.
func conn[T net.Conn](c T, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

// over takes an attempt out of those under way.
func (d *dialing) over(o outcome) {
	d.under = slices.DeleteFunc(d.under, func(x started) bool { return x == o.started })
}

// failed returns what to do after an attempt that came to nothing.
func (d *dialing) failed(o outcome) attempt.Action {
	d.over(o)
	if d.ctx.Err() != nil { // there is no time left for another one
		d.plan.Overdue()
	}
	return d.plan.Failed(d.now(), o.b, o.err, o.took, attempt.Pause(d.s.gate.Pauses.Since(o.at) > 0))
}

// won ends the attempts but the one that has won.
func (d *dialing) won(o outcome) net.Conn {
	d.over(o)
	d.plan.Connected()
	d.ticket.Established(o.b, o.took)
	d.abandon()
	return o.conn
}

// abandon gives up the attempts that are under way.
func (d *dialing) abandon() {
	n := len(d.under)
	for _, x := range d.under {
		d.plan.Lost(x.b, time.Since(x.at))
	}
	d.under = nil
	if n == 0 {
		return
	}
	go func() {
		for range n {
			if o := <-d.outcomes; o.conn != nil {
				o.conn.Close()
			}
		}
	}()
}
