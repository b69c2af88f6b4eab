package l4

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/reactor"
)

// The epoll driver: sessions in the loops of pkg/reactor. A session belongs to
// the loop that its client was accepted in, and so does its connection to the
// backend; nothing in it is touched by anybody else.

const (
	// share is how many bytes a direction moves before others get their turn.
	share = 4 * reactor.ScratchSize
	// flushEvery is how long at most bytes that were moved are not counted yet.
	flushEvery = time.Second
)

var errConnectTimeout = &net.OpError{Op: "dial", Net: "tcp", Err: errTimeout{}}

// errTimeout is what a connect that took too long failed of.
type errTimeout struct{}

func (errTimeout) Error() string   { return "i/o timeout" }
func (errTimeout) Timeout() bool   { return true }
func (errTimeout) Temporary() bool { return true }

// serveLoops lets the loops accept until the listener is closed.
func (s *Server) serveLoops() error {
	s.lists = make([]sessionList, len(s.cfg.Loops.Loops()))
	backoff := newBackoff(s.ln.AcceptFailed)
	var stop func()
	started := make(chan struct{})
	fd, err := s.ln.Detach(func() {
		<-started
		if stop != nil {
			stop()
		}
	})
	if err != nil {
		close(started)
		return err
	}
	stop, err = s.cfg.Loops.Listen(fd, reactor.Accepting{
		Accept: func(l *reactor.Loop, fd int, peer netip.AddrPort) {
			backoff.reset()
			s.accept(l, fd, peer)
		},
		Failed: backoff.failed,
	})
	close(started)
	if err != nil {
		s.ln.Close()
		return err
	}
	<-s.ln.Done()
	return nil
}

// backoff remembers how long accepting has last been put off. It is shared by
// the loops.
type backoff struct {
	next func(err error, waited time.Duration) time.Duration

	// mu protects the field below.
	mu     sync.Mutex
	waited time.Duration
}

func newBackoff(next func(error, time.Duration) time.Duration) *backoff { return &backoff{next: next} }

func (b *backoff) failed(err error) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waited = b.next(err, b.waited)
	return b.waited
}

func (b *backoff) reset() {
	b.mu.Lock()
	b.waited = 0
	b.mu.Unlock()
}

// sessionList is the sessions of a server in one loop.
type sessionList struct {
	first *session
	n     int
}

// session is one connection on its walk.
type session struct {
	s          *Server
	l          *reactor.Loop
	list       *sessionList
	prev, next *session
	rec        record

	client, server *reactor.Socket
	b              *backend.Backend // whose slot is held, or nil
	tried          balance.Tried
	begun          int64 // of the first attempt, in the loop's time
	attempted      int64 // of the current one
	established    bool
	ended          bool

	up, down flow
	endedBy  Reason // by the first direction that ended
	active   int64  // when a byte last moved

	timer            reactor.Timer // the attempt's, then the idle time's
	flush            reactor.Timer // set while there are bytes not counted yet
	onTimer, onFlush func()
}

// flow is one direction of a session.
type flow struct {
	pending []byte // read, and not taken by the peer yet; borrowed from the loop
	eof     bool   // the source has ended
	done    bool   // which the destination was told
	moved   int64
	counted int64 // part of moved that was counted
}

// accept begins the walk of a connection; it runs in l.
func (s *Server) accept(l *reactor.Loop, fd int, peer netip.AddrPort) {
	if !s.ln.Admit() {
		_ = syscall.Close(fd)
		return
	}
	client, err := l.Adopt(fd)
	if err != nil {
		s.ln.Leave()
		return
	}
	x := &session{s: s, l: l, list: s.listOf(l), client: client}
	x.rec = record{client: peer, start: time.Now()}
	x.onTimer, x.onFlush = x.timeUp, x.count
	x.list.add(x)
	s.metrics.active.Inc()
	client.Handle(x)
	x.begun = l.Now()
	x.dial()
}

func (s *Server) listOf(l *reactor.Loop) *sessionList { return &s.lists[l.Index()] }

func (q *sessionList) add(x *session) {
	if x.next = q.first; x.next != nil {
		x.next.prev = x
	}
	q.first = x
	q.n++
}

func (q *sessionList) remove(x *session) {
	if x.prev == nil {
		q.first = x.next
	} else {
		x.prev.next = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	}
	x.prev, x.next = nil, nil
	q.n--
}

// cutSessions ends every session that is left and returns how many there were.
func (s *Server) cutSessions() (n int) {
	for i := range s.lists {
		cut := make(chan int, 1)
		q := &s.lists[i]
		if !s.cfg.Loops.Loops()[i].Post(func() {
			n := q.n
			for q.first != nil {
				q.first.end(Draining, nil)
			}
			cut <- n
		}) {
			continue
		}
		n += <-cut
	}
	return n
}

// dial tries backends until an attempt is under way or none is left.
func (x *session) dial() {
	s := x.s
	for {
		left := s.cfg.ConnectDeadline - time.Duration(x.l.Now()-x.begun)
		if left <= 0 || x.tried.Len() == balance.MaxTries {
			break
		}
		b := s.cfg.Balancer.Pick(x.tried)
		if b == nil {
			break
		}
		if x.tried.Len() > 0 {
			s.metrics.retries.Inc()
		}
		x.b = b
		x.attempted = x.l.Now()
		x.l.After(&x.timer, min(left, s.cfg.ConnectTimeout), x.onTimer)
		if !b.AddrPort().IsValid() {
			x.resolve(b)
			return
		}
		err := x.connect(b.AddrPort())
		if err == nil {
			return
		}
		x.giveUp(err)
	}
	if x.tried.Len() == 0 {
		x.end(NoBackend, nil)
	} else {
		x.end(DialFailed, nil)
	}
}

// connect begins an attempt.
func (x *session) connect(addr netip.AddrPort) error {
	server, err := x.l.Connect(addr)
	if err != nil {
		return err
	}
	x.server = server
	server.Handle(x)
	return nil
}

// resolve looks a backend's name up, outside the loop, and then connects.
func (x *session) resolve(b *backend.Backend) {
	attempt := x.attempted
	ctx, cancel := context.WithTimeout(x.s.closing, x.s.cfg.ConnectTimeout)
	go func() {
		defer cancel()
		a, err := (&net.Resolver{}).LookupNetIP(ctx, "ip", hostOf(b.Addr()))
		port, portErr := net.DefaultResolver.LookupPort(ctx, "tcp", portOf(b.Addr()))
		err = errors.Join(err, portErr)
		if err == nil && len(a) == 0 {
			err = errors.New("the name has no address")
		}
		x.l.Post(func() {
			if x.ended || x.b != b || x.attempted != attempt || x.server != nil {
				return // time was up meanwhile
			}
			if err == nil {
				err = x.connect(netip.AddrPortFrom(a[0].Unmap(), uint16(port)))
			}
			if err != nil {
				x.giveUp(err)
				x.dial()
			}
		})
	}()
}

func hostOf(addr string) string { host, _, _ := net.SplitHostPort(addr); return host }
func portOf(addr string) string { _, port, _ := net.SplitHostPort(addr); return port }

// giveUp ends an attempt that failed.
func (x *session) giveUp(err error) {
	x.l.Stop(&x.timer)
	if x.server != nil {
		x.server.Close()
		x.server = nil
	}
	x.rec.connect = time.Duration(x.l.Now() - x.attempted)
	b := x.b
	x.b = nil
	b.Release()
	x.s.dialFailed(&x.rec, &x.tried, b, err)
}

// timeUp is called by the timer: an attempt took too long, or no byte may have
// moved for the idle time.
func (x *session) timeUp() {
	if !x.established {
		x.giveUp(errConnectTimeout)
		x.dial()
		return
	}
	idle := x.s.cfg.IdleTimeout
	if quiet := time.Duration(x.l.Now() - x.active); quiet < idle {
		x.l.After(&x.timer, idle-quiet, x.onTimer)
		return
	}
	x.end(IdleTimeout, nil)
}

// Ready is the handler of both sockets.
func (x *session) Ready(s reactor.Stream) {
	if x.ended {
		return
	}
	if !x.established {
		if s != reactor.Stream(x.server) {
			return // the client must wait; its bytes stay in the kernel
		}
		switch err := x.server.Connected(); {
		case errors.Is(err, reactor.ErrAgain):
			return
		case err != nil:
			x.giveUp(err)
			x.dial()
			return
		}
		x.connected()
	}
	if x.pump(&x.up, x.client, x.server, ClientEOF) {
		x.pump(&x.down, x.server, x.client, BackendEOF)
	}
}

func (x *session) connected() {
	x.established = true
	x.rec.backend = x.b
	x.rec.connect = time.Duration(x.l.Now() - x.attempted)
	x.s.metrics.connectSeconds.Update(x.rec.connect.Seconds())
	x.b.Counters.Connections.Add(1)
	x.active = x.l.Now()
	x.l.Stop(&x.timer)
	if idle := x.s.cfg.IdleTimeout; idle > 0 {
		x.l.After(&x.timer, idle, x.onTimer)
	}
}

// pump moves what can be moved from src to dst now; false means that the
// session has ended.
func (x *session) pump(f *flow, src, dst *reactor.Socket, eof Reason) bool {
	for moved := 0; ; {
		if f.pending != nil && !x.deliver(f, dst) {
			return !x.ended
		}
		if f.eof {
			return x.finish(f, dst, eof)
		}
		if !src.Readable() || !dst.Writable() {
			return true
		}
		if moved >= share {
			x.l.Again(src)
			return true
		}
		buf := x.l.Scratch()
		n, err := src.Read(buf)
		switch {
		case err == nil:
		case errors.Is(err, reactor.ErrAgain):
			return true
		case errors.Is(err, io.EOF):
			f.eof = true
			continue
		default:
			x.broke(src)
			return false
		}
		w, err := dst.Write(buf[:n])
		if err != nil && !errors.Is(err, reactor.ErrAgain) {
			x.broke(dst)
			return false
		}
		if w < n {
			f.pending = x.l.Borrow(buf[w:n])
		}
		moved += n
		x.progress(f, w)
	}
}

// deliver writes what is pending and reports whether all of it was taken.
func (x *session) deliver(f *flow, dst *reactor.Socket) bool {
	if !dst.Writable() {
		return false
	}
	n, err := dst.Write(f.pending)
	if err != nil && !errors.Is(err, reactor.ErrAgain) {
		x.broke(dst)
		return false
	}
	x.progress(f, n)
	rest := f.pending[n:]
	if len(rest) == 0 {
		x.l.Return(f.pending)
		f.pending = nil
		return true
	}
	if n > 0 {
		copy(f.pending, rest)
		f.pending = f.pending[:len(rest)]
	}
	return false
}

// progress notes that n bytes were taken by a peer.
func (x *session) progress(f *flow, n int) {
	if n == 0 {
		return
	}
	f.moved += int64(n)
	x.active = x.l.Now()
	if !x.flush.Set() {
		x.l.After(&x.flush, flushEvery, x.onFlush)
	}
}

// count adds the bytes moved since it was last called to the counters.
func (x *session) count() {
	x.l.Stop(&x.flush)
	in, out := x.up.moved-x.up.counted, x.down.moved-x.down.counted
	x.up.counted, x.down.counted = x.up.moved, x.down.moved
	if in > 0 {
		x.b.Counters.BytesIn.Add(uint64(in))
		x.s.metrics.bytesIn.AddInt64(in)
	}
	if out > 0 {
		x.b.Counters.BytesOut.Add(uint64(out))
		x.s.metrics.bytesOut.AddInt64(out)
	}
}

// finish passes on that a direction has ended; false means that both have.
func (x *session) finish(f *flow, dst *reactor.Socket, eof Reason) bool {
	if f.done {
		return true
	}
	f.done = true
	if !x.up.done || !x.down.done {
		x.endedBy = eof
		_ = dst.CloseWrite() // fails only if dst broke, which a read of it tells
		return true
	}
	_ = dst.CloseWrite()
	x.end(x.endedBy, nil)
	return false
}

// broke ends the session because s was reset or timed out, and passes that on
// to the other side.
func (x *session) broke(s *reactor.Socket) {
	if s == x.client {
		x.end(ClientReset, x.server)
	} else {
		x.end(BackendReset, x.client)
	}
}

// Panicked ends the session after a defect of ours.
func (x *session) Panicked() { x.end(InternalError, x.server) }

// end ends the session: sockets, slot, timers and buffers are given back and
// the outcome is recorded. If reset is not nil it is reset.
func (x *session) end(reason Reason, reset *reactor.Socket) {
	if x.ended {
		return
	}
	x.ended = true
	x.l.Stop(&x.timer)
	if x.b != nil {
		x.count()
		x.b.Release()
	}
	if reset != nil {
		reset.Reset()
	}
	if reason == NoBackend || reason == DialFailed {
		// Nothing was exchanged; the client learns of the failure by a reset
		// rather than by an answer that ends before it began.
		x.client.Reset()
	}
	for _, f := range []*flow{&x.up, &x.down} {
		if f.pending != nil {
			x.l.Return(f.pending)
			f.pending = nil
		}
	}
	x.rec.in, x.rec.out, x.rec.reason = x.up.moved, x.down.moved, reason
	x.list.remove(x)
	x.s.metrics.active.Dec()
	x.s.record(&x.rec)
	x.client.Close()
	if x.server != nil {
		x.server.Close()
	}
	x.s.ln.Leave()
}
