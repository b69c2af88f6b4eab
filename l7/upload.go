package l7

import (
	"errors"
	"io"

	"sluice/l7/http1"
	"sluice/pkg/reactor"
)

// send sends the head of the request, and what there is of its body.
func (x *exchange) send() {
	x.sent = x.sh.l.Now()
	b := appendRequest(x.sh.l.Scratch()[halfScratch:halfScratch], &x.req, &x.from, x.target(), x.backend.Addr())
	b = x.editRequest(b)
	if x.req.Binds {
		x.up.private = true
	} else if x.req.Upgrade == nil && !x.up.private && !x.svc.reuse.mayKeep(x.backend.SlotLimit()) {
		b = append(b[:len(b)-2], "Connection: close\r\n\r\n"...)
	}
	b = append(b, x.first...)
	n, err := x.up.stream.Write(b)
	x.up.wrote = max(n, 0)
	if n > 0 {
		x.attempt.written = true
		x.attempt.replayable = x.inDone
	}
	if err != nil && !errors.Is(err, reactor.ErrAgain) {
		x.deaf = true // it may have answered before it broke
		x.arm()
		x.pumpDown()
		return
	}
	x.held.add(x.sh.l, b[n:])
	x.arm()
	if x.inDone {
		x.watch()
		return
	}
	x.pumpUp()
}

// pumpUp moves what can be moved of the request to the backend now, and counts
// it.
func (x *exchange) pumpUp() bool {
	if !x.moveRequest() {
		return false
	}
	x.count()
	return true
}

func (x *exchange) moveRequest() bool {
	for moved := 0; ; {
		if !x.held.empty() {
			if x.flushUp(); !x.held.empty() {
				return true
			}
		}
		if x.inDone || x.deaf {
			x.uploaded()
			return x.watch()
		}
		if !x.c.stream.Readable() {
			return true
		}
		if moved >= share {
			x.sh.l.Again(x.c.stream)
			return true
		}
		scratch := x.sh.l.Scratch()
		buf := scratch[http1.HeadRoom : len(scratch)-http1.TailRoom]
		n, spliced, err := x.held.splice(x.sh.l, x.c.stream, x.up.stream, x.spliceable())
		if !spliced {
			n, err = x.c.stream.Read(buf)
			x.held.large = n >= bulk
		}
		switch {
		case errors.Is(err, reactor.ErrAgain):
			return true
		case err != nil:
			x.clientBroke(err)
			return false
		}
		moved += n
		if spliced {
			x.in += int64(n)
			x.body.Skip(n)
			x.inDone = x.body.Done()
			x.first, x.attempt.replayable = nil, false
		} else if !x.moveUp(buf[:n]) {
			return false
		}
	}
}

// moveUp sends p, a part of the loop's scratch, on to the backend.
func (x *exchange) moveUp(p []byte) bool {
	x.first = nil
	data, n, err := x.body.Decode(p)
	if err != nil {
		x.fail(BadRequest, err)
		return false
	}
	if x.tooLarge(x.in + int64(x.data+len(data))) {
		x.fail(BodyTooLarge, nil)
		return false
	}
	x.inDone = x.body.Done()
	x.copyBody(data, x.inDone)
	if n < len(p) {
		x.c.ahead(p[n:], false)
	}
	out := data
	if x.req.Length == http1.Chunked {
		out = http1.Frame(x.sh.l.Scratch(), data, &x.body)
	}
	if len(out) == 0 {
		x.arm()
		return true
	}
	n, err = x.up.stream.Write(out)
	if err != nil && !errors.Is(err, reactor.ErrAgain) {
		x.deaf = true
		return true
	}
	x.attempt.written, x.attempt.replayable = true, false
	x.in += int64(len(data))
	x.held.add(x.sh.l, out[n:])
	x.arm()
	return true
}

// flushUp sends what the backend did not take before.
func (x *exchange) flushUp() {
	n, err := x.held.flush(x.sh.l, x.up.stream)
	if err != nil {
		x.deaf = true // what it says until it breaks off is still read
		x.held.drop(x.sh.l)
		return
	}
	if n > 0 {
		x.up.wrote += n
		x.attempt.written = true
		x.arm()
	}
}

// watchIfWhole watches the client if nothing of its request is still to come.
func (x *exchange) watchIfWhole() {
	if x.inDone {
		x.watch()
	}
}

// watch looks what the client does that has nothing to send any more: it may
// be ahead with its next requests, or go away.
func (x *exchange) watch() bool {
	c := x.c
	for c.stream.Readable() && len(c.in) < readAhead {
		if !x.inDone {
			return true // it goes on with a body that nobody takes
		}
		buf := x.sh.l.Scratch()[:readAhead]
		n, err := c.stream.Read(buf)
		switch {
		case err == nil:
			c.ahead(buf[:n], false)
		case errors.Is(err, reactor.ErrAgain):
			return true
		case errors.Is(err, io.EOF):
			if !c.eof {
				c.eof = true
				x.arm()
			}
			return true
		default:
			x.clientBroke(err)
			return false
		}
	}
	return true
}

// clientBroke ends the exchange because the client's connection has, or
// because its request has ended before its end.
func (x *exchange) clientBroke(err error) {
	if errors.Is(err, io.EOF) {
		x.c.eof = true
		err = io.ErrUnexpectedEOF
	}
	x.fail(ClientAbort, err)
}
