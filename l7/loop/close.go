package loop

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"sluice/l7/gate"
	"sluice/pkg/reactor"
)

// resume goes on after an exchange that leaves the connection open.
func (c *conn) resume() {
	c.state, c.client.Served = idling, true
	if c.sh.s.stopped.Load() == running {
		c.arm(c.sh.s.cfg.IdleTimeout)
	} else {
		c.arm(idleGrace)
	}
	if len(c.in) > 0 || c.eof || c.stream.Readable() {
		c.serve()
	}
}

// finish closes the connection after its last response.
func (c *conn) finish() {
	if len(c.in) == 0 && !c.stream.Readable() {
		c.close()
		return
	}
	c.finishUnread()
}

// finishUnread is finish for a client that may be sending still: what it sends
// must be taken, or the reset that answers it destroys the response.
func (c *conn) finishUnread() {
	c.in = nil
	if c.eof || c.stream.CloseWrite() != nil {
		c.close()
		return
	}
	c.linger()
}

// linger begins to throw away what the client sends. Our direction has ended.
func (c *conn) linger() {
	cfg, now := c.sh.s.cfg, c.sh.l.Now()
	c.state = throwing
	c.lingers = &lingering{until: now + int64(cfg.LingerTime), pace: gate.Pace{From: now}}
	c.arm(min(cfg.LingerTimeout, cfg.LingerTime))
	c.drain()
}

// drain throws away what the client sends until it closes too.
func (c *conn) drain() {
	for range 4 {
		if !c.stream.Readable() {
			return
		}
		n, err := c.stream.Read(c.sh.l.Scratch())
		switch {
		case err == nil:
		case errors.Is(err, reactor.ErrAgain):
			return
		default:
			c.close()
			return
		}
		if !c.progress(n) {
			c.close()
			return
		}
	}
	c.sh.l.Again(c.stream)
}

// progress notes n bytes more and reports whether the connection goes on.
func (c *conn) progress(n int) bool {
	cfg, now, l := c.sh.s.cfg, c.sh.l.Now(), c.lingers
	l.taken += int64(n)
	left := time.Duration(l.until - now)
	if left <= 0 || cfg.MinBodyRate > 0 && l.pace.Slow(now, l.taken, cfg.MinBodyRate, cfg.MinBodyRateOver) {
		return false
	}
	c.arm(min(cfg.LingerTimeout, left))
	return true
}

// close closes the connection, which has no exchange.
func (c *conn) close() {
	c.state = closed
	c.in = nil
	c.closeBound()
	c.sh.l.Stop(&c.timer)
	c.sh.remove(c)
	c.stream.Close()
	if c.visit == nil {
		c.sh.s.ln.Leave(c.place)
	}
}

// guard ends the connection after a panic, a defect of ours.
func (c *conn) guard() {
	p := recover()
	if p == nil {
		return
	}
	c.sh.s.cfg.Logger.Error("panic while serving a request", "panic", p, "stack", string(debug.Stack()))
	c.looping = false
	if c.x != nil {
		c.x.fail(gate.InternalError, fmt.Errorf("panic: %v", p))
		return
	}
	c.stream.Reset()
	c.close()
}

// Panicked is called by the loop, should guard itself have panicked.
func (c *conn) Panicked() {
	if c.state == closed {
		return
	}
	if c.x != nil {
		c.x.abandon(gate.InternalError, nil)
	}
	c.close()
}
