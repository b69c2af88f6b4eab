package loop

import (
	"sluice/l7/gate"
	"sluice/l7/h2"
	"sluice/pkg/reactor"
)

// Messages of HTTP/2 may have a trailer section behind a body that says its
// length, which HTTP/1.1 has no place for: between two streams of HTTP/2 it goes
// beside the message.

// trailDown passes on the trailer section behind a response that says its length.
func (x *exchange) trailDown() {
	from, ok := x.up.stream.(*h2.Stream)
	if !ok || len(from.Trailer()) == 0 {
		return
	}
	b := &x.download.body
	b.Trailer = from.Trailer()
	if to, ok := x.c.stream.(*h2.Stream); ok {
		to.Trail(b.AppendTrailer(nil))
	}
}

// trailUp is trailDown for a request, all of which has come.
func (x *exchange) trailUp() {
	from, ok := x.c.stream.(*h2.Stream)
	if !ok || len(from.Trailer()) == 0 {
		return
	}
	if to, ok := x.up.stream.(*h2.Stream); ok {
		b := x.RequestBody()
		b.Trailer = from.Trailer()
		to.Trail(b.AppendTrailer(nil))
	}
}

// leastRead is how much is read at once at least: a head of a small response, and
// the framing around a byte.
const leastRead = 4 << 10

// roomFor returns how much is to be read at once for who is to take it: of a stream
// of HTTP/2 little more than that takes, so that little is kept of what its reader
// is not ready for.
func roomFor(to reactor.Stream) int {
	if st, ok := to.(*h2.Stream); ok {
		return max(st.Room(), leastRead)
	}
	return reactor.ScratchSize
}

// breakCall tells a caller of gRPC why its response will not be whole.
func (x *exchange) breakCall() {
	if st, ok := x.c.stream.(*h2.Stream); ok {
		if status, why, is := x.Breaks(); is {
			st.Breaks(status, why)
		}
	}
}

// cannotSwitch ends a request to switch protocols that the backend does not know
// of. It reports whether it did.
func (x *exchange) cannotSwitch() bool {
	st, ok := x.up.stream.(*h2.Stream)
	if !ok || !st.CannotSwitch() {
		return false
	}
	x.fail(gate.NoUpgrade, nil)
	return true
}

// mustSwitch reports whether a client of HTTP/2 takes every good response for a
// switch of protocols (RFC 8441 5).
func (x *exchange) mustSwitch() bool {
	st, ok := x.c.stream.(*h2.Stream)
	return ok && st.Switches()
}
