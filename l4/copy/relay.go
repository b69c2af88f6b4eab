package copy

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/l4"
	"sluice/pkg/tcp"
)

const (
	// bufferSize is how much one read takes at most, in bytes. A read that
	// fills it starts a stretch.
	bufferSize = 32 << 10
	// stretch is how many bytes are spliced before they are counted; it is the
	// most that a pipe of Go's splice holds.
	stretch = 1 << 20
	// pause is how long a stream may stop within a stretch before its pipe is
	// given back.
	pause = 20 * time.Millisecond
	// lookEvery is how often a direction whose destination takes nothing looks
	// whether its source is still there: nobody reads that meanwhile.
	lookEvery = time.Second
)

// buffers holds *[]byte of bufferSize.
var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// relayConfig sets how a pair of connections is copied.
type relayConfig struct {
	// Idle is how long no byte may move in either direction before the pair
	// ends; it ends at most a quarter later. 0 or less means for ever.
	Idle time.Duration
	// FIN takes Idle's place, if it is shorter, once one side has ended its
	// direction. 0 or less means never.
	FIN time.Duration
	// Header is sent to the backend before all else, and counts for nothing;
	// then comes Read, which was read of the client already.
	Header, Read []byte
	// Progress, if not nil, is told of bytes moved from the client (in) and to
	// the client (out) since it was last told, from two goroutines at once and
	// at least every MiB.
	Progress func(in, out int64)
	// Unanswered, if not nil, is called once if the backend has sent nothing by
	// unansweredAfter after the client first sent something.
	Unanswered func()
}

// unansweredAfter is less than the time between two looks of health for stalls.
const unansweredAfter = 200 * time.Millisecond

// passed says what a pair moved and how it ended.
type passed struct {
	In, Out int64 // bytes that the backend and the client have taken
	Reason  l4.Reason
}

// relay is a client and a backend with the two directions between them.
type relay struct {
	cfg      relayConfig
	up, down direction
	watch    *idleWatch
	asked    *time.Timer // until Unanswered; belongs to the goroutine of up
	aborted  atomic.Bool // set before the deadlines that unblock both directions

	// acting is held while a timer acts, and protects the field below. Both of
	// the other locks may be asked for meanwhile.
	acting sync.Mutex
	over   bool

	// mu protects the fields below. It and idleWatch.mu are never held together.
	mu      sync.Mutex
	ended   bool // by EOF of one side
	failed  bool
	endedBy l4.Reason
}

// newRelay returns a relay between two connections, which run starts. Nobody else
// may use them, nor their deadlines, until that has returned; then the caller
// closes both.
func newRelay(client, backend net.Conn, cfg relayConfig) *relay {
	p := &relay{cfg: cfg}
	p.up.join(p, client, backend, l4.ClientEOF)
	p.down.join(p, backend, client, l4.BackendEOF)
	p.watch = newIdleWatch(p, cfg.Idle, cfg.FIN)
	return p
}

// run copies both ways until both directions have ended, abort is called, or one
// of the connections is closed.
func (p *relay) run() passed {
	done := make(chan struct{}) // closed when copyUp has returned
	go func() {
		defer close(done)
		p.copyUp()
	}()
	p.copyDown()
	<-done
	p.watch.stop()
	p.retire()
	return passed{In: p.up.moved.Load(), Out: p.down.moved.Load(), Reason: p.endedBy}
}

// act does what a timer has found to be due, unless the pair is over. Timers go
// on for a moment after they are stopped.
func (p *relay) act(f func()) {
	p.acting.Lock()
	defer p.acting.Unlock()
	if !p.over {
		f()
	}
}

// retire returns when no timer acts any more, and lets none act after that.
func (p *relay) retire() {
	p.acting.Lock()
	p.over = true
	p.acting.Unlock()
}

// direction is one half of a relay. Only its own goroutine moves bytes.
type direction struct {
	relay    *relay
	src, dst net.Conn
	in       reader
	out      writer
	spliced  bool      // both are of TCP alone
	eof      l4.Reason // what it means that src ends
	moved    atomic.Int64
	finSent  atomic.Bool // set before FIN is sent to dst

	// What follows is about a destination that takes nothing.
	waiting atomic.Bool // dst is being written to and may take nothing
	stuck   *time.Timer // calls look while that lasts; nil before it ever did
	lost    bool        // the last look found that src was reset
}

// await has look called until settled is.
func (d *direction) await() {
	d.waiting.Store(true)
	if d.stuck == nil {
		d.stuck = time.AfterFunc(time.Hour, func() { d.relay.act(d.look) })
	}
	d.stuck.Reset(lookEvery)
}

func (d *direction) settled() {
	d.waiting.Store(false)
	d.stuck.Stop()
}

// look ends the pair if src has been reset for a while: nobody reads it, and
// what it has sent before nobody takes.
func (d *direction) look() {
	if !d.waiting.Load() {
		return
	}
	reset := d.wasReset()
	if reset && d.lost {
		d.fail(syscall.ECONNRESET)
		return
	}
	d.lost = reset
	d.stuck.Reset(lookEvery)
}

// wasReset reports whether src is closed although we have not ended our direction
// of it. That is looked at before, to save a call, and once more after: finSent is
// set before FIN is sent, so that an end of both sides, of which nothing else
// tells, is not taken for a reset.
func (d *direction) wasReset() bool {
	ended := &d.opposite().finSent
	return !ended.Load() && tcp.IsBroken(d.src) && !ended.Load()
}

func (d *direction) opposite() *direction {
	if d == &d.relay.up {
		return &d.relay.down
	}
	return &d.relay.up
}

// join makes d the direction of p from src to dst.
func (d *direction) join(p *relay, src, dst net.Conn, eof l4.Reason) {
	from, isTCP := src.(*net.TCPConn)
	to, areTCP := dst.(*net.TCPConn)
	d.relay, d.src, d.dst, d.eof, d.spliced = p, src, dst, eof, canSplice && isTCP && areTCP
	if isTCP {
		d.in = newTCPReader(from)
	} else {
		d.in = newPlainReader(src)
	}
	if areTCP {
		d.out = newTCPWriter(to)
	} else {
		d.out = plainWriter{}
	}
}

// The two copy loops have names of their own so that stacks tell them apart.

func (p *relay) copyUp() {
	if err := p.sendAhead(); err != nil {
		p.up.fail(err)
		return
	}
	p.up.copy(func(n int64) { p.progress(n, 0) })
	if p.asked != nil {
		p.asked.Stop()
	}
}

func (p *relay) copyDown() {
	p.down.copy(func(n int64) { p.progress(0, n) })
}

// progress tells of bytes moved.
func (p *relay) progress(in, out int64) {
	if p.cfg.Progress != nil {
		p.cfg.Progress(in, out)
	}
	if in > 0 && p.asked == nil && p.cfg.Unanswered != nil {
		p.asked = time.AfterFunc(unansweredAfter, func() {
			p.act(func() {
				if p.down.moved.Load() == 0 {
					p.cfg.Unanswered()
				}
			})
		})
	}
}

// sendAhead sends the backend what is to come before all else.
func (p *relay) sendAhead() error {
	header, read := len(p.cfg.Header), len(p.cfg.Read)
	if header+read == 0 {
		return nil
	}
	p.up.await()
	n, err := p.up.dst.Write(append(p.cfg.Header, p.cfg.Read...))
	p.up.settled()
	p.cfg.Header, p.cfg.Read = nil, nil
	p.up.count(int64(n-header), func(n int64) { p.progress(n, 0) })
	if err != nil {
		return writeError{err}
	}
	return nil
}

// count notes that n bytes were moved.
func (d *direction) count(n int64, progress func(int64)) {
	if n > 0 {
		d.moved.Add(n)
		progress(n)
	}
}

// copy moves src to dst until src ends, which it passes on, or something
// fails, which ends both directions.
func (d *direction) copy(progress func(int64)) {
	for {
		n, full, err := d.moveBuffer()
		d.count(n, progress)
		if full && err == nil {
			var m int64
			m, err = d.moveStretch()
			d.count(m, progress)
		}
		if err != nil {
			d.fail(err)
			return
		}
		if n == 0 {
			break
		}
	}
	if d.wasReset() {
		// The kernel tells of a reset once; a write of the other direction has
		// heard it, and reads then return 0 as if the peer had closed.
		d.fail(syscall.ECONNRESET)
		return
	}
	d.relay.finish(d.eof)
	d.finSent.Store(true)
	_ = tcp.CloseWrite(d.dst) // fails only if dst broke, which the other direction sees
}

// moveBuffer waits for bytes and moves as many as one read takes. 0 without
// an error means that src ended; full, that there seems to be more.
func (d *direction) moveBuffer() (moved int64, full bool, err error) {
	b, n, err := d.in.read()
	if err != nil || n == 0 {
		return 0, false, err
	}
	defer buffers.Put(b)
	w, err := d.out.try((*b)[:n])
	if err == nil && w < n {
		d.await()
		var rest int
		rest, err = d.dst.Write((*b)[w:n])
		d.settled()
		w += rest
	}
	if err != nil {
		err = writeError{err}
	}
	return int64(w), n == d.in.most(), err
}

// writeError marks an error as the destination's.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

// finish records that a side closed its direction, if it is the first.
func (p *relay) finish(eof l4.Reason) {
	p.mu.Lock()
	if !p.ended && !p.failed {
		p.endedBy = eof
	}
	p.ended = true
	p.mu.Unlock()
	p.watch.halfClosed()
}

// fail ends the pair because of an error in d.
func (d *direction) fail(err error) {
	p := d.relay
	if errors.Is(err, net.ErrClosed) {
		p.abort(l4.Draining) // nothing else closes a connection that is relayed
		return
	}
	if p.aborted.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		return // the abort's own doing
	}
	if d.broken(err) == p.up.src {
		p.abort(l4.ClientReset)
	} else {
		p.abort(l4.BackendReset)
	}
}

// abort records the reason, unless a failure came before, and unblocks both
// directions.
func (p *relay) abort(reason l4.Reason) {
	p.mu.Lock()
	if p.failed {
		p.mu.Unlock()
		return
	}
	p.failed = true
	p.endedBy = reason
	p.mu.Unlock()
	p.aborted.Store(true)
	past := time.Unix(1, 0)
	_ = p.up.src.SetDeadline(past)
	_ = p.up.dst.SetDeadline(past)
}
