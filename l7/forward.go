package l7

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/limit"
	"sluice/pkg/reactor"
)

const (
	// smallBody is up to which length a request body is awaited before a
	// backend is picked: so slow a client costs no backend anything, and such
	// a request can be sent again.
	smallBody = 8 << 10
	// share is how many bytes a direction moves before other connections get
	// their turn.
	share = 4 * reactor.ScratchSize
	// headRoom and tailRoom are what is left free in the scratch before and
	// after what is read of a body, for framing.
	headRoom, tailRoom = 32, 256
	// halfScratch is where in the scratch something is read that something
	// else, before it, is made of.
	halfScratch = reactor.ScratchSize / 2
	// maxDiscard is how many bytes of a body that nobody wants are taken at once
	// to keep its connection.
	maxDiscard = 64 << 10
)

// Why a client is not waited for any more.
var (
	errHalfClosed     = errors.New("l7: the client has ended its direction")
	errClientStalled  = errors.New("l7: the client takes nothing of the response")
	errBackendStalled = errors.New("l7: the backend sends nothing of the response")
	errRequestStalled = errors.New("l7: the client sends nothing of the request")
	errNoResponse     = errors.New("l7: no response in time")
)

// receiveRequest judges and routes the request, whose head is in x.raw. rest
// is what came after the head.
func (x *exchange) receiveRequest(rest []byte, own bool) {
	if r, why := x.req.parse(x.raw); r != 0 {
		x.refuse(r, why)
		return
	}
	x.closing = x.req.close
	x.identify()
	length := x.req.length
	if x.inDone = length == noLength || length == 0; x.inDone {
		x.c.ahead(rest, own)
	}
	x.unread, x.come, x.comeOwn = !x.inDone, rest, own
	if x.judge() && x.authorise(rest, own) {
		x.receiveBody(rest, own)
	}
}

// receiveBody goes on with a request that is let in, of whose body, and of what
// follows, rest has come.
func (x *exchange) receiveBody(rest []byte, own bool) {
	x.unread, x.come = false, nil
	length := x.req.length
	switch {
	case x.inDone:
	case length > 0 && length <= smallBody:
		x.small = int(length)
		if !x.takeSmall(rest, own) {
			if x.proceed(len(rest) > 0) {
				x.arm()
				x.awaitSmall()
			}
			return
		}
	case !x.takeFirst(rest, own):
		return
	}
	if x.proceed(len(rest) > 0) {
		x.admit()
	}
}

// discard takes the body of a request that is not forwarded, if all of it has
// come, so that its connection may be kept.
func (x *exchange) discard() {
	if !x.unread {
		return
	}
	p, own := x.come, x.comeOwn
	x.unread, x.come = false, nil
	b := newBody(x.req.length, false)
	for taken := 0; ; {
		n, err := b.skipAll(p)
		if b.done() {
			x.inDone = true
			x.c.ahead(p[n:], own)
			return
		}
		if taken += n; err != nil || taken > maxDiscard || !x.c.stream.Readable() {
			return
		}
		p, own = x.sh.l.Scratch()[:readAhead], false
		if n, err = x.c.stream.Read(p); err != nil {
			x.c.eof = x.c.eof || errors.Is(err, io.EOF)
			return
		}
		p = p[:n]
	}
}

// proceed tells a client that waits for it to send its body, unless some of
// it has come.
func (x *exchange) proceed(come bool) bool {
	if !x.req.expect || come || x.inDone {
		return true
	}
	return x.interim([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

// takeSmall takes bytes of a small body and reports whether it is complete.
func (x *exchange) takeSmall(p []byte, own bool) bool {
	n := min(x.small, len(p))
	x.raw = append(x.raw, p[:n]...)
	if x.small -= n; x.small > 0 {
		return false
	}
	x.inDone = true
	x.data = int(x.req.length)
	x.first = x.raw[len(x.raw)-x.data:]
	x.c.ahead(p[n:], own)
	return true
}

// awaitSmall reads what there is of a small body.
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
		if x.takeSmall(buf[:n], false) {
			x.admit()
			return
		}
		x.arm()
	}
}

// takeFirst judges the beginning of a body that is streamed, which came with
// its head; what is wrong there no backend ever hears of.
func (x *exchange) takeFirst(p []byte, own bool) bool {
	x.body = newBody(x.req.length, false)
	x.body.own = x
	if len(p) == 0 {
		return true
	}
	come := bytes.Clone(p)
	data, n, err := x.body.decode(come)
	if err != nil {
		x.refuse(BadRequest, strings.TrimPrefix(err.Error(), "l7: "))
		return false
	}
	x.data = len(data)
	if x.req.length == chunked {
		x.first = appendChunks(make([]byte, 0, len(data)+len(x.body.trailer)+64), data, &x.body)
	} else {
		x.first = data
	}
	if x.body.done() {
		x.inDone = true
		x.c.ahead(p[n:], own)
	}
	if x.tooLarge(int64(x.data)) {
		x.refuse(BodyTooLarge, BodyTooLarge.explain())
		return false
	}
	return true
}

// appendChunks appends data as a chunk, and the end of the body if that has
// come.
func appendChunks(dst, data []byte, b *body) []byte {
	if len(data) > 0 {
		dst = appendSize(dst, len(data))
		dst = append(append(dst, data...), "\r\n"...)
	}
	if b.done() {
		dst = appendLast(dst, b)
	}
	return dst
}

// appendSize appends the line that comes before the n bytes of a chunk.
func appendSize(dst []byte, n int) []byte {
	return append(appendHex(dst, n), "\r\n"...)
}

func appendHex(dst []byte, n int) []byte {
	if n >= 16 {
		dst = appendHex(dst, n>>4)
	}
	return append(dst, "0123456789abcdef"[n&15])
}

// appendLast appends the end of a chunked body.
func appendLast(dst []byte, b *body) []byte {
	dst = append(dst, "0\r\n"...)
	return append(appendTrailer(dst, b.trailer, b.own), "\r\n"...)
}

// frame makes of data, a part of the loop's scratch with room around it, what
// is sent on of a chunked body.
func (sh *shard) frame(data []byte, b *body) []byte {
	scratch := sh.l.Scratch()
	from := cap(scratch) - cap(data)
	out := scratch[from:from]
	if len(data) > 0 {
		var line [maxDigits + 2]byte
		size := appendSize(line[:0], len(data))
		copy(scratch[from-len(size):], size)
		out = append(scratch[from-len(size):from+len(data)], "\r\n"...)
	}
	if b.done() {
		out = appendLast(out, b)
	}
	return out
}

// admit hands the request to its service.
func (x *exchange) admit() {
	x.admitted = true
	svc := x.svc
	svc.metrics.begin()
	if !x.enter() {
		return
	}
	svc.budget.Attempt()
	x.attempt = failure{replayable: true, idempotent: x.req.idempotent()}
	x.begun = x.sh.l.Now()
	x.mirrorRequest()
	x.try()
}

// try makes an attempt at getting a response, from the backend that the
// strategy picks.
func (x *exchange) try() {
	if x.goOn() {
		return
	}
	b, why := (*backend.Backend)(nil), NoBackend
	if !x.mustWait() {
		b, why = x.pick()
	}
	switch {
	case b != nil:
		x.leaveQueue()
	case why == NoBackend && x.stale == nil && x.enqueue():
		x.arm()
		x.watchIfWhole()
		return
	case why == NoBackend && x.stale == nil && x.svc.balancer.Full(x.tried):
		why, x.retryAfter = NoSlot, overloadRetry
	}
	if b == nil && x.stale != nil {
		b = x.stale
		b.Acquire()
	}
	if b == nil {
		if x.last == nil {
			x.reason = why
		}
		if x.reason == BreakerOpen {
			x.retryAfter = max(overloadRetry, x.svc.policy.breakers.opensIn(x.svc.balancer.Pool().Snapshot(), x.sh.l.Time()))
		}
		x.fail(x.reason, x.err)
		return
	}
	x.stale, x.backend = nil, b
	if x.picked == 0 {
		x.picked = x.sh.l.Now()
	}
	f := &x.attempt
	f.connected, f.reused, f.timeout, f.refused, f.written, f.answered = false, false, false, false, false, false
	// What is sent again goes over a new connection: another idle one may have
	// died of the same cause. What cannot be sent again is not risked.
	if f.replays == 0 && x.mayReuse() {
		if up := x.sh.take(b, !(f.idempotent && x.inDone)); up != nil {
			up.x, x.up = x, up
			x.took()
			return
		}
	}
	if x.connectBy == 0 {
		x.connectBy = x.sh.l.Now() + int64(x.waits.deadline)
	}
	if err := x.sh.dial(x, b); err != nil {
		x.connectFailed(nil, err)
		return
	}
	x.arm()
	x.watchIfWhole()
}

// mayReuse reports whether the request may be sent on a connection that was
// idle.
func (x *exchange) mayReuse() bool { return x.svc.reuse.mayReuse(!x.c.served) }

// took goes on with a connection that was idle.
func (x *exchange) took() {
	x.attempt.connected, x.attempt.reused, x.connectBy = true, true, 0
	x.send()
}

// connected goes on with a connection that was made.
func (x *exchange) connected(up *upstream) {
	x.attempt.connected, x.connectBy = true, 0
	x.connect = time.Duration(x.sh.l.Now() - up.begun)
	x.svc.metrics.connected(x.backend, x.connect)
	x.send()
}

// connectFailed goes on after an attempt to connect failed. up is nil if that
// was known at once.
func (x *exchange) connectFailed(up *upstream, err error) {
	after := time.Duration(0)
	if up != nil {
		after = time.Duration(x.sh.l.Now() - up.begun)
		x.dropUpstream(false)
	}
	if x.waits.lenient && backend.Refused(err, after) && x.attempt.refusals < mostRefusals && x.svc.balancer.HasHope(x.triedToo()) {
		x.attempt.refused = true
		x.attempt.refusals++
	} else {
		x.attempt.connects++
	}
	r := ConnectFailed
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		r, x.attempt.timeout = ConnectTimeout, true
	}
	paused := up != nil && r == ConnectTimeout && x.sh.l.StalledSince(up.begun) // which says nothing about the backend
	if !backend.OwnFault(err) && !paused {
		x.backend.ReportConnectFailure()
		x.settle(limit.Failure)
	}
	x.again(r, fmt.Errorf("cannot connect to backend %q: %w", x.backend.Addr(), err))
}

// attemptFailed goes on after an attempt that had a connection brought no
// response.
func (x *exchange) attemptFailed(r Reason, err error) {
	f := &x.attempt
	switch {
	case errors.Is(err, errOwnLimit): // nobody's fault
		x.settle(limit.NoOutcome)
	case x.sh.l.StalledSince(x.sent): // it may have given us up, or seem slow, because we did not run
	case !f.reused || f.timeout || f.answered: // of an idle connection that had died, the backend is not to blame
		x.observe(false)
		x.backend.Suspect()
	}
	x.again(r, fmt.Errorf("cannot get a response from backend %q: %w", x.backend.Addr(), err))
}

// observe tells x.backend and its balancer how the attempt went. The time to answer
// a body that streams is the client's doing as well, and is left out.
func (x *exchange) observe(ok bool) {
	x.reply = time.Duration(x.sh.l.Now() - x.sent)
	latency := x.reply
	if !x.attempt.replayable {
		latency = 0
	}
	x.backend.Observe(latency, ok)
	if ok {
		x.backend.ReportServed(x.witness())
		x.settle(limit.Success)
	} else {
		x.backend.ReportFault(x.witness())
		x.settle(limit.Failure)
	}
}

// witness says of whom and of what an outcome of the exchange tells.
func (x *exchange) witness() backend.Witness {
	w := backend.Witness{Client: x.from.client}
	if x.inDone && x.in == 0 { // all of the request is in raw
		w.Request = x.raw
	}
	return w
}

// faulty reports whether a response with this status says that the backend
// failed. The two of 5xx that do not are about the request; those from 600 are
// no HTTP, and not for us to interpret.
func faulty(status int) bool { return statusClass(status) == 5 && status != 501 && status != 505 }

// again makes another attempt after one that failed, if that may be.
func (x *exchange) again(r Reason, err error) {
	x.reason, x.err = r, err
	x.attempt.spent = x.spent()
	v := retry(x.attempt)
	svc := x.svc
	if v != giveUp && !x.free() && !svc.budget.Retry(time.Now()) {
		svc.metrics.retriesDenied.Inc()
		v = giveUp
	}
	if v == giveUp {
		x.fail(r, err)
		return
	}
	x.elsewhere(v)
}

// spent reports whether there were as many attempts as there may be.
func (x *exchange) spent() bool { return x.retries-x.attempt.refusals >= x.waits.retries }

// free reports whether the next attempt costs the retry budget nothing: nobody
// was connected to, and that was known at once, or there is somebody who is known
// to be good.
func (x *exchange) free() bool {
	return !x.attempt.connected && (x.attempt.refused || x.svc.balancer.HasGood(balance.Request{Tried: x.triedToo(), Failed: true}))
}

// triedToo returns the backends that were tried, the present one included.
func (x *exchange) triedToo() balance.Tried {
	tried := x.tried
	tried.Add(x.backend)
	return tried
}

// elsewhere makes another attempt.
func (x *exchange) elsewhere(v verdict) {
	f := &x.attempt
	x.dropUpstream(true)
	x.held.drop(x.sh.l)
	x.resp.reset()
	x.deaf = false
	x.tried.Add(x.backend)
	if f.connected {
		f.replays++
	}
	if v == anotherOrSame {
		x.stale = x.backend
	}
	x.settle(limit.NoOutcome)
	x.backend.Release()
	x.last, x.backend = x.backend, nil
	x.retries++
	x.try()
}

// send sends the head of the request, and what there is of its body.
func (x *exchange) send() {
	x.sent = x.sh.l.Now()
	b := appendRequest(x.sh.l.Scratch()[halfScratch:halfScratch], &x.req, &x.from, x.target(), x.backend.Addr())
	b = x.editRequest(b)
	if x.req.binds {
		x.up.private = true
	} else if x.req.upgr == nil && !x.up.private && !x.svc.reuse.mayKeep(x.backend.SlotLimit()) {
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
		buf := scratch[headRoom : len(scratch)-tailRoom]
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
			x.body.skip(n)
			x.inDone = x.body.done()
			x.first, x.attempt.replayable = nil, false
		} else if !x.moveUp(buf[:n]) {
			return false
		}
	}
}

// moveUp sends p, a part of the loop's scratch, on to the backend.
func (x *exchange) moveUp(p []byte) bool {
	x.first = nil
	data, n, err := x.body.decode(p)
	if err != nil {
		x.fail(BadRequest, err)
		return false
	}
	if x.tooLarge(x.in + int64(x.data+len(data))) {
		x.fail(BodyTooLarge, nil)
		return false
	}
	x.inDone = x.body.done()
	x.copyBody(data, x.inDone)
	if n < len(p) {
		x.c.ahead(p[n:], false)
	}
	out := data
	if x.req.length == chunked {
		out = x.sh.frame(data, &x.body)
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
