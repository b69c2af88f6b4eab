//go:build !portable

package fast

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"sluice/l7/http1"
	"sluice/pkg/reactor"
)

// rest is how a connection waits without a goroutine: in a loop, which tells
// when there is something to read.
type rest struct {
	c     *conn
	loop  *reactor.Loop
	sock  *reactor.Socket // nil while it does not rest
	timer reactor.Timer
}

// choose says where c is to rest. It is called before the connection is known to
// be parked.
func (r *rest) choose(c *conn) { r.c, r.loop = c, c.s.loops.Least() }

// begin lets the connection rest until something comes, or until by.
func (r *rest) begin(by time.Time) {
	if !r.loop.Post(func() { r.enter(by) }) {
		r.c.leave()
	}
}

func (r *rest) enter(by time.Time) {
	sock, err := r.loop.Watch(r.c.fd)
	if err != nil {
		r.c.leave()
		return
	}
	r.sock = sock
	sock.Handle(r)
	r.arm(by)
	if r.c.isCut() {
		r.end()
		r.c.leave()
	} else if r.c.isToStop() {
		r.arm(time.Now().Add(idleGrace))
	}
}

func (r *rest) arm(by time.Time) { r.loop.After(&r.timer, max(0, time.Until(by)), r) }

// Ready is told that there is something to read, or the end.
func (r *rest) Ready(s reactor.Stream) {
	if s.Readable() && !r.drips() {
		r.end()
		r.c.s.arrivals.put(r.c)
	}
}

// drips reads more of a head that has begun, and reports whether it is still not
// complete, so that slow clients cost no goroutine for each byte.
func (r *rest) drips() bool {
	c := r.c
	if c.w == c.r || c.isTLS() {
		return false
	}
	buf := r.loop.Scratch()
	for {
		n, err := unix.Read(c.fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return true
		case n <= 0:
			return false // who reads finds out
		}
		c.in = append(c.in[:c.w], buf[:n]...)
		c.w = len(c.in)
		p := c.in[c.r:c.w]
		end, ok := http1.ScanHead(p, c.searched)
		if fault, _ := http1.CheckStart(p, c.s.cfg.MaxTargetBytes); !ok || end > 0 || fault != 0 || len(p) >= c.s.cfg.MaxHeadBytes {
			return false
		}
		c.searched = len(p)
	}
}

// Expired is told that nothing came in time.
func (r *rest) Expired(*reactor.Timer) {
	r.end()
	r.c.overdue()
}

// end ends the rest. The connection is whose who calls it.
func (r *rest) end() {
	r.loop.Stop(&r.timer)
	r.sock.Release()
	r.sock = nil
}

// hurry makes a rest end soon, or at once, if it has not ended already. It may
// be called from any goroutine.
func (r *rest) hurry(how hurry) {
	r.loop.Post(func() {
		switch {
		case r.sock == nil: // it has ended, or not begun: that looks for itself
		case how == atOnce:
			r.end()
			r.c.leave()
		case r.c.w == r.c.r:
			r.arm(time.Now().Add(idleGrace))
		}
	})
}
