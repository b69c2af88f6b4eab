package reactor

import (
	"errors"
	"net"
)

// ErrAgain says that an operation would have to wait. The stream's handler is
// called when it need not any more.
var ErrAgain = errors.New("reactor: operation would block")

// ErrConnectTimeout is what a connect failed of that its maker gave up after a
// while. It is a net.Error, and says so.
var ErrConnectTimeout = &net.OpError{Op: "dial", Net: "tcp", Err: errTimeout{}}

type errTimeout struct{}

func (errTimeout) Error() string   { return "i/o timeout" }
func (errTimeout) Timeout() bool   { return true }
func (errTimeout) Temporary() bool { return true }

// Handler gets the events of a stream, in its loop.
type Handler interface {
	// Ready is called when s may have become readable or writable, or ended,
	// and after Loop.Again.
	Ready(s Stream)
}

// Mourner is a Handler, or an Alarm, that has to give things back if it panics.
type Mourner interface {
	// Panicked is called after the handler panicked and its stream was closed,
	// or after the alarm did.
	Panicked()
}

// Stream is a byte stream that belongs to a loop. Its methods are called in
// that loop alone.
type Stream interface {
	// Loop returns the loop that the stream belongs to.
	Loop() *Loop
	// Handle makes h the stream's handler.
	Handle(h Handler)
	// Readable reports whether a read is worth trying. It stays true until a
	// read says otherwise.
	Readable() bool
	// Writable reports whether a write is worth trying.
	Writable() bool
	// Broken reports whether the stream is known to be broken, by a reset or a
	// time-out: what came before can still be read, and then the error. It is
	// for who does not read because nobody takes what was read. A stream that
	// has ended in order is not broken.
	Broken() bool
	// Read reads what there is, at most len(p) bytes. It returns io.EOF when
	// the peer has ended its direction, ErrAgain when there is nothing yet, and
	// never 0 bytes without an error for a p that is not empty.
	Read(p []byte) (int, error)
	// Write writes what the stream takes, and returns ErrAgain if that is
	// nothing.
	Write(p []byte) (int, error)
	// CloseWrite ends our direction; what was written before is delivered.
	CloseWrite() error
	// Reset makes the Close that follows tell the peer that the stream broke.
	Reset()
	// Close closes the stream. Its handler is not called again.
	Close()
}

// member is a stream as its loop sees it.
type member interface {
	Stream
	core() *base
}

// base is what all streams have.
type base struct {
	loop     *Loop
	handler  Handler
	readable bool
	writable bool
	closed   bool
	broken   bool
	again    bool // is in the loop's list of that name
}

func (b *base) core() *base { return b }

// Loop returns the loop that the stream belongs to.
func (b *base) Loop() *Loop { return b.loop }

// Handle makes h the stream's handler.
func (b *base) Handle(h Handler) { b.handler = h }

// Readable reports whether a read is worth trying.
func (b *base) Readable() bool { return b.readable }

// Writable reports whether a write is worth trying.
func (b *base) Writable() bool { return b.writable }

// Broken reports whether the stream is known to be broken.
func (b *base) Broken() bool { return b.broken }
