package loop

import (
	"errors"
	"io"
	"time"

	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/pkg/reactor"
)

// took goes on with a connection that was idle. It may end the exchange.
func (x *exchange) took() {
	x.Reused()
	x.send()
}

// connected goes on with a connection that was made. It may end the exchange.
func (x *exchange) connected(up *upstream) {
	x.Connected(time.Duration(x.sh.l.Now() - up.begun))
	x.send()
}

// send sends the head of the request, and what there is of its body. It may end
// the exchange.
func (x *exchange) send() {
	x.phase, x.connectBy = sending, 0
	x.Sent(x.sh.now())
	u, up := &x.upload, x.up
	sharing := gate.Shared
	if up.private = up.private || x.Req.Binds; up.private {
		sharing = gate.Private
	}
	b := x.AppendRequest(x.sh.l.Scratch()[halfScratch:halfScratch], sharing)
	b = append(b, u.first...)
	if x.Whole() {
		x.trailUp()
	}
	n, err := up.stream.Write(b)
	up.wrote = max(n, 0)
	if n > 0 {
		x.WroteHead()
		x.keepBody()
	}
	if err != nil && !errors.Is(err, reactor.ErrAgain) {
		u.deaf = true // it may have answered before it broke
		x.arm()
		x.pumpDown()
		return
	}
	if x.cannotSwitch() {
		return
	}
	u.held.Add(x.sh.l, b[n:])
	x.noteSent()
	x.arm()
	if x.Whole() {
		x.watch()
		return
	}
	x.pumpUp()
}

// noteSent has the response waited for once all of the request has gone out.
func (x *exchange) noteSent() {
	if x.phase == sending && x.Whole() && x.upload.held.Empty() {
		x.phase = waiting
	}
}

// pumpUp moves what can be moved of the request to the backend now, and counts
// it. It reports whether the exchange goes on.
func (x *exchange) pumpUp() bool {
	if !x.moveRequest() {
		return false
	}
	x.Count()
	return true
}

// moveRequest is pumpUp without the counting.
func (x *exchange) moveRequest() bool {
	u := &x.upload
	for moved := 0; ; {
		if !u.held.Empty() {
			if x.flushUp(); !u.held.Empty() {
				return true
			}
		}
		if x.Whole() || u.deaf {
			x.noteSent()
			x.Uploaded(x.sh.now())
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
		buf = buf[:min(len(buf), roomFor(x.up.stream))]
		n, spliced, err := u.held.Splice(x.c.stream, x.up.stream, x.spliceable())
		if !spliced {
			n, err = x.c.stream.Read(buf)
			u.held.Noted(n)
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
			x.CountIn(n)
			u.body.Skip(n)
			if u.body.Done() {
				x.Arrived()
			}
			x.keep(nil)
		} else if !x.moveUp(buf[:n]) {
			return false
		}
	}
}

// spliceable returns how many bytes of the request's body may be moved unseen.
func (x *exchange) spliceable() int64 {
	if x.Copying() {
		return 0
	}
	return x.upload.body.Raw()
}

// moveUp sends p, a part of the loop's scratch, on to the backend. It reports
// whether the exchange goes on.
func (x *exchange) moveUp(p []byte) bool {
	u := &x.upload
	data, n, err := u.body.Decode(p)
	if err != nil {
		x.fail(gate.BadRequest, err)
		return false
	}
	if x.BodyTooLarge(x.In() + int64(u.data+len(data))) {
		x.fail(gate.BodyTooLarge, nil)
		return false
	}
	if u.body.Done() {
		x.Arrived()
		x.trailUp()
	}
	x.Copy(data)
	if n < len(p) {
		x.c.ahead(p[n:], lent)
	}
	out := data
	if x.Req.Length == http1.Chunked {
		out = http1.Frame(x.sh.l.Scratch(), data, &u.body)
	}
	if len(out) == 0 {
		x.arm()
		return true
	}
	x.keep(out)
	n, err = x.up.stream.Write(out)
	if err != nil && !errors.Is(err, reactor.ErrAgain) {
		if u.deaf = true; u.keeps {
			x.CountIn(len(data)) // it may go out again
		}
		return true
	}
	x.CountIn(len(data))
	u.held.Add(x.sh.l, out[n:])
	x.noteSent()
	x.arm()
	return true
}

// flushUp sends what the backend did not take before.
func (x *exchange) flushUp() {
	u := &x.upload
	n, err := u.held.Flush(x.up.stream)
	if err != nil {
		u.deaf = true // what it says until it breaks off is still read
		u.held.Drop(x.sh.l)
		return
	}
	if n > 0 {
		x.up.wrote += n
		x.Wrote()
		x.noteSent()
		x.arm()
	}
}

// watchIfWhole watches the client if nothing of its request is still to come. It
// reports whether the exchange goes on.
func (x *exchange) watchIfWhole() bool { return !x.Whole() || x.watch() }

// watch looks what the client does that has nothing to send any more: it may
// be ahead with its next requests, or go away. It reports whether the exchange
// goes on.
func (x *exchange) watch() bool {
	c := x.c
	for c.stream.Readable() && len(c.in) < readAhead {
		if !x.Whole() {
			return true // it goes on with a body that nobody takes
		}
		buf := x.sh.l.Scratch()[:readAhead]
		n, err := c.stream.Read(buf)
		switch {
		case err == nil:
			c.ahead(buf[:n], lent)
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
