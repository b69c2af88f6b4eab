package fast

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"sluice/l7/gate"
	"sluice/l7/plain"
	"sluice/pkg/listen"
	"sluice/pkg/tcp"
)

// Why a client is not waited for any more.
var (
	errClientStalled = errors.New("l7: the client takes nothing of the response")
	errTooSlow       = errors.New("l7: the client sends or takes a body too slowly")
)

// reply sends the client what it gets.
func (c *conn) reply(x *plain.Exchange) {
	if x.Aborted() {
		c.last, c.broken = true, true
		return
	}
	w := writer{c: c, x: x, limits: x.Limits()}
	p := x.Out()
	for {
		r, err := w.write(p)
		if err != nil {
			if r == gate.TruncatedResponse {
				x.BrokeOff()
			} else {
				x.ClientFailed(r, err)
			}
			c.last, c.broken, c.reset = true, true, x.Resets()
			return
		}
		if p, err = x.Next(); err != nil {
			if !errors.Is(err, io.EOF) {
				c.last, c.broken, c.reset = true, true, x.Resets()
				return
			}
			break
		}
	}
	if x.Switched() {
		c.last = true
		x.Tunnel((*duplex)(c))
		c.broken, c.reset = true, x.Failed()
		return
	}
	if x.Closes() {
		c.last, c.more = true, !x.Whole()
	}
}

// Interim sends the head of a 1xx response at once.
func (c *conn) Interim(head []byte) error {
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.s.cfg.BodyTimeout))
	n, err := c.nc.Write(head)
	c.wrote += int64(n)
	c.writeBy = time.Time{}
	return err
}

// brokenGrace is for how long what a backend has sent before it broke may be taken
// by nobody.
const brokenGrace = 2 * time.Second

// writer sends a response to a client, for as long as that takes it fast enough.
type writer struct {
	c      *conn
	x      *plain.Exchange
	limits *gate.Limits
	pace   gate.Pace
	start  time.Time // of pace's clock
	moved  int64     // bytes that the client had taken at the last look
}

// write sends p. If it cannot, it says what that means.
func (w *writer) write(p []byte) (gate.Reason, error) {
	c, body := w.c, w.limits.Body
	look := body
	if !c.isTLS() { // where a write that was not in time cannot go on
		look = min(body/4, c.s.cfg.MinBodyRateOver, lookEvery)
	}
	var stalled, broken time.Time
	for len(p) > 0 {
		now := time.Now()
		if stalled.IsZero() {
			stalled = now.Add(body)
		}
		c.setWriteBy(now.Add(look))
		n, err := c.nc.Write(p)
		c.wrote += int64(n)
		p = p[n:]
		switch {
		case err == nil:
			return gate.None, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return gate.ClientAbort, err
		}
		c.writeBy = time.Time{}
		now = time.Now()
		moved := c.taken() // what its system has acknowledged is progress
		if r, err, stopped := w.x.Stopped(); stopped {
			return r, err
		}
		switch {
		case !w.x.BackendBroken():
		case broken.IsZero():
			broken = now
		case now.Sub(broken) >= brokenGrace && moved <= w.moved:
			return gate.TruncatedResponse, syscall.ECONNRESET
		}
		switch {
		case w.start.IsZero():
			w.start = now
			w.pace = gate.Pace{From: 1, Bytes: moved}
		case w.limits.MinRate > 0 && w.pace.Slow(1+int64(now.Sub(w.start)), moved, w.limits.MinRate, c.s.cfg.MinBodyRateOver):
			return gate.ClientTooSlow, errTooSlow
		case moved > w.moved:
			stalled = now.Add(body)
		}
		if n > 0 {
			stalled = now.Add(body)
		}
		if w.moved = moved; !now.Before(stalled) {
			return gate.ClientStalled, errClientStalled
		}
	}
	return gate.None, nil
}

// setWriteBy sets the deadline for writes. A later one is as good as long as it
// is not much later.
func (c *conn) setWriteBy(by time.Time) {
	if d := c.writeBy.Sub(by); d >= -time.Until(by)/4 && d <= 0 && !c.writeBy.IsZero() {
		return
	}
	c.writeBy = by
	_ = c.nc.SetWriteDeadline(by)
}

// taken returns how many bytes the client's system has acknowledged or, if that
// is not known, how many were written.
func (c *conn) taken() int64 {
	if n := plain.Unacked(uintptr(c.fd)); n >= 0 {
		return c.wrote - int64(n)
	}
	return c.wrote
}

func (c *conn) isTLS() bool {
	_, plain := c.nc.(*listen.Conn)
	return !plain
}

// duplex is a connection that has switched protocols.
type duplex conn

// Read brings what was read ahead, and then what comes.
func (d *duplex) Read(p []byte) (int, error) {
	if d.w > d.r {
		n := copy(p, d.in[d.r:d.w])
		d.r += n
		return n, nil
	}
	if d.eof {
		return 0, io.EOF
	}
	return d.nc.Read(p)
}

// Write sends p.
func (d *duplex) Write(p []byte) (int, error) { return d.nc.Write(p) }

// Broken reports whether the client has reset the connection.
func (d *duplex) Broken() bool { return (*conn)(d).Broken() }

// CloseWrite ends our direction.
func (d *duplex) CloseWrite() error { return tcp.CloseWrite(d.nc) }

// SetReadDeadline sets the deadline for reads.
func (d *duplex) SetReadDeadline(t time.Time) error { return d.nc.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline for writes.
func (d *duplex) SetWriteDeadline(t time.Time) error { return d.nc.SetWriteDeadline(t) }
