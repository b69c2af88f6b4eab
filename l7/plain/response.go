package plain

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"sluice/l7/gate"
	"sluice/l7/http1"
)

const (
	// maxInterim is how many 1xx responses a backend may send before the real one.
	maxInterim = 16
	// watchAfter is how long a backend may take until it is looked what the client
	// does meanwhile: what is answered at once need not pay for that.
	watchAfter = 250 * time.Millisecond
)

// Why hear has heard nothing.
var (
	errStopped = errors.New("l7: the exchange was stopped") // the ticket says why
	errRetry   = errors.New("l7: there is to be another attempt")
	errLate    = errors.New("l7: nothing came in time")
)

// await waits for the response. Forward says that it is there.
func (x *Exchange) await() gate.Decision {
	u, t := x.u, &x.t
	x.awaits(u.b)
	for searched := 0; ; {
		p := u.buf[u.r:u.w]
		n := http1.ResponseHeadLength(p, searched)
		if most := x.p.cfg.MaxResponseHead(); n > most || n == 0 && len(p) > most {
			return x.failed(gate.BadResponse, fmt.Errorf("the head is too large: %w", http1.ErrOwnLimit))
		}
		if n == 0 {
			searched = len(p)
			if d := x.hear(); d != gate.Forward {
				return d
			}
			continue
		}
		searched = 0
		if err := t.Resp.Parse(p[:n]); err != nil {
			return x.failed(gate.BadResponse, err)
		}
		u.r += n
		switch status := t.Resp.Status; {
		case status >= 200:
			x.respond()
			return gate.Forward
		case status == 101:
			if !t.MaySwitch() || !x.complete() {
				return x.failed(gate.BadResponse, errors.New("it switches to a protocol that nobody asked for"))
			}
			x.switchProtocols()
			return gate.Forward
		}
		if x.interims++; x.interims > maxInterim {
			return x.failed(gate.BadResponse, fmt.Errorf("too many interim responses: %w", http1.ErrOwnLimit))
		}
		if t.PassesInterim() {
			if err := x.c.Interim(http1.AppendInterim(nil, &t.Resp)); err != nil {
				return t.Fail(gate.ClientAbort, err)
			}
		}
	}
}

// uploading reports whether a body is being sent.
func (x *Exchange) uploading() bool {
	if x.sending == nil {
		return false
	}
	select {
	case <-x.sending.done:
		return false
	default:
		return true
	}
}

// complete reports whether the backend has been sent all of the request.
func (x *Exchange) complete() bool {
	return x.flaw < deaf && (x.sending == nil || !x.uploading() && x.sending.whole)
}

// isWhole reports whether all of the request has come.
func (x *Exchange) isWhole() bool {
	x.tell.Lock()
	defer x.tell.Unlock()
	return x.t.Whole()
}

// failed decides what follows an attempt that has failed.
func (x *Exchange) failed(r gate.Reason, err error) gate.Decision {
	x.endUpload()
	return x.t.AttemptFailed(x.p.nowSince(x.sentAt), r, err)
}

// hear waits for more of the response's head.
func (x *Exchange) hear() gate.Decision {
	u, t := x.u, &x.t
	if len(u.space()) == 0 {
		u.grow()
	}
	n, err := x.listen(u.space(), t.Limits().Response)
	if u.w += n; n > 0 {
		x.tell.Lock()
		t.Saw()
		x.tell.Unlock()
		return gate.Forward
	}
	switch {
	case errors.Is(err, errStopped):
		return gate.Answer
	case errors.Is(err, errRetry):
		return gate.Retry
	case errors.Is(err, errLate):
		return x.failed(gate.ResponseTimeout, errNoResponse)
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
		if u.r == u.w && u.unseen() {
			x.endUpload()
			t.Unseen()
		}
	}
	return x.failed(gate.BackendReset, err)
}

// listen reads some bytes of the backend, for which that has the time limit once
// all of the request was sent. While it waits, the client is watched, and it may
// be stopped.
func (x *Exchange) listen(p []byte, limit time.Duration) (int, error) {
	u := x.u
	start := time.Now()
	for {
		d, late := limit, errLate
		if x.state == asking && x.uploading() {
			d = gate.Forever // who sends has limits of its own
		}
		if x.watching && x.hasGone() && x.p.cfg.FINTimeout < d {
			d, late = x.p.cfg.FINTimeout, errHalfClosed
		}
		by := x.within(start, d)
		if !x.watching && x.isWhole() {
			if soon := start.Add(watchAfter); soon.Before(by) {
				by = soon
			}
		}
		u.setBy(by)
		var n int
		err := os.ErrDeadlineExceeded
		if !x.poked.Load() {
			if n, err = u.Read(p); n > 0 {
				return n, nil
			}
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		u.by = time.Time{}
		if x.poked.Load() {
			if d := x.look(); d != gate.Await {
				if d == gate.Retry {
					return 0, errRetry
				}
				return 0, errStopped
			}
			if !x.uploading() {
				start = time.Now()
			}
			continue
		}
		switch now := time.Now(); {
		case now.Before(by):
		case !x.watching && x.isWhole() && now.Sub(start) >= watchAfter && now.Before(x.within(start, d)):
			x.watch()
		case now.Before(x.within(start, d)):
		case x.outOfTime():
			return 0, errStopped
		case errors.Is(late, errHalfClosed):
			x.t.Fail(gate.ClientAbort, errHalfClosed)
			return 0, errStopped
		default:
			return 0, late
		}
	}
}

// look finds out why it was woken: Await means that it goes on waiting.
func (x *Exchange) look() gate.Decision {
	c, stopped := x.why()
	switch {
	case stopped && c.rescue:
		if x.state != asking || !x.complete() {
			return gate.Await
		}
		d := x.t.Rescue(x.p.now())
		if d == gate.Retry {
			x.t.Rescued(x.p.now())
		}
		return d
	case stopped && c.reason == gate.ResponseTimeout:
		return x.failed(c.reason, c.err)
	case stopped:
		x.endUpload()
		x.t.Fail(c.reason, c.err)
		return gate.Answer
	}
	if !x.uploading() && x.sending != nil {
		x.tell.Lock()
		x.t.Uploaded(x.p.now())
		x.tell.Unlock()
	}
	return gate.Await
}

// respond begins to bring the response, whose head has come.
func (x *Exchange) respond() {
	u, t := x.u, &x.t
	x.tell.Lock()
	defer x.tell.Unlock()
	x.state = responding
	t.CountIn(len(x.data))
	x.delivery = t.Respond(x.p.now())
	x.frame = t.ResponseBody()
	u.private = u.private || t.Resp.Binds
	x.out = t.AppendResponse(x.out[:0], x.delivery)
	x.head = len(x.out)
	x.piece = x.decode()
	if x.delivery == gate.InChunks {
		x.out = http1.AppendChunks(x.out, x.piece, &x.frame)
	} else {
		x.out = append(x.out, x.piece...)
	}
	t.Count()
	x.staysWith(u.b)
}

// decode takes what has come of the body. What is wrong with what follows is
// left for later.
func (x *Exchange) decode() []byte {
	u := x.u
	data, n, err := x.frame.Decode(u.buf[u.r:u.w])
	u.r += n
	x.fault = err
	x.t.CountOut(len(data))
	if x.frame.Done() && u.r < u.w {
		x.flaw = max(x.flaw, surplus)
	}
	return data
}

// Head returns the head that the client gets, and what has come of the body with
// it, without framing.
func (x *Exchange) Head() (head, data []byte) { return x.out[:x.head], x.piece }

// AtEnd reports whether Read has nothing to bring.
func (x *Exchange) AtEnd() bool { return x.state != responding || x.fault == nil && x.frame.Done() }

// Read returns the next piece of the response's body, without framing, and io.EOF
// after the last; see Next.
func (x *Exchange) Read() ([]byte, error) {
	if x.state != responding {
		return nil, io.EOF
	}
	u := x.u
	for {
		switch {
		case x.fault != nil:
			return nil, x.truncated(x.fault)
		case x.frame.Done():
			return nil, io.EOF
		}
		p := u.space()
		n, err := x.listen(p, x.t.Limits().Body)
		switch {
		case n > 0:
		case errors.Is(err, errStopped):
			x.flaw = cut
			return nil, errBroken
		case errors.Is(err, errLate):
			x.flaw = cut
			x.t.Fail(gate.BackendStalled, errBackendStalled)
			return nil, errBroken
		case errors.Is(err, io.EOF) && x.frame.End():
			x.flaw = max(x.flaw, surplus)
			return p[:0], nil // for the last chunk; then io.EOF
		default:
			return nil, x.truncated(err)
		}
		u.w += n
		x.tell.Lock()
		data := x.decode()
		x.t.Count()
		x.tell.Unlock()
		if len(data) > 0 || x.frame.Done() {
			if data == nil {
				data = p[:0]
			}
			return data, nil
		}
	}
}

// truncated ends a response that cannot be completed. The client is left in no
// doubt: its connection ends before the response does.
func (x *Exchange) truncated(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	x.flaw = cut
	x.t.Fail(gate.TruncatedResponse, fmt.Errorf("cannot complete the response of backend %q: %w", x.u.b.Addr(), err))
	return errBroken
}

// letGo gives the backend's connection back, or closes it.
func (x *Exchange) letGo() {
	u, t := x.u, &x.t
	if u == nil {
		return
	}
	x.use(nil)
	whole := x.state == responding && x.frame.Done() && x.isWhole()
	usable := whole && !x.isStopped() && x.flaw == sound && !t.Resp.Close && x.frame.Length != http1.NoLength && u.r == u.w
	private := u.private
	if !usable {
		x.freeBuffer(u)
		if whole || x.state == switched && x.flaw < cut {
			u.close()
		} else {
			u.reset()
		}
		return
	}
	x.freeBuffer(u)
	switch {
	case !private:
		rests := ready
		if t.Bodiless() {
			rests = tired
		}
		x.p.pool.put(u, t.Resp.KeepAlive, rests)
	case !t.Closes():
		x.session.bind(x.p, u)
	default:
		u.close()
	}
}

func (x *Exchange) freeBuffer(u *upstream) {
	if len(u.buf) == bufferSize {
		x.p.buffers.Put((*buffer)(u.buf))
	}
	u.buf, u.r, u.w = nil, 0, 0
}

// Trailer returns the lines of the response's trailer that may be passed on, once
// its body has ended.
func (x *Exchange) Trailer() []byte {
	if x.state != responding || !x.frame.Done() {
		return nil
	}
	end := x.frame
	lines := http1.AppendChunks(nil, nil, &end) // "0", the fields, and an empty line
	_, lines, _ = bytes.Cut(lines, []byte("\r\n"))
	return bytes.TrimSuffix(lines, []byte("\r\n"))
}
