package loop

import (
	"bytes"
	"time"

	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/pkg/reactor"
)

const (
	// share is how many bytes a direction moves before other connections get
	// their turn.
	share = 4 * reactor.ScratchSize
	// halfScratch is where in the scratch something is read that something
	// else, before it, is made of.
	halfScratch = reactor.ScratchSize / 2
)

// admit hands the request to its service. It may end the exchange.
func (x *exchange) admit() {
	if x.Admit(x.sh.now()) != gate.Forward {
		x.conclude()
		return
	}
	if x.Copying() {
		x.Copy(x.rawFirst())
	}
	x.try()
}

// rawFirst returns what there is of the body, without our framing.
func (x *exchange) rawFirst() []byte {
	u := &x.upload
	if x.Req.Length != http1.Chunked || u.data == 0 {
		return u.first[:u.data]
	}
	from := bytes.IndexByte(u.first, '\n') + 1
	return u.first[from : from+u.data]
}

// try makes an attempt at getting a response, from the backend that the
// strategy picks. It may end the exchange.
func (x *exchange) try() {
	if x.goOn() {
		return
	}
	now := x.sh.now()
	d := x.Pick(now)
	if d == gate.Await {
		if d = x.enqueue(now); d == gate.Await {
			x.phase = queued
			x.arm()
			x.watchIfWhole()
			return
		}
	}
	if d != gate.Forward {
		x.conclude()
		return
	}
	b := x.Backend()
	if x.MayReuse() {
		how := certain
		if x.Repeatable() {
			how = trusting
		}
		if up := x.sh.take(b, how); up != nil {
			up.x, x.up = x, up
			x.took()
			return
		}
	}
	x.phase = connecting
	if x.connectBy == 0 {
		x.connectBy = x.sh.l.Now() + int64(x.Limits().Deadline)
	}
	if err := x.sh.dial(x, b); err != nil {
		x.connectFailed(nil, err)
		return
	}
	x.arm()
	x.watchIfWhole()
}

// enqueue makes the request wait for a slot, if not too many do.
func (x *exchange) enqueue(now gate.Now) gate.Decision {
	if x.queue == nil {
		x.queue = &queueing{l: x.sh.l, x: x}
	}
	return x.Await(now, x.queue)
}

// queueing is the wait of an exchange for a backend with a slot free.
type queueing struct {
	l *reactor.Loop
	x *exchange // nil once that has ended
}

// Wake tells the loop of a slot that may be free.
func (q *queueing) Wake() bool { return q.l.Post(q.woken) }

// woken is called in the loop when a slot may be free. It may end the exchange.
func (q *queueing) woken() {
	if q.x == nil || !q.x.Woken() {
		return
	}
	defer q.x.c.guard()
	q.x.try()
}

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
