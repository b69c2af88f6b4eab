package loop

import (
	"errors"
	"time"

	"sluice/pkg/reactor"
)

// interim sends a 1xx response, after which the response can still be any. It
// reports whether the exchange goes on.
func (x *exchange) interim(p []byte) bool {
	started := x.download.started
	if !x.toClient(p) {
		return false
	}
	x.download.started = started
	return true
}

// toClient sends p to the client, and keeps what that does not take. It reports
// whether the exchange goes on.
func (x *exchange) toClient(p []byte) bool {
	d := &x.download
	d.started = true
	if !d.pending.Empty() {
		d.pending.Add(x.sh.l, p)
		return true
	}
	n, err := x.write(p)
	x.c.wrote += int64(max(n, 0))
	if err != nil && !errors.Is(err, reactor.ErrAgain) {
		x.clientBroke(err)
		return false
	}
	d.pending.Add(x.sh.l, p[n:])
	x.arm()
	return true
}

// write writes to the client. Behind the last of a response that is the last one
// on its connection comes the end, at once.
func (x *exchange) write(p []byte) (int, error) {
	if s, ok := x.c.stream.(*reactor.Socket); ok && x.download.done && x.Whole() && x.Closes() {
		return s.WriteLast(p)
	}
	return x.c.stream.Write(p)
}

// ahead keeps p, bytes that follow the request that is being served.
func (c *conn) ahead(p []byte, m memory) {
	switch {
	case len(p) == 0:
	case m == owned && len(c.in) == 0:
		c.in = p
	default:
		c.in = append(c.in, p...)
	}
}

// arm gives what is waited for the time d from now on. The timer is not moved
// to later: it finds out when it fires.
func (c *conn) arm(d time.Duration) {
	l := c.sh.l
	c.deadline = l.Now() + int64(d)
	if !c.timer.Set() || c.deadline < c.fires {
		c.fires = c.deadline
		l.After(&c.timer, d, c)
	}
}
