//go:build !linux || portable

package fast

import (
	"errors"
	"os"
	"time"
)

// rest is how a connection waits where loops have no sockets: in a goroutine
// that holds no buffer.
type rest struct {
	c *conn
	b [1]byte
}

// choose says where c is to rest. It is called before the connection is known to
// be parked.
func (r *rest) choose(c *conn) { r.c = c }

// begin lets the connection rest until something comes, or until by.
func (r *rest) begin(by time.Time) {
	c := r.c
	c.readBy = by
	_ = c.nc.SetReadDeadline(by)
	if c.isCut() {
		r.hurry(atOnce)
	} else if c.isToStop() {
		r.hurry(soon)
	}
	go r.wait()
}

func (r *rest) wait() {
	c := r.c
	n, err := c.nc.Read(r.b[:])
	if n == 0 {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.overdue()
		} else {
			c.eof = true // who goes on finds out
			c.s.arrivals.put(c)
		}
		return
	}
	_ = c.makeRoom()
	c.in[c.w] = r.b[0]
	c.w++
	c.s.arrivals.put(c)
}

// hurry makes a rest end soon, or at once. It may be called from any goroutine.
func (r *rest) hurry(how hurry) {
	by := time.Now()
	if how == soon {
		by = by.Add(idleGrace)
	}
	_ = r.c.nc.SetReadDeadline(by)
}
