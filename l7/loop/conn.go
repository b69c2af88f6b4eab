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

const (
	// readAhead is how many bytes at most are read of a connection whose
	// requests are not served yet. What is beyond stays in the kernel.
	readAhead = 16 << 10
	// idleGrace is how long a connection without a request is still listened
	// to when the server stops: enough for what the kernel has received.
	idleGrace = 20 * time.Millisecond
)

// connState is what a client's connection is doing.
type connState uint8

const (
	idling   connState = iota // for the first byte of a request
	reading                   // a request's head
	serving                   // a request: there is an exchange
	throwing                  // our direction has ended; what comes is thrown away
	closed
)

// memory says whose the memory is that some bytes are in.
type memory uint8

const (
	lent  memory = iota // the loop's scratch, which is good for this step alone
	owned               // the connection's own
)

// conn is a client's connection, and the handler of its stream. It belongs to
// the loop that accepted it, until it moves. Between two requests it holds no buffer.
type conn struct {
	sh         *shard
	stream     reactor.Stream
	prev, next *conn
	place      listen.Place
	client     gate.Client
	visit      *visit // of HTTP/2 that it is a part of, or nil

	bound []*upstream // connections to backends that serve nobody else

	x        *exchange // the request that is being served, or nil
	in       []byte    // read and not used: part of a head, or what follows the request being served
	searched int       // how much of a head in in was searched for its end

	timer    reactor.Timer
	deadline int64 // when what is waited for is too late, in the loop's time
	fires    int64 // when timer does, not after deadline
	since    int64 // when it came to its loop, in that one's real time

	state   connState
	eof     bool // the client has ended its direction
	looping bool // serve is running
	bodied  bool // the request before had a body

	wrote   int64      // bytes of responses
	lingers *lingering // while it throws away
}

// start makes a connection that has arrived one of the server. It runs in the
// connection's loop.
func (s *Server) start(a listen.Arrival) {
	sh := s.shards[a.Stream.Loop().Index()]
	c := &conn{sh: sh, stream: a.Stream, place: a.Place, since: sh.l.Real()}
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

func (sh *shard) add(c *conn) {
	if c.next = sh.first; c.next != nil {
		c.next.prev = c
	}
	sh.first = c
	sh.n++
}

func (sh *shard) remove(c *conn) {
	sh.rescuer.gone(c)
	if c.prev == nil {
		sh.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	sh.n--
	sh.trim(0)
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
	if f, why := http1.JudgeStart(p, c.sh.s.cfg.MaxTargetBytes); f != 0 {
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
