package l7

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
)

// maxInterim is how many 1xx responses a backend may send before the real one.
const maxInterim = 16

// connectionEnded reports whether err means that a peer closed or reset its
// connection, or that we did.
func connectionEnded(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// forward gets a response for the request, from one backend or another, and
// delivers it.
func (x *exchange) forward() {
	svc := x.route.service
	var tried balance.Tried
	var stale *backend.Backend // whose idle connection had died
	f := failure{replayable: !x.streams(), idempotent: x.req.idempotent()}
	for {
		b := svc.balancer.Pick(balance.Request{Tried: tried, Key: x.client.key, HasKey: true})
		if b == nil && stale != nil {
			b = stale
			b.Acquire()
		}
		if b == nil {
			if x.tried == nil {
				x.reason = NoBackend
			}
			x.fail(x.reason, x.err)
			return
		}
		x.backend = b
		f.connected, f.reused, f.timeout, f.written, f.answered = false, false, false, false, false
		// What is sent again goes over a new connection: another idle one may
		// have died of the same cause.
		if x.attempt(&f, f.replays == 0) {
			break
		}
		stale = nil
		if !f.connected {
			f.connects++
		}
		verdict := retry(f)
		if x.s.closing.Err() != nil {
			x.reason, verdict = Draining, giveUp
		}
		if verdict == giveUp {
			x.fail(x.reason, x.err)
			return
		}
		tried.Add(b)
		if f.connected {
			f.replays++
		}
		if verdict == anotherOrSame {
			stale = b
		}
		x.drop()
		x.retries++
	}
	x.moved(int64(len(x.small)), 0)
	if x.resp.status == 101 {
		x.upgrade()
		return
	}
	x.deliver()
}

// attempt sends the request to x.backend and reads the head of the response.
// If that fails, x.reason and x.err say why, and f what is needed to decide
// what to do next.
func (x *exchange) attempt(f *failure, idle bool) bool {
	up, err := x.connect(idle)
	if err != nil {
		x.reason, x.err = ConnectFailed, err
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			x.reason, f.timeout = ConnectTimeout, true
		}
		return false
	}
	f.connected, f.reused = true, up.reused
	sent := time.Now()
	written, err := x.send()
	f.written = written
	if err == nil {
		err = x.readHead(f)
	}
	if err == nil {
		x.observe(time.Since(sent), x.resp.status < 500)
		return true
	}
	x.blame(err, f)
	// Of an idle connection that had died, the backend is not to blame.
	if x.s.closing.Err() == nil && !x.clientBroke() && (!f.reused || f.timeout || f.answered) {
		x.observe(time.Since(sent), false)
	}
	return false
}

// clientBroke reports whether the client failed to complete its request.
func (x *exchange) clientBroke() bool { return x.upload != nil && x.upload.broken.Load() }

// observe tells x.backend's balancer how an attempt went. The time to answer
// a body that streams is the client's doing as well, and is left out.
func (x *exchange) observe(latency time.Duration, ok bool) {
	if x.streams() {
		latency = 0
	}
	x.backend.Observe(latency, ok)
}

// connect returns a connection to x.backend, which x then owns.
func (x *exchange) connect(idle bool) (*upstream, error) {
	svc, b := x.route.service, x.backend
	var up *upstream
	if idle {
		up = svc.upstreams.take(b)
	}
	if up == nil {
		start := time.Now()
		var err error
		if up, err = svc.upstreams.dial(x.s.closing, b); err != nil {
			if x.s.closing.Err() == nil {
				b.ReportConnectFailure()
			}
			return nil, fmt.Errorf("cannot connect to backend %q: %w", b.Addr(), err)
		}
		svc.metrics.connected(b, time.Since(start))
	}
	x.up = up
	// In this order: either whoever cuts sees the connection, or we see that
	// everything is being cut.
	x.client.upstream.Store(up)
	return up, x.s.closing.Err()
}

// send writes the request, or starts to if its body is not at hand.
func (x *exchange) send() (written bool, err error) {
	x.request = appendRequest(x.request[:0], &x.req, &x.from, x.route.forwarded(x.req.target), x.backend.Addr())
	x.request = append(x.request, x.small...)
	x.answered = false
	if err := x.up.conn.SetDeadline(time.Now().Add(x.s.cfg.ResponseTimeout)); err != nil {
		return false, err
	}
	n, err := x.up.conn.Write(x.request)
	if err != nil {
		return n > 0, err
	}
	if x.streams() {
		// Until all of it is sent, no response is due.
		if err := x.up.conn.SetReadDeadline(time.Time{}); err != nil {
			return true, err
		}
		x.startUpload()
	}
	return true, nil
}

// awaitResponse gives the backend the time for a response from now on.
func (x *exchange) awaitResponse(up *upstream) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.answered {
		_ = up.conn.SetReadDeadline(time.Now().Add(x.s.cfg.ResponseTimeout))
	}
}

// badResponse is an error in what a backend sent.
type badResponse struct{ error }

func (e badResponse) Unwrap() error { return e.error }

// readHead reads the head of the response, which stays in the buffer of x.up
// until discarded, and skips interim responses.
func (x *exchange) readHead(f *failure) error {
	br := x.up.br
	for range maxInterim {
		size, searched := 0, 0
		for size == 0 {
			b, err := br.Peek(searched + 1)
			if len(b) > 0 {
				f.answered = true
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				return badResponse{errors.New("the head is too large")}
			}
			if err != nil {
				return err
			}
			if b, err = br.Peek(br.Buffered()); err != nil {
				return err
			}
			size = headLength(b, searched)
			searched = len(b)
		}
		raw, _ := br.Peek(size) // all of it is buffered
		if err := x.resp.parse(raw); err != nil {
			return badResponse{err}
		}
		if x.resp.status == 101 && (x.req.upgr == nil || !x.resp.answers(x.req.upgr)) {
			return badResponse{errors.New("it switches to a protocol that nobody asked for")}
		}
		if x.resp.status >= 200 || x.resp.status == 101 {
			x.mu.Lock()
			x.answered = true
			x.mu.Unlock()
			x.size = size
			return nil
		}
		if _, err := br.Discard(size); err != nil {
			return err
		}
	}
	return badResponse{errors.New("too many interim responses")}
}

// blame says whose fault it is that no response head could be read.
func (x *exchange) blame(err error, f *failure) {
	x.err = fmt.Errorf("cannot get a response from backend %q: %w", x.backend.Addr(), err)
	var bad badResponse
	switch {
	case x.clientBroke():
		x.reason, x.err = clientReason(x.upload.clientErr), x.upload.clientErr
		f.answered = true // nothing can be tried again
	case errors.As(err, &bad):
		x.reason = BadResponse
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.reason, f.timeout = ResponseTimeout, true
	default:
		x.reason = BackendReset
	}
}
