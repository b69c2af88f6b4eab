package loop

import (
	"bytes"
	"errors"

	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/pkg/reactor"
)

// smallBody is up to which length a request body is awaited before a backend is
// picked: so slow a client costs no backend anything, and such a request can be
// sent again.
const smallBody = 8 << 10

// receive judges and routes the request, whose head is in Raw. rest is what came
// after the head. It may end the exchange.
func (x *exchange) receive(rest []byte, m memory) {
	if f, why := x.Req.Parse(x.Raw); f != 0 {
		x.Malformed(f, why)
		x.reply()
		return
	}
	if n := x.Req.Length; n == http1.NoLength || n == 0 {
		x.c.ahead(rest, m)
		rest = nil
	} else {
		x.upload.unread, x.upload.come, x.upload.memory = true, rest, m
	}
	d := x.Judge(x.sh.now())
	if d == gate.Forward {
		d = x.Authorise()
	}
	if d == gate.Await {
		d = x.verify()
	}
	switch d {
	case gate.Forward:
		x.receiveBody()
	case gate.Answer:
		x.reply()
	default:
		x.arm()
		x.watchIfWhole()
	}
}

// verify has the client's credentials verified elsewhere.
func (x *exchange) verify() gate.Decision {
	v, l := &verification{x: x}, x.sh.l
	d := x.Verify(func(user string) { l.Post(func() { v.done(user) }) })
	if d != gate.Await {
		return d
	}
	x.phase, x.verifying = verifying, v
	if u := &x.upload; u.memory == lent {
		u.come, u.memory = bytes.Clone(u.come), owned
	}
	return d
}

// done goes on with the request when its credentials have been verified. It may
// end the exchange.
func (v *verification) done(user string) {
	x := v.x
	if x == nil {
		return // it is over
	}
	defer x.c.guard()
	x.verifying, x.phase = nil, receiving
	if x.Verified(user) != gate.Forward {
		x.reply()
		return
	}
	x.receiveBody()
}

// receiveBody goes on with a request that is let in. It may end the exchange.
func (x *exchange) receiveBody() {
	u := &x.upload
	come, m := u.come, u.memory
	u.unread, u.come = false, nil
	length := x.Req.Length
	switch {
	case x.Whole():
	case length > 0 && length <= smallBody:
		u.small = int(length)
		if !x.takeSmall(come, m) {
			if x.proceed(come) {
				x.arm()
				x.awaitSmall()
			}
			return
		}
	case !x.takeFirst(come, m):
		return
	}
	if x.proceed(come) {
		x.admit()
	}
}

// proceed tells a client that waits for it to send its body, unless some of it
// has come. It reports whether the exchange goes on.
func (x *exchange) proceed(come []byte) bool {
	if len(come) > 0 || !x.ContinueBody() {
		return true
	}
	return x.interim([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

// takeSmall takes bytes of a small body and reports whether it is complete.
func (x *exchange) takeSmall(p []byte, m memory) bool {
	u := &x.upload
	n := min(u.small, len(p))
	x.Raw = append(x.Raw, p[:n]...)
	if u.small -= n; u.small > 0 {
		return false
	}
	x.Arrived()
	u.data = int(x.Req.Length)
	u.first = x.Raw[len(x.Raw)-u.data:]
	x.c.ahead(p[n:], m)
	return true
}

// awaitSmall reads what there is of a small body. It may end the exchange.
func (x *exchange) awaitSmall() {
	for x.c.stream.Readable() {
		buf := x.sh.l.Scratch()[:readAhead]
		n, err := x.c.stream.Read(buf)
		switch {
		case errors.Is(err, reactor.ErrAgain):
			return
		case err != nil:
			x.clientBroke(err)
			return
		}
		if x.takeSmall(buf[:n], lent) {
			x.admit()
			return
		}
		x.arm()
	}
}

// takeFirst judges the beginning of a body that is streamed, which came with
// its head; what is wrong there no backend ever hears of. It reports whether the
// exchange goes on.
func (x *exchange) takeFirst(p []byte, m memory) bool {
	u := &x.upload
	u.body = x.RequestBody()
	if len(p) == 0 {
		return true
	}
	come := bytes.Clone(p)
	data, n, err := u.body.Decode(come)
	if err != nil {
		x.Refuse(gate.BadRequest, err.Error())
		x.reply()
		return false
	}
	u.data = len(data)
	if x.Req.Length == http1.Chunked {
		u.first = http1.AppendChunks(make([]byte, 0, len(data)+len(u.body.Trailer)+64), data, &u.body)
	} else {
		u.first = data
	}
	if u.body.Done() {
		x.Arrived()
		x.c.ahead(p[n:], m)
	}
	if x.BodyTooLarge(int64(u.data)) {
		x.Refuse(gate.BodyTooLarge, "")
		x.reply()
		return false
	}
	return true
}
