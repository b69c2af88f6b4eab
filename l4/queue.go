package l4

import (
	"errors"
	"io"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

// queueing is a session's wait for a backend with a slot free.
type queueing struct {
	waiter  backend.Waiter
	waiting bool
	used    bool
	since   int64 // in the loop's time
}

// readWaiting is how much is read of a client that waits for a slot. Who sends
// more stays in the kernel.
const readWaiting = 4 << 10

// enqueue makes the session wait for a slot. It reports whether it does; else
// too many wait, or this one has waited long enough.
func (x *session) enqueue() (waits bool) {
	q := &x.dialing.queue
	if !q.used {
		q.since = x.l.Now()
		q.waiter.Wake = func() {
			if !x.post(x.wake) {
				x.svc.pool().Leave(&q.waiter)
			}
		}
	}
	left := q.since + int64(x.svc.QueueTimeout) - x.l.Now()
	if left <= 0 {
		return false
	}
	// By the time that the loop hears of a wake, this has returned.
	await := x.svc.pool().Await
	if q.used {
		await = x.svc.pool().AwaitAgain
	}
	if !await(&q.waiter) {
		return false
	}
	q.used, q.waiting = true, true
	x.rec.tries.waiter = &q.waiter
	x.l.After(&x.timer, time.Duration(left), x)
	x.readQueued()
	return !x.ended
}

// wake is called in the loop when a slot may be free. A session that has ended
// meanwhile has said so.
func (x *session) wake() {
	if x.ended || x.dialing == nil || !x.dialing.queue.waiting {
		return
	}
	x.dialing.queue.waiting = false
	x.l.After(&x.timer, x.s.cfg.ConnectDeadline, x)
	x.dial()
}

// leaveQueue ends the wait, whatever came of it.
func (x *session) leaveQueue() {
	if q := &x.dialing.queue; q.used {
		q.waiting = false
		x.svc.pool().Leave(&q.waiter)
	}
}

// readQueued takes what a client sends that waits, so that it is noticed if it
// goes away. One that ends its direction before it has sent a byte has closed:
// who ends there is rare that still expects anything.
func (x *session) readQueued() {
	f := &x.up
	for x.dialing.queue.waiting && x.client.Readable() && !f.eof && len(f.pending) < readWaiting {
		buf := x.l.Scratch()[:readWaiting]
		n, err := x.client.Read(buf)
		switch {
		case err == nil && f.pending == nil:
			f.pending = x.l.Borrow(buf[:n])
		case err == nil:
			f.pending = append(f.pending, buf[:n]...)
		case errors.Is(err, reactor.ErrAgain):
			return
		case errors.Is(err, io.EOF) && f.pending == nil:
			x.end(ClientEOF, nil)
			return
		case errors.Is(err, io.EOF):
			f.eof = true
		default:
			x.end(ClientReset, nil)
			return
		}
	}
}

// lookEvery is how often the copy driver looks whether a client that waits is
// still there.
const lookEvery = 250 * time.Millisecond

// await waits for a slot, for a connection of the copy driver; false means that
// too many wait, that it took too long, or that the client is gone.
func (svc *service) await(rec *record, client *listen.Conn, closing <-chan struct{}) bool {
	t := rec.tries
	if t.waiter == nil {
		t.woken = make(chan struct{}, 1)
		t.waitUntil = time.Now().Add(svc.QueueTimeout)
	}
	w := t.waiter
	if w == nil {
		woken := t.woken
		w = &backend.Waiter{Wake: func() { woken <- struct{}{} }}
	}
	await := svc.pool().Await
	if t.waiter != nil {
		await = svc.pool().AwaitAgain
	}
	if !await(w) {
		return false
	}
	t.waiter = w
	timeout := time.NewTimer(time.Until(t.waitUntil))
	defer timeout.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-t.woken:
			return true
		case <-look.C:
			if !gone(client.TCPConn) {
				continue
			}
		case <-timeout.C:
		case <-closing:
		}
		svc.pool().Leave(w)
		return false
	}
}
