package loop

import (
	"bytes"
	"errors"
	"io"
	"time"

	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

// idleGrace is how long a connection without a request is still listened to when
// the server stops: enough for what the kernel has received.
const idleGrace = 20 * time.Millisecond

// start makes a connection that has arrived one of the server. It runs in the
// connection's loop.
func (s *Server) start(a listen.Arrival) {
	sh := s.shards[a.Stream.Loop().Index()]
	c := &conn{sh: sh, stream: a.Stream, place: a.Place, born: sh.l.Real(), since: sh.l.Real()}
	c.client = s.gate.Client(gate.Arrival{Client: a.Client, Local: a.Local, TLS: a.TLS, ProxyTLS: a.ProxyTLS})
	if a.TLS != nil && a.TLS.NegotiatedProtocol == agreedOn {
		sh.receiveVisit(a.Stream, a.Place, c.client, a.Read)
		return
	}
	sh.add(c)
	c.stream.Handle(c)
	c.arm(s.cfg.HeadTimeout)
	if s.stopped.Load() == closingFresh {
		c.arm(idleGrace)
	}
	defer c.guard()
	if len(a.Read) > 0 {
		c.feed(bytes.Clone(a.Read), owned)
	}
	if c.state != closed && c.x == nil {
		c.serve()
	}
}

// Ready is told that the client's stream may be read or written.
func (c *conn) Ready(reactor.Stream) {
	defer c.guard()
	switch c.state {
	case idling:
		if !c.move() {
			c.serve()
		}
	case reading:
		c.serve()
	case serving:
		c.x.clientReady()
		c.noticeClient()
	case throwing:
		c.drain()
	}
}

// Expired is the alarm of the timer.
func (c *conn) Expired(*reactor.Timer) {
	defer c.guard()
	if left := c.deadline - c.sh.l.Now(); left > 0 {
		c.arm(time.Duration(left))
		return
	}
	switch c.state {
	case reading:
		c.refuse(gate.RequestTimeout)
	case serving:
		c.x.timedOut()
	default: // a connection opened in advance, or a client that had its time
		c.close()
	}
}

// serve reads requests and begins to serve them, one after the other, until
// one is being served or there is none. Nothing else must be under way.
func (c *conn) serve() {
	if c.looping {
		return // further up the stack
	}
	c.looping = true
	for moved := 0; c.x == nil && c.state < throwing; {
		if c.state == idling && len(c.in) > 0 {
			in := c.in
			c.in = nil
			c.feed(in, owned)
			continue
		}
		if c.eof || !c.stream.Readable() {
			break
		}
		if moved >= share { // of requests that were answered here
			c.sh.l.Again(c.stream)
			break
		}
		buf := c.sh.l.Scratch()[:readAhead]
		n, err := c.stream.Read(buf)
		moved += n
		switch {
		case err == nil:
			c.feed(buf[:n], lent)
		case errors.Is(err, reactor.ErrAgain):
			c.looping = false
			return
		default:
			c.eof = true
		}
	}
	c.looping = false
	if c.eof && c.x == nil && c.state < throwing {
		if c.state == reading {
			c.begin(nil).abandon(gate.ClientAbort, io.ErrUnexpectedEOF)
		}
		c.close()
	}
}

// feed takes p, the next bytes of the client. If they complete a head its request
// is begun.
func (c *conn) feed(p []byte, m memory) {
	if c.state == reading {
		c.in = append(c.in, p...)
		p, m = c.in, owned
	} else {
		c.searched = 0
	}
	if n := http1.EmptyLines(p, c.bodied); n > 0 {
		p = p[n:]
		c.searched = 0
	}
	if len(p) == 0 {
		c.in, c.state = nil, idling
		return
	}
	if c.isVisit(p) {
		c.becomeVisit(p)
		return
	}
	cfg := c.sh.s.cfg
	n, ok := http1.ScanHead(p, c.searched)
	switch {
	case !ok:
		c.malformed(http1.BadHead, "a line does not end in CRLF")
		return
	case n > cfg.MaxHeadBytes || n == 0 && len(p) >= cfg.MaxHeadBytes:
		r := gate.HeadTooLarge
		if bytes.IndexByte(p, '\n') < 0 {
			r = gate.TargetTooLong
		}
		c.refuse(r)
		return
	case n == 0:
		c.keepHead(p, m)
		return
	}
	c.in = nil
	x := c.begin(p[:n])
	x.receive(p[n:], m)
}

// keepHead keeps p, the beginning of a head, until the rest comes.
func (c *conn) keepHead(p []byte, m memory) {
	if f, why := http1.CheckStart(p, c.sh.s.cfg.MaxTargetBytes); f != 0 {
		c.malformed(f, why)
		return
	}
	if c.state == idling {
		c.state = reading
		c.arm(c.sh.s.cfg.HeadTimeout)
	}
	if m == lent {
		p = append(make([]byte, 0, 2*len(p)), p...)
	}
	c.in, c.searched = p, len(p)
}

// refuse answers what could not be read as a request.
func (c *conn) refuse(r gate.Reason) {
	c.in = nil
	x := c.begin(nil)
	x.Refuse(r, "")
	x.reply()
}

// malformed is refuse for what is no head of a request.
func (c *conn) malformed(f http1.Fault, why string) {
	c.in = nil
	x := c.begin(nil)
	x.Malformed(f, why)
	x.reply()
}

// stopIdle ends the wait for a request, soon.
func (c *conn) stopIdle(how int32) {
	if c.state == idling && (c.client.Served || how == closingFresh) {
		c.arm(idleGrace)
	}
}

// cut ends the connection with whatever is under way on it, as the server
// stops.
func (c *conn) cut() {
	if c.x != nil {
		c.stream.Reset()
		c.x.abandon(gate.Draining, nil)
	}
	c.close()
}
