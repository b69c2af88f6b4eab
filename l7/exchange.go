package l7

import (
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sluice/l7/http1"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/limit"
)

// exchange is one request and its response. It belongs to the connection that
// it is served on, in that connection's loop.
//
// Functions that may end the exchange report whether it goes on; after a false
// it must not be touched, as it may be serving another request already.
type exchange struct {
	sh    *shard
	c     *conn
	start int64 // in the loop's time, as all points in time here
	real  int64 // the same in its real time, for people

	// The request: parsed, routed, and on its way to a backend.
	raw       []byte // its head, and its body after it if that is small
	req       http1.Head
	path      http1.Path // of it, judged
	route     *route
	user      string        // who it is, by auth
	verifying *verification // the wait for that, or nil
	copying   *copying      // for a mirror, or nil
	challenge string        // with an answer that asks for it
	waits     waits         // the listener's, and once it is judged its route's
	svc       *service      // of the route, or its canary's
	key       uint64        // of the client, for strategies that hash
	admitted  bool          // it has a service and is counted there
	entered   bool          // and among those that it has in flight
	joins     bool          // it shall be once its body has gone up
	from      origin
	rewritten []byte                         // memory for the target as it is forwarded
	ids       [uuidLen + traceparentLen]byte // memory for from.requestID and from.trace
	body      http1.Body                     // of a request that is streamed
	unread    bool                           // its body was not begun to be read: what came of it, and behind it, is come
	come      []byte                         // not in the loop's scratch if comeOwn
	comeOwn   bool
	small     int     // bytes of a small body that are still to come
	first     []byte  // what goes out right behind the head: a body, or its beginning
	data      int     // bytes of the body in first, without framing
	inDone    bool    // all of the request has come
	held      backlog // what the backend does not take yet
	deaf      bool    // the backend takes no more of the request

	// The attempt.
	attempt     failure
	tried       balance.Tried
	backend     *backend.Backend // whose slot is held, or nil
	stale       *backend.Backend // whose idle connection had died
	up          *upstream        // to backend, in use or being connected
	connectBy   int64            // until when a connection must be there, 0 if none is being made
	begun       int64            // when the request was admitted, or its body had gone up
	picked      int64            // when the first one began
	queue       *queueing        // the wait for a slot, or nil if there was none
	sent        int64            // when the head went out
	connect     time.Duration    // what the last connect took
	reply       time.Duration    // from sent to the beginning of the response
	settled     int64            // when the last outcome was known
	retries     int
	last        *backend.Backend // the last one that failed
	sinceUpload bool             // begun is when a body that was streamed had gone up
	permit      limit.Permit     // of backend's breaker, until its outcome is known
	repin       bool             // the client gets a cookie that means the backend which answers

	// The response, on its way to the client.
	resp       http1.Response
	interims   int
	out        http1.Body
	answered   bool    // its head has come, and is final
	chunks     bool    // the client gets its body in chunks
	untilClose bool    // or until its connection ends
	outDone    bool    // all of it has come
	pending    backlog // what the client does not take yet
	closing    bool    // it is the last one on its connection
	started    bool    // the client was sent a byte of it
	tunnel     *tunnel

	// Whom is waited for, and how fast it is.
	giveUp int64     // when its time is over
	paced  direction // of the body that the client alone is waited for with
	pace   pace

	in, sentIn    int64 // body bytes that went to the backend, and those of them that were counted
	outN, sentOut int64 // the same for the client
	status        int   // as seen by the client, 0 if there was none
	reason        Reason
	detail        string
	retryAfter    time.Duration // with an answer of ours
	noted         noted         // what the access log has of it by choice
	err           error
}

// arm gives whoever is waited for the time that is theirs, from now on.
func (x *exchange) arm() {
	d := x.waits.body
	switch {
	case x.tunnel != nil:
		d = x.tunnel.idle(&x.waits)
	case x.queued():
		d = x.queue.Left(x.sh.l.Now())
	case x.up != nil && x.up.connecting:
		d = time.Duration(x.connectBy - x.sh.l.Now())
	case x.up != nil && x.inDone && x.held.empty() && !x.answered:
		d = x.waits.response
	}
	if x.c.eof && x.tunnel == nil {
		d = min(d, x.sh.s.cfg.FINTimeout)
	}
	x.c.arm(x.watchPace(x.grace(d)))
}

// timedOut is told that somebody has let the time pass that was theirs.
func (x *exchange) timedOut() {
	if x.look() {
		return
	}
	switch {
	case x.tunnel != nil && x.c.stream.Broken():
		x.fail(ClientAbort, syscall.ECONNRESET)
	case x.backendBroken() && x.tunnel != nil:
		x.fail(BackendReset, syscall.ECONNRESET)
	case x.backendBroken() && !x.pending.empty():
		x.truncated(syscall.ECONNRESET)
	case x.tunnel != nil:
		x.fail(IdleTimeout, nil)
	case x.c.eof && x.pending.empty() && x.sh.s.cfg.FINTimeout < forever:
		x.fail(ClientAbort, errHalfClosed)
	case x.verifying != nil:
		x.retryAfter = overloadRetry
		x.fail(AuthBusy, nil)
	case x.queued():
		x.leaveQueue()
		x.retryAfter = overloadRetry
		x.fail(NoSlot, nil)
	case !x.pending.empty():
		x.fail(ClientStalled, errClientStalled)
	case x.answered:
		x.fail(BackendStalled, errBackendStalled)
	case x.up != nil && x.up.connecting:
		x.attempt.connects = balance.MaxTries // there is no time for another
		x.connectFailed(x.up, x.up.tookTooLong())
	case !x.inDone && x.held.empty() && !x.deaf:
		x.fail(RequestTimeout, errRequestStalled)
	default:
		x.attempt.timeout = true
		x.attemptFailed(ResponseTimeout, errNoResponse)
	}
}

// clientReady is told that the client's stream may be read or written.
func (x *exchange) clientReady() {
	switch {
	case x.tunnel != nil:
		x.pumpTunnel()
	case x.outDone || !x.pending.empty():
		if x.pumpDown() {
			x.fromClient()
		}
	default:
		x.fromClient()
	}
}

// fromClient deals with what the client may have sent.
func (x *exchange) fromClient() {
	switch {
	case x.small > 0:
		x.awaitSmall()
	case x.inDone || x.deaf || x.outDone:
		x.watch()
	case x.up != nil && !x.up.connecting:
		x.pumpUp()
	}
}

// backendReady is told that the backend's socket may be read or written.
func (x *exchange) backendReady() {
	goesOn := true
	switch {
	case x.tunnel != nil:
		goesOn = x.pumpTunnel()
	case x.inDone && x.held.empty() || x.deaf:
		goesOn = x.pumpDown()
	default:
		goesOn = x.pumpUp() && x.pumpDown()
	}
	if goesOn {
		x.noticeBackend()
	}
}

// refuse answers a request that is not forwarded to anybody.
func (x *exchange) refuse(r Reason, detail string) {
	if x.closing = x.closing || r.closes(); !x.closing {
		x.discard()
	}
	x.reason, x.detail = r, detail
	x.answer()
}

// fail ends the exchange for a reason other than the client's own wish: with
// an answer that says so if the response has not begun, else by ending the
// client's connection in the middle of it.
func (x *exchange) fail(r Reason, err error) {
	x.dropUpstream(true)
	x.endVerification()
	x.reason, x.err = r, err
	if x.started || r == ClientAbort || r == ClientStalled {
		c := x.c
		_, _ = x.pending.flush(x.sh.l, c.stream) // what has come is the client's; no matter if it takes it
		if x.untilClose || x.tunnel != nil || r == ClientTooSlow {
			c.stream.Reset() // the end of the connection would be the end of the response, or takes as long
		}
		x.end()
		c.close()
		return
	}
	x.detail = r.explain()
	if r == BadRequest && err != nil {
		x.detail = strings.TrimPrefix(err.Error(), "l7: ")
	}
	x.answer()
}

// abandon ends the exchange, and nobody is answered. The caller closes the
// connection.
func (x *exchange) abandon(r Reason, err error) {
	x.dropUpstream(true)
	x.reason, x.err = r, err
	x.end()
}

// answer sends a response of sluice's own, which says x.reason.
func (x *exchange) answer() {
	x.closing = x.closing || !x.inDone || x.req.Close
	x.status = x.reason.status()
	b := appendAnswer(x.sh.l.Scratch()[:0], x.reason, x.detail, x.connection(), x.sh.now(), x.retryAfter)
	if x.challenge != "" {
		b = append(append(b[:len(b)-2], x.challenge...), "\r\n"...)
	}
	b = x.editResponse(b)
	if string(x.req.Method) != "HEAD" {
		b = append(append(b, x.detail...), '\n')
	}
	x.outDone = true
	if x.toClient(b) && x.pending.empty() {
		x.finish()
	}
}

// appendAnswer appends the head of a response of sluice's own, whose body is
// detail and a line end. If retryAfter is not 0, the
// client is asked to wait for so long, in whole seconds.
func appendAnswer(b []byte, r Reason, detail, connection, date string, retryAfter time.Duration) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(r.status()), 10)
	b = append(append(b, ' '), http.StatusText(r.status())...)
	b = append(b, "\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-cache\r\n"...)
	b = http1.AppendLine(b, "Date", date)
	b = http1.AppendLine(b, "X-Sluice-Reason", r.String())
	if retryAfter > 0 {
		b = append(b, "Retry-After: "...)
		b = strconv.AppendInt(b, int64((retryAfter+time.Second-1)/time.Second), 10)
		b = append(b, "\r\n"...)
	}
	b = http1.AppendFraming(b, int64(len(detail)+1))
	if connection != "" {
		b = http1.AppendLine(b, "Connection", connection)
	}
	return append(b, "\r\n"...)
}

// connection returns what the response says of the client's connection, and
// keeps the exchange to it.
func (x *exchange) connection() string {
	if x.sh.s.draining.Load() {
		x.closing = true
	}
	switch {
	case x.closing:
		return "close"
	case x.req.Version == http1.HTTP10:
		return "keep-alive"
	}
	return ""
}

// finish ends the exchange when the response was delivered.
func (x *exchange) finish() {
	c := x.c
	keep, more := !x.closing && x.inDone, !x.inDone
	c.bodied = x.req.Length != http1.NoLength
	if up := x.up; up != nil {
		x.up = nil
		whole := x.inDone && !x.deaf && x.held.empty() && !x.resp.Close && x.out.Length != http1.NoLength
		switch {
		case !whole:
			up.close(!x.inDone)
		case !up.private:
			x.sh.put(up, x.resp.KeepAlive, x.bodiless())
		case keep:
			c.bind(up)
		default:
			up.close(false)
		}
	}
	x.end()
	if keep {
		c.resume()
	} else {
		c.finish(more)
	}
}

// bodiless reports whether the response has no body only for what it is: an
// answer to HEAD, or a 204 or 304 that announces one.
func (x *exchange) bodiless() bool {
	return x.out.Length == 0 && (x.resp.Length > 0 || x.resp.Length == http1.Chunked || string(x.req.Method) == "HEAD")
}

// dropUpstream closes the backend's connection.
func (x *exchange) dropUpstream(reset bool) {
	if up := x.up; up != nil {
		x.up = nil
		up.close(reset)
	}
}

// end closes the books on the exchange and frees it.
func (x *exchange) end() {
	x.count()
	x.leave()
	x.endCopy()
	x.endVerification()
	if x.tunnel != nil {
		x.svc.metrics.upgraded.Dec()
	}
	if x.queue != nil {
		x.leaveQueue()
		x.queue.x = nil
	}
	x.sh.s.record(x)
	if x.backend != nil {
		x.backend.Release()
	}
	l := x.sh.l
	x.held.drop(l)
	x.pending.drop(l)
	x.c.x = nil
	x.sh.release(x)
}
