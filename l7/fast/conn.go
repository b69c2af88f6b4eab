package fast

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/l7/plain"
	"sluice/pkg/listen"
)

// past is a deadline that is over.
var past = time.Unix(1, 0)

const (
	// firstBuffer is how much memory a connection has for what it has read of a
	// head; it grows with a head that is larger. Without a request it has none.
	firstBuffer = 4 << 10
	// readAhead is how many bytes at most are read of a connection whose
	// requests are not served yet. What is beyond stays in the kernel.
	readAhead = 16 << 10
	// parkSlow is how long a connection may be quiet before it is parked that has
	// had no request, or has sent a part of one. With each request it gets twice
	// the time, parkSteps times at most: longer than the pauses of a busy one.
	parkSlow  = 25 * time.Millisecond
	parkSteps = 5
	// idleGrace is how long a connection without a request is still listened
	// to when the server stops: enough for what the kernel has received.
	idleGrace = 20 * time.Millisecond
)

// What Read says to fasthttp, which then leaves the connection to Close.
var (
	errParked   = errors.New("fast: the connection is quiet")
	errRefused  = errors.New("fast: no request can be read")
	errUnserved = errors.New("fast: fasthttp does not take a head that is good")
)

// phase is what a connection is doing, as far as others must know.
type phase uint8

const (
	waiting phase = iota // for a request, in a goroutine
	parked               // the same, without one
	serving              // a request
	closed
)

// conn is a client's connection as fasthttp sees it: its Read brings one whole
// head after the other, each judged before, and what fasthttp writes goes
// nowhere, because answers are written past it. It is used by one goroutine at
// a time, but for what mu protects.
type conn struct {
	s       *Server
	nc      net.Conn     // a *listen.Conn, or a *tls.Conn upon one
	tcp     *listen.Conn // below nc
	fd      int          // of tcp
	session plain.Session
	since   time.Time
	wrote   int64 // bytes

	input
	asked
	clocks
	fate

	prev, next *conn // of the server's
	rest       rest  // while it is parked

	shared
	lookout
}

// input is what was read of a client.
type input struct {
	in       []byte // memory; from r to w it was read and not taken
	r, w     int
	searched int  // how much of a head was searched for its end
	ahead    bool // the last bytes of a body came from in
	eof      bool // the client has ended its direction
}

// asked is the head that is to be served, or why there is none.
type asked struct {
	raw      []byte
	feed     []byte // what fasthttp has not read of it
	unserved bool   // nobody has served it
	refusal  gate.Reason
	fault    http1.Fault
	why      string // with either
}

// clocks are until when is waited for what.
type clocks struct {
	idleBy   time.Time // for a request
	headBy   time.Time // for the rest of a head; zero while there is none
	readBy   time.Time // the deadline for reads, as the connection knows it
	writeBy  time.Time
	requests int  // that were served, parkSteps at most
	quiet    bool // the wait has ended without a byte: it is to be parked
	bodied   bool // the request before had a body
}

// fate is how the connection ends.
type fate struct {
	last   bool // no request is to follow
	more   bool // the client may still be sending when that is over
	broken bool // it is closed without ado
	reset  bool // so that the client sees it break
}

// shared is what others may look at, who stop the server.
type shared struct {
	// mu protects the fields below.
	mu          sync.Mutex
	phase       phase
	begun       bool // while it waits: some of a head has come
	again       bool // and it has served a request before
	interrupted bool // reads fail; see Interrupt
	cut         bool // by the server, as it stops
}

// lookout is the goroutine of Watch.
type lookout struct {
	watching chan struct{} // closed when it has ended
	unwatch  chan struct{} // closed to end it
}

// Read brings fasthttp the next head, or what is left of it.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.feed) == 0 {
		if c.unserved {
			return 0, errUnserved
		}
		if err := c.await(); err != nil {
			return 0, err
		}
		c.feed = c.raw
	}
	n := copy(p, c.feed)
	c.feed = c.feed[n:]
	return n, nil
}

// await waits until a whole head has come.
func (c *conn) await() error {
	cfg := c.s.cfg
	for {
		if c.w > c.r {
			if n := http1.EmptyLines(c.in[c.r:c.w], c.bodied); n > 0 {
				c.r += n
				c.searched = 0
			}
		}
		if p := c.in[c.r:c.w]; len(p) > 0 {
			n, ok := http1.ScanHead(p, c.searched)
			switch {
			case !ok:
				return c.refuse(gate.BadRequest, "a line does not end in CRLF")
			case n > cfg.MaxHeadBytes || n == 0 && len(p) >= cfg.MaxHeadBytes:
				r := gate.HeadTooLarge
				if bytes.IndexByte(p, '\n') < 0 {
					r = gate.TargetTooLong
				}
				return c.refuse(r, "")
			case n > 0:
				c.raw, c.unserved = p[:n], true
				c.r += n
				c.serving()
				return nil
			}
			if fault, why := http1.CheckStart(p, cfg.MaxTargetBytes); fault != 0 {
				c.fault, c.why = fault, why
				c.serving()
				return errRefused
			}
			c.searched = len(p)
		}
		switch err := c.fill(c.patience(), parkSlow<<c.requests/4); {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && !c.s.stopping(c.session.Served) && time.Now().Before(c.waitsBy()):
			c.quiet = true
			return errParked
		case errors.Is(err, os.ErrDeadlineExceeded) && c.w > c.r:
			return c.refuse(gate.RequestTimeout, "")
		case c.w > c.r:
			c.abandon()
			c.last, c.broken = true, true
			return io.EOF
		default:
			c.last, c.broken = true, true
			return io.EOF
		}
	}
}

// waitsBy returns when the wait is over: for a request, or for the rest of a head
// that has begun.
func (c *conn) waitsBy() time.Time {
	if c.w == c.r {
		c.headBy = time.Time{}
		return c.idleBy
	}
	if c.headBy.IsZero() {
		c.headBy = time.Now().Add(c.s.cfg.HeadTimeout)
	}
	return c.headBy
}

// patience returns until when to wait for bytes of a head in a goroutine.
func (c *conn) patience() time.Time {
	now, by := time.Now(), c.waitsBy()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase, c.begun, c.again = waiting, c.w > c.r, c.session.Served
	if c.mayStop() {
		return now.Add(idleGrace)
	}
	quiet := parkSlow
	if c.w == c.r {
		quiet <<= min(c.requests, parkSteps)
	}
	if soon := now.Add(quiet); soon.Before(by) {
		return soon
	}
	return by
}

// mayStop reports whether the connection is to be closed because it waits for a
// request; c.mu is held.
func (c *conn) mayStop() bool { return !c.begun && c.s.stopping(c.again) }

// serving notes that there is a request.
func (c *conn) serving() {
	c.searched, c.headBy = 0, time.Time{}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = serving
	c.readBy = time.Time{} // who stops the server may have moved it
}

// refuse notes why what has come is no request. Close answers it.
func (c *conn) refuse(r gate.Reason, why string) error {
	c.serving()
	c.refusal, c.why = r, why
	return errRefused
}

// fill reads some bytes more, until by at the latest, or earlier by slack.
func (c *conn) fill(by time.Time, slack time.Duration) error {
	if c.eof {
		return io.EOF
	}
	if err := c.makeRoom(); err != nil {
		return err
	}
	c.setReadBy(by, slack)
	n, err := c.nc.Read(c.in[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	c.eof = c.eof || errors.Is(err, io.EOF)
	return err
}

// makeRoom sees to it that something can be read behind what is there.
func (c *conn) makeRoom() error {
	switch {
	case c.in == nil:
		c.in = c.s.buffers.Get().(*[firstBuffer]byte)[:]
	case c.r == c.w:
		c.r, c.w = 0, 0
	case c.w < len(c.in):
	case c.r > 0:
		c.w = copy(c.in, c.in[c.r:c.w])
		c.r = 0
	default:
		grown := make([]byte, 2*len(c.in))
		copy(grown, c.in)
		c.giveBack()
		c.in = grown
	}
	return nil
}

// giveBack gives the memory back, whatever is in it.
func (c *conn) giveBack() {
	if len(c.in) == firstBuffer {
		c.s.buffers.Put((*[firstBuffer]byte)(c.in))
	}
	c.in = nil
}

// setReadBy sets the deadline for reads. One that is earlier by slack is as good:
// setting it is not free.
func (c *conn) setReadBy(by time.Time, slack time.Duration) {
	if d := by.Sub(c.readBy); d >= 0 && d <= slack && !c.readBy.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == waiting && c.mayStop() {
		if soon := time.Now().Add(idleGrace); soon.Before(by) {
			by = soon
		}
	}
	if c.readBy = by; c.interrupted {
		by = past
	}
	_ = c.nc.SetReadDeadline(by)
}

// Write takes what fasthttp writes, which is nothing that a client needs.
func (c *conn) Write(p []byte) (int, error) { return len(p), nil }

// LocalAddr returns what the client is connected to.
func (c *conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr returns whom the connection is with.
func (c *conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// SetDeadline does nothing: there are deadlines for each thing that is waited
// for.
func (c *conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing, as SetDeadline.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing, as SetDeadline.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
