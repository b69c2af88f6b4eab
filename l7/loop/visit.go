package loop

import (
	"errors"
	"io"

	"sluice/l7/gate"
	"sluice/l7/h2"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

// HTTP2 says how a listener speaks HTTP/2 (RFC 9113). With clients of TLS it is
// spoken where that was agreed on.
type HTTP2 struct {
	// Clear says that clients without TLS may speak it too, as whose first words
	// show (prior knowledge).
	Clear bool
	// MaxStreams bounds the requests that a client may have under way on one
	// connection. 0 means 128.
	MaxStreams int
}

// visit is a client's connection of HTTP/2. Each of its requests is served as one
// on a connection of HTTP/1.1 of its own would be: by a conn, whose stream is one
// of the session's.
type visit struct {
	sh         *shard
	session    *h2.Session
	place      listen.Place
	client     gate.Client
	prev, next *visit
	over       bool
}

// agreedOn is what ALPN calls HTTP/2.
const agreedOn = "h2"

// receiveVisit makes stream, of which read has come, a connection of HTTP/2. It
// is its owner.
func (sh *shard) receiveVisit(stream reactor.Stream, place listen.Place, client gate.Client, read []byte) {
	cfg := sh.s.cfg
	v := &visit{sh: sh, place: place, client: client}
	v.client.HTTP2 = true
	if v.next = sh.visits; v.next != nil {
		v.next.prev = v
	}
	sh.visits = v
	session := h2.Serve(stream, read, h2.Config{
		MaxStreams: sh.s.http2.MaxStreams, MaxHead: cfg.MaxHeadBytes,
		HeadTimeout: cfg.HeadTimeout, IdleTimeout: cfg.IdleTimeout, StallTimeout: cfg.BodyTimeout,
	}, v)
	if v.over {
		return
	}
	v.session = session
	if sh.s.leaving.Load() {
		v.leave()
	}
}

// leave asks the client to come again with its next request.
func (v *visit) leave() {
	if v.sh.s.stopped.Load() == running {
		v.session.Leave()
	} else {
		v.session.LeaveNow()
	}
}

// Request serves a request.
func (v *visit) Request(st *h2.Stream) {
	sh := v.sh
	c := &conn{sh: sh, stream: st, client: v.client, visit: v}
	v.client.Served = true
	sh.add(c)
	st.Handle(c)
	c.arm(sh.s.cfg.HeadTimeout)
	defer c.guard()
	if st.TooLarge() {
		c.refuse(gate.HeadTooLarge)
		return
	}
	c.serve()
}

// Changed is for who asks.
func (v *visit) Changed() {}

// Ended is told that the connection is over. Its requests are told for
// themselves.
func (v *visit) Ended(code h2.Code, err error) {
	sh := v.sh
	v.over = true
	if v.prev == nil {
		sh.visits = v.next
	} else {
		v.prev.next = v.next
	}
	if v.next != nil {
		v.next.prev = v.prev
	}
	sh.s.ln.Leave(v.place)
	if code != h2.NoError && !errors.Is(err, io.EOF) {
		sh.s.faults.count(code, v.client.Addr, err)
	}
}

// leaveVisits asks the clients of HTTP/2 to come again elsewhere.
func (sh *shard) leaveVisits() {
	for v := sh.visits; v != nil; {
		next := v.next
		v.leave()
		v = next
	}
}

// cutVisits ends the connections of HTTP/2.
func (sh *shard) cutVisits() {
	for sh.visits != nil {
		sh.visits.session.Close()
	}
}

// isVisit reports whether p, the first words of a client, are those of HTTP/2.
func (c *conn) isVisit(p []byte) bool {
	const line = "PRI * HTTP/2.0\r\n"
	return c.sh.s.http2.Clear && c.visit == nil && !c.client.Served && len(p) >= len(line) && string(p[:len(line)]) == line
}

// becomeVisit makes the connection one of HTTP/2.
func (c *conn) becomeVisit(p []byte) {
	c.in, c.state = nil, closed
	c.sh.l.Stop(&c.timer)
	c.sh.remove(c)
	c.sh.receiveVisit(c.stream, c.place, c.client, p)
}
