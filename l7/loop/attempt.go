package loop

import (
	"bytes"

	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/pkg/backend"
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
	if up := x.sh.join(x, b); up != nil {
		x.took()
		return
	}
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

// goOn sends the request on the connection that is bound to its client's, if
// there is one, and reports whether it did. The strategy is not asked, nor is
// there a wait for a slot: that connection is there.
func (x *exchange) goOn() bool {
	if len(x.c.bound) == 0 || !x.Fresh() {
		return false
	}
	up := x.c.boundTo(x.Service())
	if up == nil {
		return false
	}
	if !up.quiet() || x.PickBound(up.b, x.sh.now()) != gate.Forward {
		up.close()
		return false
	}
	up.x, x.up = x, up
	x.took()
	return true
}

// enqueue makes the request wait for a slot, if not too many do.
func (x *exchange) enqueue(now gate.Now) gate.Decision {
	if x.queue == nil {
		x.queue = &queueing{l: x.sh.l, x: x}
	}
	return x.Await(now, x.queue)
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

// dial begins to connect to b for x, whose connection it is then. An error that
// is known at once is returned, and the connection is then gone.
func (sh *shard) dial(x *exchange, b *backend.Backend) error {
	sh.trim(1)
	up := &upstream{sh: sh, svc: x.Service(), b: b, x: x, connecting: true, begun: sh.l.Now()}
	sh.l.After(&up.timer, x.Limits().Connect, up)
	x.up = up
	var err error
	switch p := b.Target().Protocol; {
	case p.Multiplexed():
		sh.connectLink(up, p)
		return nil
	case p.Secure():
		up.connectTLS()
		return nil
	}
	if full(b) {
		err = up.borrow()
	} else {
		err = up.reach()
	}
	if err != nil {
		x.closeUpstream()
	}
	return err
}
