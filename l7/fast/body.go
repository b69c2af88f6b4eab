package fast

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"sluice/l7/http1"
	"sluice/l7/plain"
)

// body is the body of the request that is being served, as plain.Body: read
// past fasthttp, with our own codec.
type body struct {
	c     *conn
	frame http1.Body
}

var _ plain.Body = (*body)(nil)

// Body begins to read a body.
func (c *conn) Body(frame http1.Body) plain.Body { return &body{c: c, frame: frame} }

// Read reads data, until by at the latest; see plain.Body.
func (b *body) Read(p []byte, by time.Time) (int, error) {
	for !b.frame.Done() {
		n, err := b.c.readRaw(p, by)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		data, taken, err := b.frame.Decode(p[:n])
		if err != nil {
			return 0, plain.Malformed{Err: err}
		}
		b.c.unread(p[taken:n])
		if len(data) > 0 {
			return copy(p, data), nil
		}
	}
	return 0, io.EOF
}

// AtHand reports whether some of the body has come.
func (b *body) AtHand() bool {
	return b.c.w > b.c.r || !b.c.isTLS() && !plain.Quiet(uintptr(b.c.fd))
}

// AtEnd reports whether all of the body has come.
func (b *body) AtEnd() bool { return b.frame.Done() }

// Framing returns the parser, for the trailer.
func (b *body) Framing() *http1.Body { return &b.frame }

// readRaw reads what follows the head.
func (c *conn) readRaw(p []byte, by time.Time) (int, error) {
	if c.ahead = c.w > c.r; c.ahead {
		n := copy(p, c.in[c.r:c.w])
		c.r += n
		return n, nil
	}
	if c.eof {
		return 0, io.EOF
	}
	c.setReadBy(by, 0)
	n, err := c.nc.Read(p)
	if n > 0 {
		return n, nil
	}
	c.eof = c.eof || errors.Is(err, io.EOF)
	return 0, err
}

// unread puts p, the end of what readRaw has read, back for the next request.
func (c *conn) unread(p []byte) {
	switch {
	case len(p) == 0:
	case c.ahead: // it came from there
		c.r -= len(p)
	default:
		c.giveBack()
		c.in = make([]byte, max(firstBuffer, 2*len(p)))
		c.r, c.w = 0, copy(c.in, p)
	}
}

// Broken reports whether the client has reset the connection, whoever reads.
func (c *conn) Broken() bool { return plain.Broken(uintptr(c.fd)) }

// Interrupt makes reads of the body fail, one that is under way as well, until
// Resume. It may be called from any goroutine.
func (c *conn) Interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = true
	_ = c.nc.SetReadDeadline(past)
}

// Resume ends what Interrupt began, once nobody reads.
func (c *conn) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted, c.readBy = false, time.Time{}
}

// Watch reads ahead, of a client that has nothing to send any more, until
// Unwatch. If the client ends its direction or breaks, gone is called, in a
// goroutine of its own.
func (c *conn) Watch(gone func(err error)) {
	done, stop := make(chan struct{}), make(chan struct{})
	c.watching, c.unwatch = done, stop
	go func() {
		defer close(done)
		for !c.eof && c.w-c.r < readAhead {
			switch err := c.fill(time.Now().Add(time.Hour), time.Hour/2); {
			case err == nil, errors.Is(err, io.EOF):
			case errors.Is(err, os.ErrDeadlineExceeded):
				if c.isInterrupted() {
					return
				}
			default:
				gone(err)
				return
			}
		}
		if c.eof {
			gone(io.EOF)
		}
		// Nobody reads any more: a reset has to be looked for.
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		for {
			select {
			case <-stop:
				return
			case <-look.C:
			}
			if c.Broken() {
				gone(syscall.ECONNRESET)
				return
			}
		}
	}()
}

// Unwatch ends Watch, and returns when it has.
func (c *conn) Unwatch() {
	close(c.unwatch)
	c.Interrupt()
	<-c.watching
	c.watching = nil
	c.Resume()
}

func (c *conn) isInterrupted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.interrupted
}
