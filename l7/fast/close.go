package fast

import (
	"io"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/l7/gate"
	"sluice/l7/plain"
	"sluice/pkg/tcp"
)

// handle serves the request that fasthttp has read the head of.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	c := ctx.Conn().(*conn)
	ctx.Response.SkipBody = true
	c.serve()
	if c.last {
		ctx.SetConnectionClose()
	}
}

// serve serves the request whose head has come, or answers what is none.
func (c *conn) serve() {
	defer c.guard()
	c.unserved = false
	x := c.s.proxy.Begin(c, &c.session)
	defer x.End()
	switch {
	case c.refusal != gate.None:
		x.Refuse(c.refusal, c.why)
	case c.fault != 0:
		x.Malformed(c.fault, c.why)
	default:
		x.Do(c.raw)
	}
	c.raw, c.refusal, c.fault = nil, gate.None, 0
	c.reply(x)
	c.session.Served, c.bodied = true, x.Bodied()
	c.requests = min(c.requests+1, parkSteps)
	c.idleBy = time.Now().Add(c.s.cfg.IdleTimeout)
}

// abandon ends a request of which the client has sent a part and no more.
func (c *conn) abandon() {
	x := c.s.proxy.Begin(c, &c.session)
	x.Abandon(gate.ClientAbort, io.ErrUnexpectedEOF)
	x.End()
}

// guard ends the connection after a panic, a defect of ours.
func (c *conn) guard() {
	if p := recover(); p != nil {
		c.s.cfg.Logger.Error("panic while serving a request", "panic", p, "stack", string(debug.Stack()))
		c.last, c.broken, c.reset = true, true, true
	}
}

// Close is called by fasthttp when it does not go on: because the connection is
// quiet and is to be parked, because what has come is no request, because the
// last response was sent, or because fasthttp alone thinks so.
func (c *conn) Close() error {
	c.feed = nil
	if c.refusal != gate.None || c.fault != 0 || c.unserved {
		c.serve()
	}
	switch {
	case c.last:
		if !c.broken {
			c.linger()
		}
		c.leave()
	case c.quiet:
		c.quiet = false
		c.park()
	default:
		c.s.arrivals.put(c)
	}
	return nil
}

// park lets the connection rest until its next request, or the rest of one.
func (c *conn) park() {
	if c.r == c.w {
		c.giveBack()
		c.r, c.w = 0, 0
	} else {
		begun := append([]byte(nil), c.in[c.r:c.w]...)
		c.giveBack()
		c.in, c.r, c.w = begun, 0, len(begun)
	}
	by := c.waitsBy()
	c.mu.Lock()
	c.phase, c.begun, c.again = parked, c.w > c.r, c.session.Served
	c.rest.choose(c)
	c.mu.Unlock()
	c.rest.begin(by)
}

// overdue is told that nothing came in time.
func (c *conn) overdue() {
	if c.w > c.r && !c.isCut() {
		c.s.arrivals.put(c) // it is told so
		return
	}
	c.leave()
}

// hurry says how soon a rest is to end.
type hurry uint8

const (
	soon   hurry = iota // when the kernel has brought what it has
	atOnce              // now
)

// stopIdle ends the wait for a request, soon.
func (c *conn) stopIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mayStop() {
		return
	}
	switch c.phase {
	case waiting:
		_ = c.nc.SetReadDeadline(time.Now().Add(idleGrace))
	case parked:
		c.rest.hurry(soon)
	}
}

// condemn says that the connection is to be cut, and reports whether it was still
// there.
func (c *conn) condemn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	return c.phase != closed
}

// end cuts the connection, whatever is under way on it.
func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.phase {
	case closed:
	case parked:
		c.rest.hurry(atOnce)
	default:
		_ = c.tcp.SetLinger(0)
		_ = c.tcp.TCPConn.Close() // leave gives its place back
	}
}

// leave closes the connection.
func (c *conn) leave() {
	c.mu.Lock()
	c.phase = closed
	c.mu.Unlock()
	c.session.Close()
	c.giveBack()
	if c.reset {
		_ = c.tcp.SetLinger(0)
		_ = c.tcp.TCPConn.Close() // not what is upon it, which would say goodbye
	}
	_ = c.nc.Close()
	_ = c.tcp.Close()
	c.s.remove(c)
}

// linger ends our direction after the last response. If the client may be
// sending still, what it sends must be taken, or the reset that answers it
// destroys the response. It is taken for as long as the client makes progress,
// within limits of its own.
func (c *conn) linger() {
	cfg := c.s.cfg
	if c.eof || !c.more && c.r == c.w && plain.Quiet(uintptr(c.fd)) {
		return
	}
	if tcp.CloseWrite(c.nc) != nil {
		return
	}
	c.r, c.w = 0, 0
	_ = c.makeRoom()
	end := time.Now().Add(cfg.LingerTime)
	var taken int64
	pace := gate.Pace{From: 1}
	for start := time.Now(); ; {
		now := time.Now()
		by := now.Add(cfg.LingerTimeout)
		if end.Before(by) {
			by = end
		}
		if !now.Before(end) || cfg.MinBodyRate > 0 && pace.Slow(1+int64(now.Sub(start)), taken, cfg.MinBodyRate, cfg.MinBodyRateOver) {
			return
		}
		c.setReadBy(by, 0)
		n, err := c.nc.Read(c.in)
		if taken += int64(n); err != nil {
			return
		}
	}
}

// isToStop reports whether the connection, which is parked, is to be closed soon.
func (c *conn) isToStop() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mayStop()
}

// isCut reports whether the server has cut the connection.
func (c *conn) isCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}
