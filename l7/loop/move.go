package loop

import (
	"time"

	"sluice/pkg/reactor"
)

// move gives a connection that waits for a request to a loop that is less busy,
// if there is one, and reports whether it did: then the connection is that
// loop's, and not to be touched here.
func (c *conn) move() bool {
	from := c.sh
	socket, ok := c.stream.(*reactor.Socket)
	if !ok || len(c.in) > 0 || c.eof || len(c.bound) > 0 || from.s.stopped.Load() != running {
		return false
	}
	to := from.l.Shed(socket, c.since)
	if to == nil {
		return false
	}
	left := time.Duration(c.deadline - from.l.Now())
	from.l.Stop(&c.timer)
	from.remove(c)
	if socket.Move(to, func(s *reactor.Socket, err error) { c.moved(s, err, left) }) {
		return true
	}
	from.add(c)
	c.arm(left)
	return false
}

// moved is told, in the loop that the connection lives in from now on, that it
// has come there, with so much time left to wait for the next request.
func (c *conn) moved(stream *reactor.Socket, err error, left time.Duration) {
	s := c.sh.s
	if err != nil {
		c.state = closed
		s.ln.Leave(c.place)
		return
	}
	l := stream.Loop()
	c.sh, c.stream, c.since = s.shards[l.Index()], stream, l.Real()
	c.sh.add(c)
	stream.Handle(c)
	switch {
	case s.closing.Err() != nil:
		c.close()
	case s.stopped.Load() != running: // it was told when the connection was under way
		c.arm(idleGrace)
	default:
		c.arm(left)
	}
}
