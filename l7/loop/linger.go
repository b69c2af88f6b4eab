package loop

import (
	"errors"
	"time"

	"sluice/l7/gate"
	"sluice/pkg/reactor"
)

// lingering is a connection that is closed after its last response while its
// client goes on sending: what it sends must be taken, or the reset that answers
// it destroys the response. It is taken for as long as the client makes
// progress, within limits of its own.
type lingering struct {
	until int64 // in the loop's time
	taken int64 // bytes
	pace  gate.Pace
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
