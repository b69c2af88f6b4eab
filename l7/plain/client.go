package plain

import (
	"time"

	"sluice/l7/http1"
)

// Client is the connection that a request came on, as a front has it. Its
// methods are called by one goroutine at a time, but for Interrupt.
type Client interface {
	// Body begins to read the body of the request, which frame describes. It is
	// called at most once a request.
	Body(frame http1.Body) Body
	// Interim sends the head of a 1xx response at once.
	Interim(head []byte) error
	// Watch looks, until Unwatch, what the client does that has nothing to send
	// any more. If it ends its direction, with io.EOF, or breaks, gone is called,
	// in a goroutine of its own.
	Watch(gone func(err error))
	// Unwatch ends Watch, and returns when it has.
	Unwatch()
	// Broken reports whether the connection is known to be reset although nobody
	// reads of it. It may be called by who writes to the backend.
	Broken() bool
	// Interrupt makes reads of the body fail, one that is under way as well,
	// until Resume. It may be called from any goroutine.
	Interrupt()
	// Resume ends what Interrupt began, once nobody reads.
	Resume()
}

// Body is the body of a request as a reader.
type Body interface {
	// Read reads data, without framing, until by at the latest, when it returns
	// os.ErrDeadlineExceeded. io.EOF says that all of the body has come, and no
	// byte comes with it; a Malformed what is wrong with it; and any other error
	// that the client's connection broke.
	Read(p []byte, by time.Time) (int, error)
	// AtHand reports whether Read would not wait.
	AtHand() bool
	// AtEnd reports whether all of the body is known to have come, so that the
	// next Read returns io.EOF.
	AtEnd() bool
	// Framing returns what is known of the framing: at the end, that the body is
	// done, and its trailer.
	Framing() *http1.Body
}

// Malformed says that a body is not framed as it must be.
type Malformed struct{ Err error }

// Error says what is wrong.
func (m Malformed) Error() string { return m.Err.Error() }

// Unwrap returns what is wrong.
func (m Malformed) Unwrap() error { return m.Err }
