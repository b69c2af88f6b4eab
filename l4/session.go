package l4

import (
	"errors"
	"io"
	"math"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"sluice/pkg/backend"
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
	// That is less than the time between two looks of health for stalls.
	flushEvery = 200 * time.Millisecond
)

// session is one connection on its walk.
type session struct {
	s          *Server
	l          *reactor.Loop
	prev, next *session
	rec        record
	place      listen.Place

	client, server reactor.Stream   // server is nil until established
	local          *netip.AddrPort  // what the client connected to, if it is not the socket's word
	preface        *preface         // nil once the service is known
	svc            *service         // nil until then
	b              *backend.Backend // of server, whose slot is held
	dialing        *dialing         // nil once established or ended
	ended          bool
	breaking       bool   // a side has broken, which no read has met yet
	spliced        bool   // both are sockets, so that large reads can be spliced
	endedBy        Reason // by the first direction that ended

	up, down flow
	start    int64 // when it began, in the loop's real time
	began    int64 // the same, in the loop's time
	active   int64 // when a byte last moved, in the loop's time

	timer reactor.Timer // the handshake's or the connects', then the idle time's
	flush reactor.Timer // set while there are bytes not counted yet
}

// flow is one direction of a session.
type flow struct {
	pending []byte        // read, and not taken by the peer yet; borrowed from the loop
	pipe    *reactor.Pipe // the same of a bulk; borrowed while there is something in it
	bulk    bool          // reads are large: splice the next ones
	eof     bool          // the source has ended
	done    bool          // which the destination was told
	ours    int           // the first bytes pending that are no peer's: the PROXY header
	moved   int64
	counted int64 // part of moved that was counted
}

// newSession returns the session of a connection that has arrived.
func (s *Server) newSession(a *listen.Arrival) *session {
	x := &session{s: s, l: a.Stream.Loop(), client: a.Stream, place: a.Place}
	x.start, x.began, x.rec = x.l.Real(), x.l.Now(), record{client: a.Client}
	if a.Local.IsValid() {
		local := a.Local
		x.local = &local
	}
	if t := s.cfg.UserTimeout; t > 0 {
		setUserTimeout(a.Stream, t)
	}
	x.list().unled.add(x)
	x.client.Handle(x)
	return x
}

// lead leads the session to a backend of svc, which gets read before all else.
func (x *session) lead(svc *service, read []byte) {
	x.svc = svc
	svc.metrics.active.Inc()
	if len(read) > 0 {
		x.up.pending = slices.Clone(read)
	}
	x.dialing = x.list().newDialing(x)
	x.l.After(&x.timer, x.s.cfg.ConnectDeadline, x)
	x.dial()
}

// newSessionLists returns a list for each loop of g, which may be nil.
func newSessionLists(g *reactor.Group) []sessionList {
	if g == nil {
		return nil
	}
	lists := make([]sessionList, len(g.Loops()))
	for i := range lists {
		lists[i].led = make(map[destination]*chain)
	}
	return lists
}

// list returns the list that the session is in.
func (x *session) list() *sessionList { return &x.s.lists[x.l.Index()] }

// cutSessions ends every session that is left.
func (s *Server) cutSessions() {
	for i := range s.lists {
		done := make(chan struct{})
		q := &s.lists[i]
		if s.cfg.Loops.Loops()[i].Post(func() {
			defer close(done)
			for x := q.any(); x != nil; x = q.any() {
				x.end(Draining, nil)
			}
		}) {
			<-done
		}
	}
}

// Expired is the alarm of both timers.
func (x *session) Expired(t *reactor.Timer) {
	switch d := x.dialing; {
	case x.preface != nil:
		x.prefaceExpired()
	case t == &x.timer && d != nil:
		x.deadlineOver()
	case t == &x.timer:
		x.checkIdle()
	case d == nil:
		if x.up.moved > x.up.counted && x.down.moved == x.down.counted {
			x.b.ReportUnanswered(x.rec.client.Addr())
		}
		x.count()
	case d.running == 1 && x.attempt():
		x.svc.metrics.hedges.Inc()
		x.dial() // should the hedge and the first attempt both have failed
	}
}

// connected goes on with the attempt that won, by server.
func (x *session) connected(a *attempt, server reactor.Stream) {
	x.rec.connect = time.Duration(x.l.Now() - a.begun)
	x.server = server
	x.list().lead(x, a.over())
	x.stopDialing()
	x.l.Stop(&x.flush)
	x.svc.connected(&x.rec, x.b)
	if x.svc.TLS == nil { // through TLS, the attempt has sent it
		if header := x.proxyHeader(); len(header) > 0 {
			x.up.ours = len(header)
			x.up.pending = append(header, x.up.pending...)
		}
	}
	_, here := x.client.(*reactor.Socket)
	_, there := x.server.(*reactor.Socket)
	x.spliced = here && there
	x.server.Handle(x)
	x.watchIdle()
	x.Ready(x.server)
}

// Ready is the handler of both streams. Until there are both, the client's
// bytes stay in the kernel.
func (x *session) Ready(reactor.Stream) {
	switch {
	case x.ended:
	case x.dialing != nil:
		if x.readQueued(); !x.ended && x.client.Broken() {
			x.end(ClientReset, nil)
		}
	case x.preface != nil:
		x.readPreface()
	case x.pump(&x.up, x.client, x.server, ClientEOF) && x.pump(&x.down, x.server, x.client, BackendEOF):
		if x.client.Broken() || x.server.Broken() {
			x.notice()
		}
	}
}

// pump moves what can be moved from src to dst now; false means that the
// session has ended.
func (x *session) pump(f *flow, src, dst reactor.Stream, eof Reason) bool {
	for moved := 0; ; {
		if f.pending != nil && !x.deliver(f, dst) || f.pipe != nil && !x.empty(f, dst.(*reactor.Socket)) {
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
			n, err := x.fill(f, src.(*reactor.Socket))
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
		f.bulk = n >= bulk && x.spliced
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
	n, err := src.Fill(p, math.MaxInt)
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
func (x *session) deliver(f *flow, dst reactor.Stream) bool {
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
	if f.ours > 0 {
		ours := min(f.ours, n)
		f.ours, n = f.ours-ours, n-ours
	}
	f.moved += int64(n)
	quiet := x.l.Now() - x.active
	x.active = x.l.Now()
	switch {
	case x.flush.Set():
	case quiet >= int64(flushEvery):
		x.count() // at once, or health would take it for silence
	default:
		x.l.After(&x.flush, flushEvery, x)
	}
}

// count adds the bytes moved since it was last called to the counters.
func (x *session) count() {
	x.l.Stop(&x.flush)
	x.svc.count(x.b, x.up.moved-x.up.counted, x.down.moved-x.down.counted)
	x.up.counted, x.down.counted = x.up.moved, x.down.moved
}

// finish passes on that a direction has ended; false means that both have.
func (x *session) finish(f *flow, dst reactor.Stream, eof Reason) bool {
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
func (x *session) broke(s reactor.Stream) {
	if s == x.client {
		x.end(ClientReset, x.server)
	} else {
		x.end(BackendReset, x.client)
	}
}

// Panicked ends the session after a defect of ours.
func (x *session) Panicked() { x.end(InternalError, x.server) }

// end ends the session: streams, slot, timers and buffers are given back, and
// the outcome is recorded if the session was led to a service. If reset is not
// nil it is reset.
func (x *session) end(reason Reason, reset reactor.Stream) {
	if x.ended {
		return
	}
	x.ended = true
	defer x.s.ln.Leave(x.place)
	x.list().remove(x)
	x.stopDialing()
	x.l.Stop(&x.timer)
	x.l.Stop(&x.flush)
	if x.b != nil {
		x.b.Release()
		x.count()
	}
	if reset != nil {
		reset.Reset()
	}
	if reason == NoBackend || reason == DialFailed || reason == Limit {
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
	x.client.Close()
	if x.server != nil {
		x.server.Close()
	}
	if x.svc != nil {
		x.rec.in, x.rec.out, x.rec.reason = x.up.moved, x.down.moved, reason
		x.svc.metrics.active.Dec()
		x.s.record(x.svc, &x.rec, time.Duration(x.l.Real()-x.start), x.l.StalledSince(x.began))
	}
}

// post makes f run in the loop, about the session.
func (x *session) post(f func()) bool {
	return x.l.Post(func() { x.l.Guard(x.client, f) })
}
