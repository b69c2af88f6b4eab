package epoll

import (
	"context"

	"sluice/pkg/backend"
	"sluice/pkg/reactor"
)

// What would block a loop is done elsewhere, in a goroutine: to look up a
// backend's name, and to speak TLS with it.

// resolve looks the backend's name up, and connects to what it finds.
func (c *connect) resolve() {
	x, b := c.x, c.b
	ctx, cancel := context.WithTimeout(x.s.closing, x.ticket.Upstream().ConnectTimeout)
	c.elsewhere, c.cancel = true, cancel
	go func() {
		defer cancel()
		addrs, err := b.Addresses(ctx)
		x.post(func() {
			if c.isBack(err) {
				c.race = x.l.Race(addrs, backend.AttemptDelay, c)
			}
		})
	}()
}

// shakeHands connects to the backend, sends the PROXY header if it wants one, and
// shakes hands.
func (c *connect) shakeHands() {
	x, b := c.x, c.b
	ctx, cancel := context.WithTimeout(x.s.closing, x.ticket.Upstream().ConnectTimeout)
	c.elsewhere, c.cancel = true, cancel
	client := x.clientTLS()
	cfg, header := x.ticket.Upstream().TLSFor(b, client), x.ticket.Header(x.localAddr, client)
	go func() {
		defer cancel()
		nc, err := x.s.dialer.TLS(ctx, b, cfg, header)
		if !x.post(func() {
			if c.isBack(err) {
				x.connected(c, x.l.AdoptConn(nc))
			} else if err == nil {
				nc.Close()
			}
		}) && err == nil {
			nc.Close()
		}
	}()
}

// isBack reports whether the attempt goes on after it was elsewhere, with err.
func (c *connect) isBack(err error) bool {
	c.elsewhere = false
	if c.b == nil {
		return false // it is over
	}
	if err != nil {
		c.x.act(c.failed(err))
	}
	return err == nil
}

var _ reactor.Racer = (*connect)(nil)

// post makes f run in the loop, about the session.
func (x *session) post(f func()) bool {
	return x.l.Post(func() { x.l.Guard(x.client, f) })
}
