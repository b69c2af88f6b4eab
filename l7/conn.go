package l7

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime/debug"
	"time"

	"sluice/l7/http1"
	"sluice/pkg/balance"
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
	waiting  connState = iota // for the first byte of a request
	reading                   // a request's head
	serving                   // a request: there is an exchange
	throwing                  // our direction has ended; what comes is thrown away
	closed
)

// conn is a client's connection, and the handler of its stream. It belongs to
// the loop that accepted it. Between two requests it holds no buffer.
type conn struct {
	sh         *shard
	stream     reactor.Stream
	prev, next *conn
	place      listen.Place
	client     netip.AddrPort
	key        uint64 // of the client's address, for strategies that hash
	tls        *tls.ConnectionState
	secure     bool   // the client uses TLS, with us or with the proxy that says so in its PROXY header
	port       uint16 // that the client is connected to, here or there
	cert       string // the lines that tell backends of the client's certificate, or nothing

	bound []*upstream // connections to backends that serve nobody else

	x        *exchange // the request that is being served, or nil
	in       []byte    // read and not used: part of a head, or what follows the request being served
	searched int       // how much of a head in in was searched for its end

	timer    reactor.Timer
	deadline int64 // when what is waited for is too late, in the loop's time
	fires    int64 // when timer does, not after deadline

	state   connState
	trusted bool // the client is a proxy of ours
	served  bool // a request was
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
	c := &conn{sh: sh, stream: a.Stream, place: a.Place, client: a.Client, tls: a.TLS, secure: a.TLS != nil || a.ProxyTLS, port: s.port}
	if a.Local.IsValid() {
		c.port = a.Local.Port()
	}
	client := a.Client
	if client.IsValid() {
		c.key = balance.HashAddr(client.Addr())
		for _, p := range s.cfg.TrustedProxies {
			c.trusted = c.trusted || p.Contains(client.Addr())
		}
	}
	if s.cfg.ClientCerts {
		c.cert = clientCertLines(a.TLS)
	}
	sh.add(c)
	c.stream.Handle(c)
	c.arm(s.cfg.HeadTimeout)
	if s.stopped.Load() == closingFresh {
		c.arm(idleGrace)
	}
	defer c.guard()
	if len(a.Read) > 0 {
		c.feed(bytes.Clone(a.Read), true)
	}
	if c.state != closed && c.x == nil {
		c.serve()
	}
}

// Ready is told that the client's stream may be read or written.
func (c *conn) Ready(reactor.Stream) {
	defer c.guard()
	switch c.state {
	case waiting, reading:
		c.serve()
	case serving:
		c.x.clientReady()
		c.noticeClient()
	case throwing:
		c.drain()
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
		c.x.fail(InternalError, fmt.Errorf("panic: %v", p))
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
		c.x.abandon(InternalError, nil)
	}
	c.close()
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

// Expired is the alarm of the timer.
func (c *conn) Expired(*reactor.Timer) {
	defer c.guard()
	if left := c.deadline - c.sh.l.Now(); left > 0 {
		c.arm(time.Duration(left))
		return
	}
	switch c.state {
	case reading:
		c.refuse(RequestTimeout, RequestTimeout.explain())
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
		if c.state == waiting && len(c.in) > 0 {
			in := c.in
			c.in = nil
			c.feed(in, true)
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
			c.feed(buf[:n], false)
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
			c.begin(nil).abandon(ClientAbort, io.ErrUnexpectedEOF)
		}
		c.close()
	}
}

// feed takes p, the next bytes of the client, of which own says that they are
// not in the loop's scratch. If they complete a head its request is begun.
func (c *conn) feed(p []byte, own bool) {
	if c.state == reading {
		c.in = append(c.in, p...)
		p, own = c.in, true
	} else {
		c.searched = 0
	}
	if n := http1.EmptyLines(p, c.bodied); n > 0 {
		p = p[n:]
		c.searched = 0
	}
	if len(p) == 0 {
		c.in, c.state = nil, waiting
		return
	}
	cfg := &c.sh.s.cfg
	n, ok := http1.ScanHead(p, c.searched)
	switch {
	case !ok:
		c.refuse(BadRequest, "a line does not end in CRLF")
		return
	case n > cfg.MaxHeadBytes || n == 0 && len(p) >= cfg.MaxHeadBytes:
		r := HeadTooLarge
		if bytes.IndexByte(p, '\n') < 0 {
			r = TargetTooLong
		}
		c.refuse(r, r.explain())
		return
	case n == 0:
		c.keepHead(p, own)
		return
	}
	c.in = nil
	x := c.begin(p[:n])
	x.receiveRequest(p[n:], own)
}

// keepHead keeps p, the beginning of a head, until the rest comes.
func (c *conn) keepHead(p []byte, own bool) {
	if r, why := http1.JudgeStart(p, c.sh.s.cfg.MaxTargetBytes); r != 0 {
		c.refuse(reasonOf(r), why)
		return
	}
	if c.state == waiting {
		c.state = reading
		c.arm(c.sh.s.cfg.HeadTimeout)
	}
	if !own {
		p = append(make([]byte, 0, 2*len(p)), p...)
	}
	c.in, c.searched = p, len(p)
}

// begin begins an exchange for the request with the given head.
func (c *conn) begin(raw []byte) *exchange {
	c.state = serving
	c.x = c.sh.newExchange(c, raw)
	return c.x
}

// refuse answers what could not be read as a request.
func (c *conn) refuse(r Reason, why string) {
	c.in = nil
	c.begin(nil).refuse(r, why)
}

// ahead keeps p, bytes that follow the request that is being served.
func (c *conn) ahead(p []byte, own bool) {
	switch {
	case len(p) == 0:
	case own && len(c.in) == 0:
		c.in = p
	default:
		c.in = append(c.in, p...)
	}
}

// resume goes on after an exchange that leaves the connection open.
func (c *conn) resume() {
	c.state, c.served = waiting, true
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
	if c.state == waiting && (c.served || how == closingFresh) {
		c.arm(idleGrace)
	}
}

// finish closes the connection after its last response. If the client may be
// sending still, what it sends must be taken, or the reset that answers it
// destroys the response.
func (c *conn) finish(more bool) {
	if c.eof || !more && len(c.in) == 0 && !c.stream.Readable() {
		c.close()
		return
	}
	c.in = nil
	if c.stream.CloseWrite() != nil {
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
	c.sh.s.ln.Leave(c.place)
}

// cut ends the connection with whatever is under way on it, as the server
// stops.
func (c *conn) cut() {
	if c.x != nil {
		c.stream.Reset()
		c.x.abandon(Draining, nil)
	}
	c.close()
}
