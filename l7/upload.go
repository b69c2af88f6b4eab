package l7

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// errStopped ends an upload whose response has ended.
var errStopped = errors.New("l7: upload stopped")

// upload sends a request body that is not at hand to the backend, in a
// goroutine of its own, while the response may already be coming.
//
// While it runs it owns the reading half of the client's connection and the
// writing half of the backend's. A body that the client does not end is never
// ended towards the backend: its connection is given up instead.
type upload struct {
	x      *exchange
	up     *upstream
	stream io.Reader // fasthttp's, without the framing
	length int64     // as of head.length
	armed  time.Time
	wire   error // of the client's socket: fasthttp's stream takes some for the end of a body

	whole   atomic.Bool // the body was read to its end; set before the end is sent
	stopped atomic.Bool
	broken  atomic.Bool // the client failed; set before the backend's reader is woken

	done       chan struct{} // closed after the fields below
	clientErr  error         // reading the body failed
	backendErr error         // sending it failed
}

// startUpload starts the upload of the rest of x's request on x.up.
func (x *exchange) startUpload() {
	u := &upload{x: x, up: x.up, stream: x.ctx.RequestBodyStream(), length: x.req.length, done: make(chan struct{})}
	x.upload, x.client.upload = u, u
	go u.run()
}

// stop ends the upload and waits for its end. Afterwards nothing touches the
// request or either connection any more.
func (u *upload) stop() {
	u.stopped.Store(true)
	past := time.Unix(1, 0)
	if !u.whole.Load() {
		_ = u.x.client.TCPConn.SetReadDeadline(past)
	}
	select {
	case <-u.done:
	default:
		_ = u.up.conn.SetWriteDeadline(past)
		<-u.done
	}
	u.x.client.upload = nil
}

func (u *upload) run() {
	defer close(u.done)
	defer func() {
		if p := recover(); p != nil {
			u.fail(fmt.Errorf("panic: %v", p))
		}
	}()
	buf := u.x.s.buffers.Get().(*[]byte)
	defer u.x.s.buffers.Put(buf)
	u.copy(*buf)
	switch {
	case u.backendErr != nil, u.clientErr == nil:
		// Whatever the backend has to say is being read, and from now on there
		// is no reason for it to take longer than a response may.
		u.x.awaitResponse(u.up)
	case !u.stopped.Load():
		u.fail(u.clientErr)
	}
}

// fail gives up a request that the client did not complete: who reads the
// response is woken and finds out.
func (u *upload) fail(err error) {
	u.clientErr = err
	u.broken.Store(true)
	_ = u.up.conn.SetReadDeadline(time.Unix(1, 0))
}

// chunkRoom is left before a piece for its size line and after it for CRLF.
const chunkRoom = len("0123456\r\n")

// copy sends the body, framed as the request's head says.
func (u *upload) copy(buf []byte) {
	space := buf[chunkRoom : len(buf)-2]
	left := u.length
	for {
		p := space
		if left >= 0 && int64(len(p)) > left {
			p = p[:left]
		}
		n, err := u.stream.Read(p)
		if err != nil && u.wire != nil {
			err = unexpected(u.wire)
		}
		out := space[:n]
		u.x.moved(int64(n), 0)
		switch {
		case u.length == chunked && errors.Is(err, io.EOF):
			u.whole.Store(true)
			if n > 0 {
				out = frame(buf, n)
			}
			u.send(append(out, "0\r\n\r\n"...))
			return
		case u.length == chunked && n > 0:
			out = frame(buf, n)
		case u.length >= 0:
			if left -= int64(n); left == 0 {
				u.whole.Store(true)
			}
		}
		if n > 0 && !u.send(out) || u.whole.Load() {
			return
		}
		if err != nil {
			u.clientErr = unexpected(err)
			return
		}
	}
}

// frame puts a size line before the n bytes at chunkRoom and a line end after
// them.
func frame(buf []byte, n int) []byte {
	var digits [16]byte
	size := append(strconv.AppendInt(digits[:0], int64(n), 16), "\r\n"...)
	start := chunkRoom - len(size)
	copy(buf[start:], size)
	end := chunkRoom + n
	return append(buf[start:end], "\r\n"...)
}

// send writes p to the backend.
func (u *upload) send(p []byte) bool {
	timeout := u.x.s.cfg.BodyTimeout
	if now := time.Now(); u.armed.Sub(now) < timeout {
		u.armed = now.Add(timeout + timeout/8)
		u.backendErr = u.up.conn.SetWriteDeadline(u.armed)
	}
	if u.stopped.Load() {
		u.backendErr = errStopped
	}
	if u.backendErr == nil {
		_, u.backendErr = u.up.conn.Write(p)
	}
	return u.backendErr == nil
}

// readWire reads from the client's socket for the stream. The client may be
// silent for longer than the body timeout while it is being answered.
func (u *upload) readWire(p []byte) (int, error) {
	for {
		err := u.x.client.TCPConn.SetReadDeadline(time.Now().Add(u.x.s.cfg.BodyTimeout))
		if err != nil {
			return 0, err
		}
		if u.stopped.Load() {
			u.wire = errStopped
			return 0, errStopped
		}
		seen := u.x.out.Load()
		n, err := u.x.client.TCPConn.Read(p)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && !u.stopped.Load() && u.x.out.Load() != seen {
			continue
		}
		u.wire = err
		return n, err
	}
}
