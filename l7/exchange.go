package l7

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/pkg/backend"
)

// smallBody is up to which length a request body is at hand before anything
// is sent: fasthttp reads as much before it calls a handler.
const smallBody = 8 << 10

// exchange is one request and its response. It belongs to the goroutine that
// serves the client's connection, but for what an upload owns.
type exchange struct {
	s      *Server
	ctx    *fasthttp.RequestCtx
	client *client
	start  time.Time

	req   head
	route *route
	small []byte // the request's body if it is at hand
	from  origin
	id    [32]byte // memory for from.requestID

	backend *backend.Backend // whose slot is held, or nil
	up      *upstream        // in use, or nil
	upload  *upload          // of this request's body, or nil
	resp    response
	size    int  // of its head, while that is in up's buffer
	reuse   bool // up can serve another request

	request []byte // head and small body as sent to the backend
	pending []byte // what is to be sent to the client next

	in, out atomic.Int64 // body bytes moved so far

	// mu orders the deadlines of the backend's first byte and those after it.
	mu       sync.Mutex
	answered bool // a response head was read

	// The outcome, for record.
	status  int // as seen by the client, 0 if there was none
	reason  Reason
	detail  string
	err     error
	retries int
	tried   *backend.Backend // the last one, when its slot was given back
	started bool             // the client was sent a byte of a response
}

func (s *Server) newExchange(ctx *fasthttp.RequestCtx) *exchange {
	x := s.exchanges.Get().(*exchange)
	x.s, x.ctx, x.client, x.start = s, ctx, ctx.Conn().(*client), time.Now()
	return x
}

// release gives x's memory back.
func (x *exchange) release() {
	const worthKeeping = 128 << 10
	if cap(x.request)+cap(x.pending) > worthKeeping {
		x.request, x.pending = nil, nil
	}
	s := x.s
	x.s, x.ctx, x.client, x.route, x.upload, x.backend, x.tried, x.up = nil, nil, nil, nil, nil, nil, nil, nil
	x.req.reset()
	x.resp.reset()
	x.small, x.request, x.pending = x.small[:0], x.request[:0], x.pending[:0]
	x.from = origin{}
	x.in.Store(0)
	x.out.Store(0)
	x.reuse, x.answered, x.started = false, false, false
	x.size, x.status, x.retries = 0, 0, 0
	x.reason, x.detail, x.err = None, "", nil
	s.exchanges.Put(x)
}

// handle serves one request; it is fasthttp's handler.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	x := s.newExchange(ctx)
	x.client.busy()
	// The response is written by the exchange; what fasthttp makes of its own
	// is dropped and might as well be short.
	ctx.Response.SkipBody = true
	defer func() {
		if p := recover(); p != nil {
			x.panicked(p)
		}
		if !ctx.Hijacked() {
			x.end()
		}
	}()
	h := &ctx.Request.Header
	if r, why := check(&x.req, h.Method(), h.RequestURI(), h.Protocol(), h.RawHeaders()); r != 0 {
		x.refuse(r, why)
		return
	}
	if x.req.close {
		ctx.SetConnectionClose()
	}
	route := s.router.match(x.req.host, x.req.path)
	if route == nil {
		x.refuse(NoRoute, "no route for this host and path")
		return
	}
	if !x.agrees(int64(h.ContentLength())) {
		x.refuse(BadRequest, "the length of the body is ambiguous")
		return
	}
	x.route = route
	x.route.service.metrics.begin()
	x.identify()
	if x.takeSmallBody() {
		x.forward()
	}
}

// agrees reports whether fasthttp, which reads the request's body, has read
// its length from the head as check has.
func (x *exchange) agrees(length int64) bool {
	if x.req.length == noLength {
		return length == noLength || length == 0
	}
	return length == x.req.length
}

// identify sets what backends are told of the request's origin.
func (x *exchange) identify() {
	x.from.peer, x.from.trusted = x.client.peer, x.client.trusted
	if x.from.requestID = x.req.requestID(x.from.trusted); x.from.requestID != nil {
		return
	}
	id := x.id[:0]
	for range 2 {
		n := rand.Uint64()
		for range 16 {
			id = append(id, "0123456789abcdef"[n>>60])
			n <<= 4
		}
	}
	x.from.requestID = id
}

// takeSmallBody takes the request's body out of fasthttp's hands if it has all
// of it.
func (x *exchange) takeSmallBody() bool {
	if x.req.length <= 0 || x.req.length > smallBody {
		return true
	}
	n := int(x.req.length)
	if cap(x.small) < n {
		x.small = make([]byte, smallBody)
	}
	x.small = x.small[:n]
	if _, err := io.ReadFull(x.ctx.RequestBodyStream(), x.small); err != nil {
		x.fail(clientReason(err), err)
		return false
	}
	return true
}

// bodyRead reports whether the request's body was read to its end, so that
// the next request follows on the client's connection.
func (x *exchange) bodyRead() bool {
	switch {
	case !x.req.hasBody(), len(x.small) > 0:
		return true
	case x.upload != nil:
		return x.upload.whole.Load()
	}
	return false
}

// streams reports whether the request has a body that is not at hand.
func (x *exchange) streams() bool { return x.req.hasBody() && len(x.small) == 0 }

// refuse answers a request that is not forwarded to anybody.
func (x *exchange) refuse(r Reason, detail string) {
	if r != NoRoute || !x.bodyRead() {
		x.closeClient()
	}
	x.reason, x.detail = r, detail
	x.answer()
}

// fail ends the exchange for a reason other than the client's own wish: with
// an answer that says so if the response has not begun, else by ending the
// client's connection in the middle of it.
func (x *exchange) fail(r Reason, err error) {
	x.reason, x.err = r, err
	if x.started || r == ClientAbort {
		x.ctx.SetConnectionClose()
		x.client.linger = false
		return
	}
	x.detail = r.explain()
	x.answer()
}

// closeClient makes this the last response on the client's connection, which
// may have more of a request to come.
func (x *exchange) closeClient() {
	x.ctx.SetConnectionClose()
	x.client.linger = true
}

// answer sends a response of sluice's own, which says x.reason.
func (x *exchange) answer() {
	if !x.bodyRead() {
		x.closeClient()
	}
	x.status = x.reason.status()
	b := appendAnswer(x.pending[:0], x.reason, x.detail, x.connection(), string(x.req.method) != "HEAD")
	x.started = true
	if err := x.client.send(b, nil); err != nil {
		x.ctx.SetConnectionClose()
	}
	x.pending = b[:0]
}

// appendAnswer appends a response of sluice's own.
func appendAnswer(b []byte, r Reason, detail, connection string, withBody bool) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(r.status()), 10)
	b = append(append(b, ' '), fasthttp.StatusMessage(r.status())...)
	b = append(b, "\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-cache\r\n"...)
	b = appendLine(b, "X-Sluice-Reason", r.String())
	b = appendFraming(b, int64(len(detail)+1))
	if connection != "" {
		b = appendLine(b, "Connection", connection)
	}
	b = append(b, "\r\n"...)
	if withBody {
		b = append(append(b, detail...), '\n')
	}
	return b
}

// connection returns what the response says of the client's connection, and
// keeps fasthttp to it.
func (x *exchange) connection() string {
	if x.s.draining.Load() {
		x.ctx.SetConnectionClose()
	}
	switch {
	case x.ctx.Response.ConnectionClose():
		return "close"
	case x.req.http10:
		return "keep-alive"
	}
	return ""
}

// drop gives up the backend of a failed attempt.
func (x *exchange) drop() {
	if x.up != nil {
		x.client.upstream.Store(nil)
		x.route.service.upstreams.put(x.backend, x.up, false)
		x.up = nil
	}
	if x.backend != nil {
		x.backend.Release()
		x.tried, x.backend = x.backend, nil
	}
}

// end closes the books on the exchange. It is called exactly once.
func (x *exchange) end() {
	if u := x.upload; u != nil {
		u.stop()
		if u.backendErr != nil || u.clientErr != nil || !u.whole.Load() {
			x.reuse = false
		}
		if !u.whole.Load() {
			x.ctx.SetConnectionClose()
		}
	}
	if x.up != nil {
		x.client.upstream.Store(nil)
		x.route.service.upstreams.put(x.backend, x.up, x.reuse)
		x.up = nil
	}
	x.s.record(x)
	if x.backend != nil {
		x.backend.Release()
	}
	x.release()
}

// panicked deals with a defect of ours, of which only this request shall die.
func (x *exchange) panicked(p any) {
	x.s.cfg.Logger.Error("panic while serving a request", "panic", p, "stack", string(debug.Stack()))
	x.reuse = false
	x.ctx.SetConnectionClose()
	x.fail(InternalError, fmt.Errorf("panic: %v", p))
}

// clientReason says what an error in reading a request's body means.
func clientReason(err error) Reason {
	var broken net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return RequestTimeout
	case connectionEnded(err), errors.As(err, &broken):
		return ClientAbort
	}
	return BadRequest
}
