package plain

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/l7/gate"
	"sluice/l7/http1"
)

// longWrite is from how many bytes on a write may have to wait for the backend
// to take what was written before.
const longWrite = 8 << 10

// send sends the head of the request, and what there is of its body. What is
// still to come follows in a goroutine of its own.
func (x *Exchange) send() gate.Decision {
	u, t := x.u, &x.t
	if u.buf == nil {
		u.buf = x.p.buffers.Get().(*buffer)[:]
	}
	sharing := gate.Shared
	if u.private = u.private || t.Req.Binds; u.private {
		sharing = gate.Private
	}
	now := x.p.now()
	x.sentAt = now.Mono
	t.Sent(now)
	x.out = append(t.AppendRequest(x.out[:0], sharing), x.first...)
	if len(x.out) > longWrite {
		_ = u.SetWriteDeadline(x.by(t.Limits().Body))
	}
	n, err := u.Write(x.out)
	if u.wrote = n; n > 0 {
		t.WroteHead()
	}
	if len(x.out) > longWrite {
		_ = u.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		x.flaw = deaf // it may have answered before it broke
	} else if !t.Whole() {
		x.upload(u)
	}
	return gate.Forward
}

// upload is a body on its way to the backend.
type upload struct {
	done  chan struct{} // closed when nothing of it is under way any more
	over  atomic.Bool   // nobody wants it any more
	whole bool          // all of it was taken
}

// upload begins to send the rest of the body.
func (x *Exchange) upload(u *upstream) {
	up := &upload{done: make(chan struct{})}
	x.sending = up
	go func() {
		defer close(up.done)
		up.whole = x.pass(u, up)
		x.poke() // from now on the response is waited for
	}()
}

// pass passes the body on, and reports whether the backend has got all of it.
func (x *Exchange) pass(u *upstream, up *upload) bool {
	buf := x.p.buffers.Get().(*buffer)
	defer x.p.buffers.Put(buf)
	body, limits := x.body, x.t.Limits()
	sent := int64(len(x.data))
	pace := gate.Pace{From: x.p.now().Mono, Bytes: sent}
	for {
		n, err := body.Read(buf[http1.HeadRoom:len(buf)-http1.TailRoom], x.by(limits.Body))
		whole := errors.Is(err, io.EOF) || err == nil && body.AtEnd()
		if err != nil && !whole {
			if !up.over.Load() {
				r, err := x.bodyFault(err)
				x.stop(cause{reason: r, err: err})
			}
			return false
		}
		sent += int64(n)
		data := buf[http1.HeadRoom : http1.HeadRoom+n]
		x.tell.Lock()
		if whole {
			x.t.Arrived()
		}
		tooLarge, tooSlow := x.t.BodyTooLarge(sent), !whole && x.slow(&pace, sent)
		if !tooLarge {
			x.t.Copy(data)
			x.t.WroteBody()
			x.t.CountIn(n)
		}
		x.tell.Unlock()
		switch {
		case tooLarge:
			x.stop(cause{reason: gate.BodyTooLarge})
			return false
		case tooSlow:
			x.stop(cause{reason: gate.ClientTooSlow, err: errTooSlow})
			return false
		}
		out := data
		if x.t.Req.Length == http1.Chunked {
			out = http1.Frame(buf[:], data, body.Framing())
		}
		if !x.push(u, up, out) {
			return false // what it says until it breaks off is still read
		}
		if whole {
			_ = u.SetWriteDeadline(time.Time{}) // the next request sets none
			return true
		}
	}
}

// lookEvery is how often it is looked whether one side is still there while the
// other one takes nothing.
const lookEvery = time.Second

// push writes a part of the body, and reports whether the backend took it.
func (x *Exchange) push(u *upstream, up *upload, p []byte) bool {
	for by := x.by(x.t.Limits().Body); len(p) > 0; {
		soon := time.Now().Add(lookEvery)
		if by.Before(soon) {
			soon = by
		}
		_ = u.SetWriteDeadline(soon)
		n, err := u.Write(p)
		p = p[n:]
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded), up.over.Load():
			return false
		case x.c.Broken():
			x.stop(cause{reason: gate.ClientAbort, err: syscall.ECONNRESET})
			return false
		case n > 0:
			by = x.by(x.t.Limits().Body)
		case x.isOutOfTime():
			x.stop(cause{reason: gate.RequestTimeout, err: errNoTime})
			return false
		case !time.Now().Before(by):
			x.stop(cause{reason: gate.ResponseTimeout, err: errNoResponse})
			return false
		}
	}
	return true
}

// endUpload ends the sending of a body, and returns when nothing of it is under
// way.
func (x *Exchange) endUpload() {
	up := x.sending
	if up == nil {
		return
	}
	up.over.Store(true)
	select {
	case <-up.done:
	default:
		x.c.Interrupt()
		if x.u != nil {
			_ = x.u.SetWriteDeadline(past)
		}
		<-up.done
		x.c.Resume()
		if up.whole && x.u != nil {
			_ = x.u.SetWriteDeadline(time.Time{})
		}
	}
	x.sending = nil
	if !up.whole {
		x.flaw = max(x.flaw, deaf)
	}
}
