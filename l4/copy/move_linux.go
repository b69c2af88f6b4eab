package copy

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// canSplice says that io.Copy splices from one connection to another.
const canSplice = true

// tcpReader reads a connection into pooled buffers and holds none while it waits.
type tcpReader struct {
	rc   syscall.RawConn
	err  error // of SyscallConn, then of the last read
	buf  *[]byte
	n    int
	poll func(fd uintptr) bool // tryRead, bound once
}

func newTCPReader(c *net.TCPConn) *tcpReader {
	r := &tcpReader{}
	r.rc, r.err = c.SyscallConn()
	r.poll = r.tryRead
	return r
}

// read waits for bytes and returns them in a buffer that the caller puts back.
// With 0 bytes there is no buffer: the peer ended, or err says what happened.
func (r *tcpReader) read() (b *[]byte, n int, err error) {
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

func (r *tcpReader) most() int { return bufferSize }

// tryRead makes one non-blocking read; false asks the runtime to wait until fd
// is readable.
func (r *tcpReader) tryRead(fd uintptr) (done bool) {
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

// tcpWriter writes to a connection what that takes at once.
type tcpWriter struct {
	rc   syscall.RawConn
	err  error // of SyscallConn, then of the last write
	p    []byte
	n    int
	poll func(fd uintptr) bool // tryWrite, bound once
}

func newTCPWriter(c *net.TCPConn) *tcpWriter {
	w := &tcpWriter{}
	w.rc, w.err = c.SyscallConn()
	w.poll = w.tryWrite
	return w
}

// try writes what is taken of p without waiting, which may be nothing.
func (w *tcpWriter) try(p []byte) (int, error) {
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

func (w *tcpWriter) tryWrite(fd uintptr) (done bool) {
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
