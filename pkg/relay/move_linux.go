package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reader reads a connection into pooled buffers and holds none while it waits.
type reader struct {
	rc   syscall.RawConn
	err  error // of SyscallConn, then of the last read
	buf  *[]byte
	n    int
	poll func(fd uintptr) bool // tryRead, bound once
}

func newReader(c *net.TCPConn) *reader {
	r := &reader{}
	r.rc, r.err = c.SyscallConn()
	r.poll = r.tryRead
	return r
}

// read waits for bytes and returns them in a buffer that the caller puts back.
// With 0 bytes there is no buffer: the peer ended, or err says what happened.
func (r *reader) read() (b *[]byte, n int, err error) {
	if r.err != nil {
		return nil, 0, r.err
	}
	err = r.rc.Read(r.poll)
	if err == nil {
		err = r.err
	}
	b, n = r.buf, r.n
	r.buf, r.n, r.err = nil, 0, nil
	return b, n, err
}

// tryRead makes one non-blocking read; false asks the runtime to wait until fd
// is readable.
func (r *reader) tryRead(fd uintptr) (done bool) {
	b := buffers.Get().(*[]byte)
	n, err := unix.Read(int(fd), *b)
	for err == unix.EINTR {
		n, err = unix.Read(int(fd), *b)
	}
	if err == nil && n > 0 {
		r.buf, r.n = b, n
		return true
	}
	buffers.Put(b)
	if err == unix.EAGAIN {
		return false
	}
	r.err = err
	return true
}

// writer writes to a connection what that takes at once.
type writer struct {
	rc   syscall.RawConn
	err  error // of SyscallConn, then of the last write
	p    []byte
	n    int
	poll func(fd uintptr) bool // tryWrite, bound once
}

func newWriter(c *net.TCPConn) *writer {
	w := &writer{}
	w.rc, w.err = c.SyscallConn()
	w.poll = w.tryWrite
	return w
}

// try writes what is taken of p without waiting, which may be nothing.
func (w *writer) try(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.p, w.n = p, 0
	err := w.rc.Write(w.poll)
	if err == nil {
		err = w.err
	}
	w.p, w.err = nil, nil
	return w.n, err
}

func (w *writer) tryWrite(fd uintptr) (done bool) {
	n, err := unix.Write(int(fd), w.p)
	for err == unix.EINTR {
		n, err = unix.Write(int(fd), w.p)
	}
	switch {
	case err == nil:
		w.n = n
	case err != unix.EAGAIN:
		w.err = err
	}
	return true
}

// moveStretch moves up to a stretch from src to dst and returns early if src
// pauses or ends; the next read finds out which. io.Copy leaves it to
// TCPConn.ReadFrom, which splices from a limited TCPConn (splice(2)).
func (d *direction) moveStretch() (int64, error) {
	_ = d.src.SetReadDeadline(time.Now().Add(pause))
	d.await()
	defer d.settled()
	n, err := io.Copy(d.dst, &io.LimitedReader{R: d.src, N: stretch})
	// The order of the next two lines matters: an abort whose deadline is
	// cleared here is seen, and one that comes later sets its own.
	_ = d.src.SetReadDeadline(time.Time{})
	if d.pair.aborted.Load() {
		return n, os.ErrDeadlineExceeded
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

// broken returns the connection that err is about. splice's error does not
// say which end failed, but a socket that was reset or timed out has left
// every other TCP state for CLOSE.
func (d *direction) broken(err error) *net.TCPConn {
	var we writeError
	if errors.As(err, &we) || (!wasReset(d.src) && wasReset(d.dst)) {
		return d.dst
	}
	return d.src
}

// wasReset reports whether c's socket is closed although neither side ended
// it in the ordinary way; the caller knows that it sent no FIN.
func wasReset(c *net.TCPConn) bool {
	rc, err := c.SyscallConn()
	if err != nil {
		return false
	}
	reset := false
	_ = rc.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		reset = err == nil && info.State == unix.BPF_TCP_CLOSE
	})
	return reset
}
