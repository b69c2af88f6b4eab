package loop

import (
	"fmt"
	"runtime/debug"

	"sluice/l7/gate"
)

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
