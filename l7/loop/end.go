package loop

import (
	"errors"
	"fmt"
	"io"

	"sluice/l7/gate"
	"sluice/l7/http1"
)

// maxDiscard is how many bytes of a body that nobody wants are taken at once to
// keep its connection.
const maxDiscard = 64 << 10

// reply answers a request that is not forwarded to anybody, as was decided. It
// may end the exchange.
func (x *exchange) reply() {
	if !x.Closes() {
		x.discard()
	}
	x.answer()
}

// discard takes the body of a request that is not forwarded, if all of it has
// come, so that its connection may be kept.
func (x *exchange) discard() {
	u := &x.upload
	if !u.unread {
		return
	}
	p, m := u.come, u.memory
	u.unread, u.come = false, nil
	b := http1.NewRequestBody(x.Req.Length)
	for taken := 0; ; {
		n, err := b.SkipAll(p)
		if b.Done() {
			x.Arrived()
			x.c.ahead(p[n:], m)
			return
		}
		if taken += n; err != nil || taken > maxDiscard || !x.c.stream.Readable() {
			return
		}
		p, m = x.sh.l.Scratch()[:readAhead], lent
		if n, err = x.c.stream.Read(p); err != nil {
			x.c.eof = x.c.eof || errors.Is(err, io.EOF)
			return
		}
		p = p[:n]
	}
}

// clientBroke ends the exchange because the client's connection has, or
// because its request has ended before its end.
func (x *exchange) clientBroke(err error) {
	if errors.Is(err, io.EOF) {
		x.c.eof = true
		err = io.ErrUnexpectedEOF
	}
	x.fail(gate.ClientAbort, err)
}

// truncated ends a response that cannot be completed. The client is left in no
// doubt: its connection ends before the response does.
func (x *exchange) truncated(err error) {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	x.fail(gate.TruncatedResponse, fmt.Errorf("cannot complete the response of backend %q: %w", x.Backend().Addr(), err))
}

// fail ends the exchange for a reason other than the client's own wish.
func (x *exchange) fail(r gate.Reason, err error) {
	x.resetUpstream()
	x.Fail(r, err)
	x.conclude()
}

// overdue is fail for who may come again, a little later.
func (x *exchange) overdue(r gate.Reason) {
	x.resetUpstream()
	x.Overdue(r)
	x.conclude()
}

// conclude ends an exchange that has failed: with an answer that says so if the
// response has not begun, else by ending the client's connection in the middle of
// it.
func (x *exchange) conclude() {
	x.resetUpstream()
	x.endVerification()
	switch r := x.Reason(); {
	case x.download.started, r == gate.ClientAbort, r == gate.ClientStalled:
		c, d := x.c, &x.download
		_, _ = d.pending.Flush(c.stream) // what has come is the client's; no matter if it takes it
		if d.delivery == gate.UntilClose || x.phase == tunnelling || r == gate.ClientTooSlow {
			c.stream.Reset() // the end of the connection would be the end of the response, or takes as long
		}
		x.breakCall()
		x.end()
		c.close()
	default:
		x.answer()
	}
}

// answer sends a response of sluice's own. It may end the exchange.
func (x *exchange) answer() {
	x.phase = answering
	b := x.AppendAnswer(x.sh.l.Scratch()[:0], x.sh.now())
	d := &x.download
	d.done = true
	if x.toClient(b) && d.pending.Empty() {
		x.finish()
	}
}

// abandon ends the exchange, and nobody is answered. The caller closes the
// connection.
func (x *exchange) abandon(r gate.Reason, err error) {
	x.resetUpstream()
	x.Fail(r, err)
	x.breakCall()
	x.end()
}

// finish ends the exchange when the response was delivered.
func (x *exchange) finish() {
	c, whole := x.c, x.Whole()
	keep := !x.Closes() && whole
	c.bodied = x.Req.Length != http1.NoLength
	if x.up != nil {
		x.giveBack()
	}
	x.end()
	switch {
	case keep:
		c.resume()
	case whole:
		c.finish()
	default:
		c.finishUnread()
	}
}

// giveBack gives the connection to the backend to who may use it next.
func (x *exchange) giveBack() {
	up, u := x.up, &x.upload
	x.up = nil
	switch {
	case !x.Whole():
		up.reset()
	case u.deaf || !u.held.Empty() || x.Resp.Close || x.download.body.Length == http1.NoLength:
		up.close()
	case up.private && !x.Closes():
		x.c.bind(up)
	case up.private:
		up.close()
	case x.Bodiless():
		x.sh.putToRest(up, x.Resp.KeepAlive)
	default:
		x.sh.put(up, x.Resp.KeepAlive)
	}
}

// end closes the books on the exchange and frees it.
func (x *exchange) end() {
	sh := x.sh
	x.endVerification()
	if x.queue != nil {
		x.queue.x = nil
	}
	x.End(sh.now())
	x.upload.held.Drop(sh.l)
	x.download.pending.Drop(sh.l)
	if x.tunnel != nil {
		x.tunnel.Drop(sh.l)
	}
	x.c.x = nil
	x.c, x.phase, x.up, x.connectBy, x.verifying, x.queue, x.tunnel = nil, receiving, nil, 0, nil, nil, nil
	x.upload, x.download, x.patience = upload{}, download{}, patience{}
	if len(sh.free) < freeExchanges {
		sh.free = append(sh.free, x)
	}
}
