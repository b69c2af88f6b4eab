package copy

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"sluice/pkg/tcp"
)

// reader reads a connection into pooled buffers.
type reader interface {
	// read waits for bytes and returns them in a buffer that the caller puts
	// back. With 0 bytes there is no buffer: the peer ended, or err says what
	// happened.
	read() (b *[]byte, n int, err error)
	// most is how much a read takes; as much means that there may be more.
	most() int
}

// writer writes to a connection.
type writer interface {
	// try writes what is taken of p without waiting, which may be nothing.
	try(p []byte) (int, error)
}

// plainReader reads any connection. It waits with a few bytes of its own, as
// there is no other way to wait for TLS, and holds no pooled buffer meanwhile.
type plainReader struct {
	c    net.Conn
	peek [512]byte
}

func newPlainReader(c net.Conn) *plainReader { return &plainReader{c: c} }

func (r *plainReader) read() (b *[]byte, n int, err error) {
	n, err = r.c.Read(r.peek[:])
	if n > 0 {
		b = buffers.Get().(*[]byte)
		return b, copy(*b, r.peek[:n]), nil // an error comes again
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return nil, 0, err
}

func (r *plainReader) most() int { return len(r.peek) }

// plainWriter leaves all writing to the connection.
type plainWriter struct{}

func (plainWriter) try([]byte) (int, error) { return 0, nil }

// moveStretch moves up to a stretch from src to dst and returns early if src
// pauses or ends; the next read finds out which. See the package's doc for what
// io.Copy makes of it.
func (d *direction) moveStretch() (n int64, err error) {
	_ = d.src.SetReadDeadline(time.Now().Add(pause))
	d.await()
	defer d.settled()
	src := &io.LimitedReader{R: d.src, N: stretch}
	if d.spliced {
		n, err = io.Copy(d.dst, src)
	} else {
		b := buffers.Get().(*[]byte)
		n, err = io.CopyBuffer(destination{d.dst}, src, *b)
		buffers.Put(b)
	}
	// The order of the next two lines matters: an abort whose deadline is
	// cleared here is seen, and one that comes later sets its own.
	_ = d.src.SetReadDeadline(time.Time{})
	if d.relay.aborted.Load() {
		return n, os.ErrDeadlineExceeded
	}
	var we writeError
	if errors.Is(err, os.ErrDeadlineExceeded) && !errors.As(err, &we) {
		err = nil
	}
	return n, err
}

// destination is a connection that can be written to and nothing else, and says
// that an error is its own.
type destination struct{ c net.Conn }

func (d destination) Write(p []byte) (int, error) {
	n, err := d.c.Write(p)
	if err != nil {
		err = writeError{err}
	}
	return n, err
}

// broken returns the connection that err is about. splice's error does not
// say which end failed, but a socket that was reset or timed out has left
// every other TCP state for CLOSE.
func (d *direction) broken(err error) net.Conn {
	var we writeError
	if errors.As(err, &we) || d.spliced && !tcp.IsBroken(d.src) && tcp.IsBroken(d.dst) {
		return d.dst
	}
	return d.src
}
