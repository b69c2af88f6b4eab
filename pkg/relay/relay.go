package relay

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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

// End says how a pair ended.
type End uint8

// A pair ends by the first failure or, without one, by the side that closed
// its direction first.
const (
	ClientEOF    End = iota // the client closed first
	BackendEOF              // the backend closed first
	ClientReset             // the client's connection broke
	BackendReset            // the backend's connection broke
	IdleTimeout             // no byte moved for the idle time
	Closed                  // our own side closed a connection meanwhile
)

// String returns the end in snake case.
func (e End) String() string {
	switch e {
	case ClientEOF:
		return "client_eof"
	case BackendEOF:
		return "backend_eof"
	case ClientReset:
		return "client_reset"
	case BackendReset:
		return "backend_reset"
	case IdleTimeout:
		return "idle_timeout"
	case Closed:
		return "closed"
	}
	return fmt.Sprintf("end(%d)", e)
}

// Config sets how a pair is copied.
type Config struct {
	// Idle is how long no byte may move in either direction before the pair
	// ends; it ends at most a quarter later. 0 or less means for ever.
	Idle time.Duration
	// FIN takes Idle's place, if it is shorter, once one side has ended its
	// direction. 0 or less means never.
	FIN time.Duration
	// Progress, if not nil, is told of bytes moved from the client (in) and to
	// the client (out) since it was last told, from two goroutines at once and
	// at least every MiB.
	Progress func(in, out int64)
}

// Result says what a pair moved and how it ended.
type Result struct {
	In, Out int64 // bytes from the client and to the client
	End     End
}

// Copy copies both ways between client and backend until both directions have
// ended. It closes neither; the caller must close both, and nothing may use
// their deadlines meanwhile. Closing one of them from elsewhere ends Copy.
func Copy(client, backend *net.TCPConn, cfg Config) Result {
	p := &pair{progress: cfg.Progress}
	p.up = direction{pair: p, src: client, dst: backend, eof: ClientEOF}
	p.down = direction{pair: p, src: backend, dst: client, eof: BackendEOF}
	p.watch = newIdleWatch(p, cfg.Idle, cfg.FIN)
	done := make(chan struct{}) // closed when copyUp has returned
	go func() {
		defer close(done)
		p.copyUp()
	}()
	p.copyDown()
	<-done
	p.watch.stop()
	p.retire()
	return Result{In: p.up.moved.Load(), Out: p.down.moved.Load(), End: p.endedBy}
}

// act does what a timer has found to be due, unless the pair is over. Timers go
// on for a moment after they are stopped.
func (p *pair) act(f func()) {
	p.acting.Lock()
	defer p.acting.Unlock()
	if !p.over {
		f()
	}
}

// retire returns when no timer acts any more, and lets none act after that.
func (p *pair) retire() {
	p.acting.Lock()
	p.over = true
	p.acting.Unlock()
}

// pair is a client and a backend with the two directions between them.
type pair struct {
	up, down direction
	progress func(in, out int64) // may be nil
	watch    *idleWatch
	aborted  atomic.Bool // set before the deadlines that unblock both directions

	// acting is held while a timer acts, and protects the field below. Both of
	// the other locks may be asked for meanwhile.
	acting sync.Mutex
	over   bool

	// mu protects the fields below. It and idleWatch.mu are never held together.
	mu      sync.Mutex
	ended   bool // by EOF of one side
	failed  bool
	endedBy End
}

// direction is one half of a pair. Only its own goroutine moves bytes.
type direction struct {
	pair     *pair
	src, dst *net.TCPConn
	eof      End // what it means that src ends
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
		d.stuck = time.AfterFunc(time.Hour, func() { d.pair.act(d.look) })
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
	reset := !d.opposite().finSent.Load() && wasReset(d.src)
	if reset && d.lost {
		d.fail(syscall.ECONNRESET)
		return
	}
	d.lost = reset
	d.stuck.Reset(lookEvery)
}

func (d *direction) opposite() *direction {
	if d == &d.pair.up {
		return &d.pair.down
	}
	return &d.pair.up
}

// The two copy loops have names of their own so that stacks tell them apart.

func (p *pair) copyUp() {
	p.up.copy(func(n int64) {
		if p.progress != nil {
			p.progress(n, 0)
		}
	})
}

func (p *pair) copyDown() {
	p.down.copy(func(n int64) {
		if p.progress != nil {
			p.progress(0, n)
		}
	})
}

// copy moves src to dst until src ends, which it passes on, or something
// fails, which ends both directions.
func (d *direction) copy(progress func(int64)) {
	count := func(n int64) {
		if n > 0 {
			d.moved.Add(n)
			progress(n)
		}
	}
	in, out := newReader(d.src), newWriter(d.dst)
	for {
		n, err := d.moveBuffer(in, out)
		count(n)
		if n == bufferSize && err == nil {
			var m int64
			m, err = d.moveStretch()
			count(m)
		}
		if err != nil {
			d.fail(err)
			return
		}
		if n == 0 {
			break
		}
	}
	if !d.opposite().finSent.Load() && wasReset(d.src) {
		// The kernel tells of a reset once; a write of the other direction has
		// heard it, and reads then return 0 as if the peer had closed.
		d.fail(syscall.ECONNRESET)
		return
	}
	d.pair.finish(d.eof)
	d.finSent.Store(true)
	_ = d.dst.CloseWrite() // fails only if dst broke, which the other direction sees
}

// moveBuffer waits for bytes and moves as many as one read takes. 0 without
// an error means that src ended.
func (d *direction) moveBuffer(in *reader, out *writer) (int64, error) {
	b, n, err := in.read()
	if err != nil || n == 0 {
		return 0, err
	}
	defer buffers.Put(b)
	w, err := out.try((*b)[:n])
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
	return int64(w), err
}

// writeError marks an error as the destination's.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

// finish records that a side closed its direction, if it is the first.
func (p *pair) finish(eof End) {
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
	p := d.pair
	if errors.Is(err, net.ErrClosed) {
		p.abort(Closed)
		return
	}
	if p.aborted.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		return // the abort's own doing
	}
	if d.broken(err) == p.up.src {
		_ = p.up.dst.SetLinger(0)
		p.abort(ClientReset)
	} else {
		_ = p.up.src.SetLinger(0)
		p.abort(BackendReset)
	}
}

// abort records end, unless a failure came before, and unblocks both
// directions.
func (p *pair) abort(end End) {
	p.mu.Lock()
	if p.failed {
		p.mu.Unlock()
		return
	}
	p.failed = true
	p.endedBy = end
	p.mu.Unlock()
	p.aborted.Store(true)
	past := time.Unix(1, 0)
	_ = p.up.src.SetDeadline(past)
	_ = p.up.dst.SetDeadline(past)
}
