package plain

import (
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"sluice/l7/gate"
	"sluice/l7/http1"
)

const (
	// smallBody is up to which length a request body is awaited before a
	// backend is picked: so slow a client costs no backend anything, and such
	// a request can be sent again.
	smallBody = 8 << 10
	// maxDiscard is how many bytes of a body that nobody wants are taken at once
	// to keep its connection.
	maxDiscard = 64 << 10
)

var proceed = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// receive takes what comes of the body before a backend is picked: all of a small
// one, and else what has come with the head.
func (x *Exchange) receive() bool {
	if x.t.Whole() {
		return true
	}
	x.body = x.c.Body(x.t.RequestBody())
	small := x.t.Req.Length > 0 && x.t.Req.Length <= smallBody
	if x.t.ContinueBody() && !x.body.AtHand() {
		if small {
			if err := x.c.Interim(proceed); err != nil {
				x.t.Fail(gate.ClientAbort, err)
				return false
			}
			return x.receiveSmall()
		}
		if err := x.c.Interim(proceed); err != nil {
			x.t.Fail(gate.ClientAbort, err)
			return false
		}
		return true
	}
	if small {
		return x.receiveSmall()
	}
	return !x.body.AtHand() || x.receiveFirst()
}

// receiveSmall takes all of a small body.
func (x *Exchange) receiveSmall() bool {
	from, length := len(x.t.Raw), int(x.t.Req.Length)
	x.t.Raw = append(x.t.Raw, make([]byte, length)...)
	data := x.t.Raw[from:]
	pace := gate.Pace{From: x.p.now().Mono}
	for n := 0; ; {
		k, err := x.body.Read(data[n:min(length, len(data))], x.by(x.t.Limits().Body))
		if n += k; err != nil && !errors.Is(err, io.EOF) {
			x.t.Raw = x.t.Raw[:from]
			x.refuseBody(x.bodyFault(err))
			return false
		}
		if n == length {
			break
		}
		if x.slow(&pace, int64(n)) {
			x.t.Raw = x.t.Raw[:from]
			x.t.Fail(gate.ClientTooSlow, errTooSlow)
			return false
		}
	}
	x.t.Arrived()
	x.first, x.data = data, data
	return true
}

// slow reports whether the client is slower with a body than it may be, of which
// moved bytes have moved.
func (x *Exchange) slow(p *gate.Pace, moved int64) bool {
	rate := x.t.Limits().MinRate
	return rate > 0 && p.Slow(x.p.now().Mono, moved, rate, x.p.cfg.MinBodyRateOver)
}

// receiveFirst takes the beginning of a body that is streamed, which came with
// its head; what is wrong there no backend ever hears of.
func (x *Exchange) receiveFirst() bool {
	buf := make([]byte, firstBody+http1.HeadRoom+http1.TailRoom)
	n, err := x.body.Read(buf[http1.HeadRoom:http1.HeadRoom+firstBody], x.by(x.t.Limits().Body))
	whole := errors.Is(err, io.EOF)
	if err != nil && !whole {
		x.refuseBody(x.bodyFault(err))
		return false
	}
	x.data = buf[http1.HeadRoom : http1.HeadRoom+n]
	if !whole && x.body.AtEnd() {
		whole = true
	}
	if whole {
		x.t.Arrived()
	}
	if x.first = x.data; x.t.Req.Length == http1.Chunked {
		x.first = http1.Frame(buf, x.data, x.body.Framing())
	}
	if x.t.BodyTooLarge(int64(n)) {
		x.t.Refuse(gate.BodyTooLarge, "")
		return false
	}
	return true
}

// firstBody is how much of a body is taken before a backend is picked, in bytes.
const firstBody = 16 << 10

// bodyFault returns what it means that a body could not be read.
func (x *Exchange) bodyFault(err error) (gate.Reason, error) {
	var m Malformed
	switch {
	case errors.As(err, &m):
		return gate.BadRequest, m.Err
	case errors.Is(err, os.ErrDeadlineExceeded) && x.isOutOfTime():
		return gate.RequestTimeout, errNoTime
	case errors.Is(err, os.ErrDeadlineExceeded):
		return gate.RequestTimeout, errRequestStalled
	case errors.Is(err, io.EOF):
		return gate.ClientAbort, io.ErrUnexpectedEOF
	}
	return gate.ClientAbort, err
}

// refuseBody ends a request whose body is at fault, and which no backend has
// heard of.
func (x *Exchange) refuseBody(r gate.Reason, err error) {
	if c, stopped := x.why(); stopped && !c.rescue {
		r, err = c.reason, c.err
	}
	if r == gate.BadRequest {
		x.t.Refuse(r, strings.TrimPrefix(err.Error(), "l7: "))
		return
	}
	x.t.Fail(r, err)
}

// discard takes the body of a request that is not forwarded, if all of it has
// come, so that its connection may be kept.
func (x *Exchange) discard() {
	if x.t.Whole() || x.t.Closes() || x.t.Req.Method == nil {
		return
	}
	if x.body == nil {
		x.body = x.c.Body(x.t.RequestBody())
	}
	buf := x.p.buffers.Get().(*buffer)
	defer x.p.buffers.Put(buf)
	for taken := 0; taken <= maxDiscard && x.body.AtHand(); {
		n, err := x.body.Read(buf[:], time.Now().Add(time.Second))
		if taken += n; errors.Is(err, io.EOF) || err == nil && x.body.AtEnd() {
			x.t.Arrived()
			return
		}
		if err != nil {
			return
		}
	}
}
