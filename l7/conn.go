package l7

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sluice/pkg/balance"
	"sluice/pkg/listen"
)

const (
	// idleGrace is how long a connection without a request is still listened
	// to when the server stops: enough for what the kernel has received.
	idleGrace = 20 * time.Millisecond
	// lingerTime bounds how long what a client still sends is thrown away
	// before its connection is closed, so that the reset this would cause does
	// not destroy the response under way to it.
	lingerTime = 5 * time.Second
)

// errDetached ends the reading of what fasthttp has buffered.
var errDetached = errors.New("l7: connection is detached")

// How far a server has stopped.
const (
	running      int32 = iota
	closingIdle        // connections that wait for another request are closed
	closingFresh       // and those that wait for their first one
)

// acceptor hands fasthttp the connections of a listener as clients.
type acceptor struct {
	*listen.Listener
	s *Server
}

// Accept waits for the next connection. Its error is net.ErrClosed.
func (a acceptor) Accept() (net.Conn, error) {
	lc, err := a.AcceptConn()
	if err != nil {
		return nil, err
	}
	c := &client{Conn: lc, s: a.s, waiting: true}
	if peer := lc.Client().Addr(); peer.IsValid() {
		c.peer, c.key = peer.String(), balance.HashAddr(peer)
		for _, p := range a.s.cfg.TrustedProxies {
			c.trusted = c.trusted || p.Contains(peer)
		}
	}
	a.s.track(c)
	return c, nil
}

// client is a client's connection between fasthttp and the socket.
//
// fasthttp reads requests through it but never writes to it: Write drops what
// it is given. What a client gets is written by send alone, so that framing,
// truncation and flushing are decided in one place.
type client struct {
	*listen.Conn
	s       *Server
	peer    string // address without port
	key     uint64 // of peer, for strategies that hash
	trusted bool

	// These are used by whoever serves the connection: fasthttp's goroutine,
	// or that of an upload while there is one.
	heard    bool // some byte was read
	detached bool // Read gives no more
	linger   bool // Close must not cut off the response
	armed    time.Time
	upload   *upload // reads the rest of a request's body

	upstream atomic.Pointer[upstream] // in use for this client, to be cut with it

	// mu protects the fields below.
	mu      sync.Mutex
	waiting bool // for the first byte of a request
	served  bool // a request was served
}

// Read is for fasthttp and for the streams it makes.
func (c *client) Read(p []byte) (int, error) {
	if c.detached {
		return 0, errDetached
	}
	var n int
	var err error
	if u := c.upload; u != nil {
		n, err = u.readWire(p)
	} else {
		n, err = c.TCPConn.Read(p)
	}
	if n > 0 {
		c.heard = true
		c.busy()
	}
	return n, err
}

// Write drops p, which fasthttp has written.
func (c *client) Write(p []byte) (int, error) { return len(p), nil }

// SetReadDeadline is for fasthttp, which calls it before it waits.
func (c *client) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mustGo() {
		t = time.Now().Add(idleGrace)
	}
	return c.TCPConn.SetReadDeadline(t)
}

// SetDeadline is for fasthttp; there are no write deadlines but send's.
func (c *client) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// mustGo reports whether the connection is idle and the server wants to get
// rid of it; c.mu is held.
func (c *client) mustGo() bool {
	stopped := c.s.stopped.Load()
	return c.waiting && (stopped == closingFresh || stopped == closingIdle && c.served)
}

// stopIdle ends the wait for a request if the server wants to get rid of the
// connection. That, or SetReadDeadline after it, sees that the server stops.
func (c *client) stopIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mustGo() {
		_ = c.TCPConn.SetReadDeadline(time.Now().Add(idleGrace))
	}
}

// busy notes that a request has begun.
func (c *client) busy() {
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
}

// idle notes that a request was served and the next one is waited for.
func (c *client) idle() {
	c.mu.Lock()
	c.waiting, c.served = true, true
	c.mu.Unlock()
}

// arm sets the deadline of a write: at least the body timeout from now, and at
// most an eighth more, so that it need not be set for each.
func (c *client) arm() error {
	timeout := c.s.cfg.BodyTimeout
	now := time.Now()
	if c.armed.Sub(now) >= timeout {
		return nil
	}
	c.armed = now.Add(timeout + timeout/8)
	return c.SetWriteDeadline(c.armed)
}

// send writes a and then b to the client.
func (c *client) send(a, b []byte) error {
	if err := c.arm(); err != nil {
		return err
	}
	var err error
	switch {
	case len(b) == 0:
		_, err = c.TCPConn.Write(a)
	case len(a) == 0:
		_, err = c.TCPConn.Write(b)
	default:
		both := net.Buffers{a, b}
		_, err = both.WriteTo(c.TCPConn)
	}
	return err
}

// cut ends whatever is under way for the client.
func (c *client) cut() {
	if up := c.upstream.Load(); up != nil {
		_ = up.conn.SetDeadline(time.Unix(1, 0))
		up.conn.Close()
	}
}

// Close closes the connection and forgets it.
func (c *client) Close() error {
	if c.linger {
		c.drain()
	}
	err := c.Conn.Close()
	c.s.forget(c)
	return err
}

// drain sends FIN and throws away what the client sends until it closes too.
func (c *client) drain() {
	if c.CloseWrite() != nil || c.TCPConn.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, struct{ io.Reader }{c.TCPConn}) // whatever ends it, the connection is closed next
}
