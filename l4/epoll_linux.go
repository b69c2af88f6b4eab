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
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

// The epoll driver: sessions in the loops of pkg/reactor. A session belongs to
// the loop that its client was accepted in, and so does its connection to the
// backend; nothing in it is touched by anybody else.

const (
	// share is how many bytes a direction moves before others get their turn.
	share = 4 * reactor.ScratchSize
	// bulk is from how many bytes in one read on the next ones are spliced.
	// Below it, a copy costs less than the second system call.
	bulk = 32 << 10
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
	free  []*dialing // for sessions to come
}

// session is one connection on its walk.
type session struct {
	s          *Server
	l          *reactor.Loop
	list       *sessionList
	prev, next *session
	rec        record
	place      listen.Place

	client, server *reactor.Socket  // server is nil until established
	b              *backend.Backend // of server, whose slot is held
	dialing        *dialing         // nil once established or ended
	ended          bool

	up, down flow
	endedBy  Reason // by the first direction that ended
	active   int64  // when a byte last moved

	timer reactor.Timer // the attempt's, then the idle time's
	flush reactor.Timer // set while there are bytes not counted yet
}

// flow is one direction of a session.
type flow struct {
	pending []byte        // read, and not taken by the peer yet; borrowed from the loop
	pipe    *reactor.Pipe // the same of a bulk; borrowed while there is something in it
	bulk    bool          // reads are large: splice the next ones
	eof     bool          // the source has ended
	done    bool          // which the destination was told
	moved   int64
	counted int64 // part of moved that was counted
}

// accept begins the walk of a connection; it runs in l.
func (s *Server) accept(l *reactor.Loop, fd int, peer netip.AddrPort) {
	place, ok := s.ln.Admit(peer.Addr())
	if !ok {
		_ = syscall.Close(fd)
		return
	}
	client, err := l.Adopt(fd)
	if err != nil {
		s.ln.Leave(place)
		return
	}
	x := &session{s: s, l: l, list: s.listOf(l), place: place, client: client}
	x.rec = record{client: peer, start: time.Now()}
	x.dialing = x.list.newDialing(x)
	x.list.add(x)
	s.metrics.active.Inc()
	client.Handle(x)
	l.After(&x.timer, s.cfg.ConnectDeadline, x)
	x.dial()
}

// newSessionLists returns a list for each loop of g, which may be nil.
func newSessionLists(g *reactor.Group) []sessionList {
	if g == nil {
		return nil
	}
	return make([]sessionList, len(g.Loops()))
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

// dialing is what a session needs until it has a backend. It is used again, so
// that an established session holds nothing of it.
type dialing struct {
	attempts [balance.MaxTries]attempt
	begun    int // attempts
	running  int // of them
}

// freeDialings is how many are kept for sessions to come.
const freeDialings = 64

func (q *sessionList) newDialing(x *session) *dialing {
	d := &dialing{}
	if n := len(q.free); n > 0 {
		d = q.free[n-1]
		q.free = q.free[:n-1]
	}
	for i := range d.attempts {
		d.attempts[i].x = x
	}
	return d
}

// stopDialing ends the attempts that are under way. Their backends were slow
// to answer, which is for health to look into.
func (x *session) stopDialing() {
	d := x.dialing
	if d == nil {
		return
	}
	resolving := false
	for i := range d.attempts[:d.begun] {
		a := &d.attempts[i]
		resolving = resolving || a.resolving
		if a.b != nil {
			b := a.drop()
			b.Suspect()
			x.s.lost(b, time.Duration(x.l.Now()-a.begun))
		}
	}
	x.dialing = nil
	if !resolving && len(x.list.free) < freeDialings { // a resolver still holds its attempt
		*d = dialing{}
		x.list.free = append(x.list.free, d)
	}
}

// attempt is one attempt to connect to a backend, and the handler of its
// socket.
type attempt struct {
	x         *session
	b         *backend.Backend // whose slot is held; nil when the attempt is over
	server    *reactor.Socket  // nil while a name is resolved
	begun     int64            // in the loop's time
	timer     reactor.Timer
	resolving bool
}

// dial begins attempts until one is under way or no backend is left.
func (x *session) dial() {
	for !x.ended && x.dialing.running == 0 {
		if !x.attempt() {
			x.end(x.rec.unserved(), nil)
			return
		}
	}
	if !x.ended {
		x.l.After(&x.flush, x.s.cfg.HedgeAfter, x)
	}
}

// attempt begins an attempt, which may fail at once; false means that there is
// no backend for it.
func (x *session) attempt() bool {
	b := x.s.pick(&x.rec)
	if b == nil {
		return false
	}
	d := x.dialing
	a := &d.attempts[d.begun]
	d.begun++
	d.running++
	a.b, a.begun = b, x.l.Now()
	x.l.After(&a.timer, x.s.cfg.ConnectTimeout, a)
	if !b.AddrPort().IsValid() {
		a.resolve()
	} else if err := a.connect(b.AddrPort()); err != nil {
		a.failed(err)
	}
	return true
}

// Expired is told that the attempt took too long.
func (a *attempt) Expired(*reactor.Timer) {
	x := a.x
	a.failed(errConnectTimeout)
	x.dial()
}

func (a *attempt) connect(addr netip.AddrPort) error {
	server, err := a.x.l.Connect(addr)
	if err != nil {
		return err
	}
	a.server = server
	server.Handle(a)
	return nil
}

// resolve looks a backend's name up, outside the loop, and then connects.
func (a *attempt) resolve() {
	x, addr := a.x, a.b.Addr()
	a.resolving = true
	ctx, cancel := context.WithTimeout(x.s.closing, x.s.cfg.ConnectTimeout)
	go func() {
		defer cancel()
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", hostOf(addr))
		port, portErr := net.DefaultResolver.LookupPort(ctx, "tcp", portOf(addr))
		err = errors.Join(err, portErr)
		x.l.Post(func() {
			a.resolving = false
			if a.b == nil {
				return // it is over
			}
			if err == nil {
				err = a.connect(netip.AddrPortFrom(ips[0].Unmap(), uint16(port)))
			}
			if err != nil {
				a.failed(err)
				x.dial()
			}
		})
	}()
}

// Ready is told of the outcome of the connect.
func (a *attempt) Ready(reactor.Stream) {
	switch err := a.server.Connected(); {
	case errors.Is(err, reactor.ErrAgain):
	case err != nil:
		a.failed(err)
		a.x.dial()
	default:
		a.x.connected(a)
	}
}

// Panicked ends the session after a defect of ours.
func (a *attempt) Panicked() { a.x.Panicked() }

// over ends the attempt, whatever came of it, and returns its backend.
func (a *attempt) over() *backend.Backend {
	b := a.b
	a.b = nil
	a.x.dialing.running--
	a.x.l.Stop(&a.timer)
	return b
}

// drop gives back what the attempt holds.
func (a *attempt) drop() *backend.Backend {
	b := a.over()
	if a.server != nil {
		a.server.Close()
	}
	b.Release()
	return b
}

func (a *attempt) failed(err error) {
	a.x.rec.connect = time.Duration(a.x.l.Now() - a.begun)
	a.x.s.dialFailed(&a.x.rec, a.drop(), err)
}

func hostOf(addr string) string { host, _, _ := net.SplitHostPort(addr); return host }
func portOf(addr string) string { _, port, _ := net.SplitHostPort(addr); return port }

// Expired is the alarm of both timers.
func (x *session) Expired(t *reactor.Timer) {
	switch d := x.dialing; {
	case t == &x.timer && d != nil:
		x.deadlineOver()
	case t == &x.timer:
		x.checkIdle()
	case d == nil:
		x.count()
	case d.running == 1 && x.attempt():
		x.s.metrics.hedges.Inc()
		x.dial() // should the hedge and the first attempt both have failed
	}
}

// deadlineOver ends a session for which connecting took too long altogether.
func (x *session) deadlineOver() {
	for i := range x.dialing.attempts[:x.dialing.begun] {
		if a := &x.dialing.attempts[i]; a.b != nil {
			a.failed(errConnectTimeout)
		}
	}
	x.end(DialFailed, nil)
}

// checkIdle ends a session in which no byte moved for the idle time.
func (x *session) checkIdle() {
	idle := x.idleTimeout()
	if quiet := time.Duration(x.l.Now() - x.active); quiet < idle {
		x.l.After(&x.timer, idle-quiet, x)
		return
	}
	x.end(IdleTimeout, nil)
}

// idleTimeout returns how long no byte may move now; 0 means for ever.
func (x *session) idleTimeout() time.Duration {
	idle, fin := max(x.s.cfg.IdleTimeout, 0), x.s.cfg.FINTimeout
	if (x.up.done || x.down.done) && fin > 0 && (fin < idle || idle == 0) {
		return fin
	}
	return idle
}

// watchIdle sets the timer for the idle time from now on.
func (x *session) watchIdle() {
	x.active = x.l.Now()
	if idle := x.idleTimeout(); idle > 0 {
		x.l.After(&x.timer, idle, x)
	} else {
		x.l.Stop(&x.timer)
	}
}

// connected goes on with the attempt that won.
func (x *session) connected(a *attempt) {
	x.rec.connect = time.Duration(x.l.Now() - a.begun)
	x.server, x.b = a.server, a.over()
	x.stopDialing()
	x.l.Stop(&x.flush)
	x.rec.backend = x.b
	x.s.metrics.connectSeconds.Update(x.rec.connect.Seconds())
	x.b.Observe(x.rec.connect, true)
	x.b.Counters.Connections.Add(1)
	x.server.Handle(x)
	x.watchIdle()
	x.Ready(x.server)
}

// Ready is the handler of both sockets. Until there are both, the client's
// bytes stay in the kernel.
func (x *session) Ready(reactor.Stream) {
	if x.ended || x.dialing != nil {
		return
	}
	if x.pump(&x.up, x.client, x.server, ClientEOF) {
		x.pump(&x.down, x.server, x.client, BackendEOF)
	}
}

// pump moves what can be moved from src to dst now; false means that the
// session has ended.
func (x *session) pump(f *flow, src, dst *reactor.Socket, eof Reason) bool {
	for moved := 0; ; {
		if f.pending != nil && !x.deliver(f, dst) || f.pipe != nil && !x.empty(f, dst) {
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
		if f.bulk {
			n, err := x.fill(f, src)
			moved += n
			switch {
			case err == nil:
				continue
			case errors.Is(err, reactor.ErrAgain):
				return true
			case errors.Is(err, io.EOF):
				f.eof = true
				continue
			case f.bulk:
				x.broke(src)
				return false
			}
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
		f.bulk = n >= bulk
		x.progress(f, w)
	}
}

// fill splices what there is to read into a pipe. It ends the bulk if that
// cannot be had.
func (x *session) fill(f *flow, src *reactor.Socket) (int, error) {
	p, err := x.l.BorrowPipe()
	if err != nil {
		f.bulk = false
		return 0, err
	}
	n, err := src.Fill(p)
	if n == 0 {
		x.l.ReturnPipe(p)
		if errors.Is(err, syscall.EINVAL) { // these two cannot be spliced
			f.bulk = false
		}
		return 0, err
	}
	f.pipe = p
	f.bulk = n >= bulk
	return n, nil
}

// empty splices what is in the pipe to dst and reports whether all of it was
// taken.
func (x *session) empty(f *flow, dst *reactor.Socket) bool {
	if !dst.Writable() {
		return false
	}
	n, err := dst.Empty(f.pipe)
	if err != nil && !errors.Is(err, reactor.ErrAgain) {
		x.broke(dst)
		return false
	}
	x.progress(f, n)
	if f.pipe.Held() > 0 {
		return false
	}
	x.l.ReturnPipe(f.pipe)
	f.pipe = nil
	return true
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
		x.l.After(&x.flush, flushEvery, x)
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
		x.watchIdle()
		return true
	}
	x.end(x.endedBy, nil) // whose close sends the other FIN
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
	x.stopDialing()
	x.l.Stop(&x.timer)
	x.l.Stop(&x.flush)
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
		if f.pipe != nil {
			x.l.ReturnPipe(f.pipe)
			f.pipe = nil
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
	x.s.ln.Leave(x.place)
}
