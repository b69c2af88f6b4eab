package reactor

import (
	"net"
	"sync"
	"time"

	"sluice/pkg/tcp"
)

const (
	// connChunk is how much of a Conn is read ahead at most: a record of TLS.
	connChunk = 16 << 10
	// connPeek is the read of a Conn that was quiet, so that those which stay
	// quiet hold no chunk.
	connPeek = 512
	// connBehind is how much of a Conn is written behind at most.
	connBehind = 64 << 10
	// connLinger bounds how long a Conn that was closed may take to send what
	// was written before.
	connLinger = 30 * time.Second
	// lookEvery is how often a Conn of which nothing is taken is looked at for a
	// reset.
	lookEvery = time.Second
)

// Conn is a net.Conn as a Stream: for what is no socket, and for systems without
// a poller of ours. A goroutine reads one buffer ahead, and another one exists
// while there is something to write, so what a Conn holds is bounded.
type Conn struct {
	base
	self member        // what handlers are told of: c, or what embeds it
	took chan struct{} // the reader may go on; has room for one
	done chan struct{} // closed by Close

	// mu protects the fields below. It is held for moments only.
	mu      sync.Mutex
	nc      net.Conn // set once; nil while it is being connected
	posted  bool     // the loop is about to look
	in      []byte   // read and not taken yet
	inErr   error    // how reading ended
	out     []byte   // taken and not written yet
	outErr  error    // how writing failed
	writing bool     // the writer runs
	finish  bool     // CloseWrite was called
	reset   bool     // the peer has reset it, which no read has met yet
	shut    bool     // Close was called
}

var _ Stream = (*Conn)(nil)

// AdoptConn makes nc a stream of the loop, which then owns nc: a Secured if nc is
// TLS upon a tcp.Line, whose handshake is over, and the loop has sockets of its
// own; else a Conn. If nc has a CloseWrite, that ends our direction, and if it has
// a NetConn, as tls.Conn has, then that one's as well.
func (l *Loop) AdoptConn(nc net.Conn) Stream {
	s, err := l.secure(nc)
	if s != nil {
		return s
	}
	if err != nil { // what is read of it now says so
		l.group.logger.Warn("cannot carry a TLS connection", "error", err)
	}
	return l.carry(nc)
}

// carry makes nc a Conn of the loop.
func (l *Loop) carry(nc net.Conn) *Conn {
	c := &Conn{nc: nc}
	c.join(l, c)
	c.writable = true
	l.group.carriers.Go(func() { c.readAhead(nc) })
	return c
}

// join makes c, or self that embeds it, one of the streams of l.
func (c *Conn) join(l *Loop, self member) {
	c.loop, c.self = l, self
	c.took, c.done = make(chan struct{}, 1), make(chan struct{})
	l.conns[c] = struct{}{}
	l.streams.Add(1)
}

// NetConn returns the connection, for its addresses and its state, or nil
// while it is being connected.
func (c *Conn) NetConn() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nc
}

// readAhead is the reader.
func (c *Conn) readAhead(nc net.Conn) {
	peek := make([]byte, connPeek)
	var chunk []byte // nil while the connection is quiet
	for {
		p := peek
		if chunk != nil {
			p = chunk
		}
		n, err := nc.Read(p)
		c.mu.Lock()
		c.in, c.inErr = p[:n], err
		c.mu.Unlock()
		c.post()
		if err != nil {
			return
		}
		if n > 0 && !c.awaitTaken(nc) {
			return
		}
		switch {
		case n < connPeek:
			chunk = nil
		case chunk == nil:
			chunk = make([]byte, connChunk)
		}
	}
}

// awaitTaken waits until the loop has taken what was read, and reports whether
// to go on. While nobody reads, a reset is not heard of: it is looked for.
func (c *Conn) awaitTaken(nc net.Conn) bool {
	select {
	case <-c.took:
		return true
	case <-c.done:
		return false
	default:
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-c.took:
			return true
		case <-c.done:
			return false
		case <-look.C:
		}
		if !tcp.IsBroken(nc) {
			continue
		}
		c.mu.Lock()
		c.reset = !c.finish // else both sides may have ended, in order
		reset := c.reset
		c.mu.Unlock()
		if reset {
			c.post()
			look.Stop()
		}
	}
}

// post makes the loop look at what has changed.
func (c *Conn) post() {
	c.mu.Lock()
	already := c.posted
	c.posted = true
	c.mu.Unlock()
	if !already {
		c.loop.Post(c.look)
	}
}

// look tells the handler of what has changed; it runs in the loop.
func (c *Conn) look() {
	c.mu.Lock()
	c.posted = false
	c.broken = c.broken || c.reset
	c.readable = len(c.in) > 0 || c.inErr != nil
	c.writable = len(c.out) < connBehind || c.outErr != nil
	c.mu.Unlock()
	if !c.closed {
		c.loop.tell(c.self, c.handler)
	}
}

// Read reads what there is; see Stream.
func (c *Conn) Read(p []byte) (int, error) {
	if c.closed {
		return 0, net.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(p, c.in)
	if c.in = c.in[n:]; len(c.in) > 0 {
		return n, nil
	}
	c.readable = n > 0 && c.inErr != nil // the end is still to be read
	if n > 0 {
		select {
		case c.took <- struct{}{}:
		default:
		}
		return n, nil
	}
	if c.inErr != nil {
		return 0, c.inErr
	}
	return 0, ErrAgain
}

// Write takes what there is room for; see Stream. That it succeeded does not
// mean that the bytes were sent: an error may come later, by Read.
func (c *Conn) Write(p []byte) (int, error) {
	if c.closed {
		return 0, net.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outErr != nil {
		return 0, c.outErr
	}
	if c.finish {
		return 0, net.ErrClosed
	}
	n := min(len(p), connBehind-len(c.out))
	if n < len(p) {
		c.writable = false
	}
	if n == 0 {
		return 0, ErrAgain
	}
	c.out = append(c.out, p[:n]...)
	c.write()
	return n, nil
}

// write sees to it that the writer runs; c.mu is held.
func (c *Conn) write() {
	if !c.writing && c.nc != nil {
		c.writing = true
		nc := c.nc
		c.loop.group.carriers.Go(func() { c.writeBehind(nc) })
	}
}

// writeBehind is the writer: it ends when there is nothing left to do.
func (c *Conn) writeBehind(nc net.Conn) {
	var spare []byte
	finished := false
	for {
		c.mu.Lock()
		p := c.out
		c.out = spare[:0]
		finish := c.finish && !finished
		if len(p) == 0 && !finish {
			c.out = nil
			c.writing = false
			shut := c.shut
			c.mu.Unlock()
			if shut {
				nc.Close()
				c.loop.group.left(nc)
			}
			return
		}
		c.mu.Unlock()
		if len(p) == 0 {
			finished = true
			c.fail(tcp.CloseWrite(nc))
			continue
		}
		_, err := nc.Write(p)
		spare = p
		c.fail(err)
		if len(p) >= connBehind || err != nil {
			c.post() // there is room again
		}
	}
}

// fail notes that writing ended by err, if it is not nil.
func (c *Conn) fail(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	c.outErr = err
	c.out = nil
	c.mu.Unlock()
}

// CloseWrite ends our direction after what was written.
func (c *Conn) CloseWrite() error {
	if c.closed {
		return net.ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.finish {
		c.finish = true
		c.write()
	}
	return c.outErr
}

// Reset makes Close send RST.
func (c *Conn) Reset() {
	if c.closed {
		return
	}
	c.mu.Lock()
	c.out = nil
	c.outErr = net.ErrClosed
	nc := c.nc
	c.mu.Unlock()
	if nc == nil {
		return
	}
	tcp.Break(nc).Close()
}

// Close closes the connection once what was written before is sent. It is
// idempotent.
func (c *Conn) Close() {
	if c.closed {
		return
	}
	c.closed = true
	c.handler = nil
	delete(c.loop.conns, c)
	c.loop.streams.Add(-1)
	close(c.done)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = true
	if c.nc != nil {
		c.loop.group.leave(c.nc)
		_ = c.nc.SetWriteDeadline(time.Now().Add(connLinger))
		c.write() // which may have to wait
	}
}

// abandon closes the connection at once, for a loop that ends.
func (c *Conn) abandon() {
	if nc := c.NetConn(); nc != nil {
		tcp.Innermost(nc).Close()
	}
	c.self.Close()
}
