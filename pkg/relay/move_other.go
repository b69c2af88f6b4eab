//go:build !linux

package relay

import (
	"errors"
	"io"
	"net"
)

// reader reads a connection into pooled buffers.
type reader struct{ c *net.TCPConn }

func newReader(c *net.TCPConn) *reader { return &reader{c} }

// read waits for bytes and returns them in a buffer that the caller puts back.
// With 0 bytes there is no buffer: the peer ended, or err says what happened.
func (r *reader) read() (b *[]byte, n int, err error) {
	b = buffers.Get().(*[]byte)
	n, err = r.c.Read(*b)
	if n > 0 {
		return b, n, nil
	}
	buffers.Put(b)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return nil, 0, err
}

// writer leaves all writing to the connection.
type writer struct{}

func newWriter(*net.TCPConn) *writer { return nil }

func (*writer) try([]byte) (int, error) { return 0, nil }

// moveStretch has no better way here than moveBuffer.
func (d *direction) moveStretch() (int64, error) { return 0, nil }

// broken returns the connection that err is about.
func (d *direction) broken(err error) *net.TCPConn {
	var we writeError
	if errors.As(err, &we) {
		return d.dst
	}
	return d.src
}

// wasReset cannot be told here.
func wasReset(*net.TCPConn) bool { return false }
