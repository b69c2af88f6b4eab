package l7

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/reactor"
)

const (
	// maxIdle is how many idle connections a loop keeps for one backend. There
	// are never more than requests were under way at once during the last
	// idleTime.
	maxIdle = 512
	// idleTime is how long an idle connection is kept. It is below the 5 s
	// after which Node, Apache and others close theirs; those that close even
	// earlier are noticed when they do.
	idleTime = 4 * time.Second
	// restTime is for how long a connection is not used again whose backend
	// might have more to say than it should.
	restTime = 50 * time.Millisecond
)

// upstream is a connection to a backend, and the handler of its socket. It
// belongs to one exchange or is idle.
type upstream struct {
	sh      *shard
	b       *backend.Backend
	stream  *reactor.Socket // nil while a name is resolved, or a race
	race    *reactor.Race   // to the addresses of a name
	x       *exchange       // that uses it; nil while it is idle
	reused  bool            // it has served a request before
	partial []byte          // the beginning of a response head

	connecting bool
	begun      int64         // when it began to connect, in the loop's time
	timer      reactor.Timer // of the connect

	// While idle:
	pool       *idlePool
	prev, next *upstream
	since      int64 // in the loop's time
	rests      int64 // until when it is not to be taken
}

// Ready is told that the backend's socket may be read or written.
func (up *upstream) Ready(reactor.Stream) {
	x := up.x
	if x == nil {
		up.idleReady()
		return
	}
	defer x.c.guard()
	if up.connecting {
		up.connectReady()
		return
	}
	x.backendReady()
}

// quiet reports whether an idle connection is alive: its backend has not
// closed it and sent nothing. A byte that nobody asked for would be taken for
// the beginning of the next response.
func (up *upstream) quiet() bool {
	_, err := up.stream.Read(up.sh.probe[:])
	return errors.Is(err, reactor.ErrAgain)
}

// idleReady drops an idle connection that ended or spoke.
func (up *upstream) idleReady() {
	if up.stream.Readable() && !up.quiet() {
		up.pool.remove(up)
		up.stream.Close()
	}
}

// close closes the connection; if reset, the backend sees it break.
func (up *upstream) close(reset bool) {
	up.x = nil
	up.sh.l.Stop(&up.timer)
	if up.race != nil {
		up.race.Close()
		up.race = nil
	}
	if up.stream == nil {
		return
	}
	if reset {
		up.stream.Reset()
	}
	up.stream.Close()
}

// dial begins to connect to b for x. An error that is known at once is
// returned, and the connection is then gone.
func (sh *shard) dial(x *exchange, b *backend.Backend) (*upstream, error) {
	up := &upstream{sh: sh, b: b, x: x, connecting: true, begun: sh.l.Now()}
	sh.l.After(&up.timer, x.waits.connect, up)
	if !b.AddrPort().IsValid() {
		up.connectByName()
		return up, nil
	}
	if err := up.connect(b.AddrPort()); err != nil {
		up.close(false)
		return nil, err
	}
	return up, nil
}

func (up *upstream) connect(addr netip.AddrPort) error {
	stream, err := up.sh.l.Connect(addr)
	if err != nil {
		return err
	}
	up.stream = stream
	stream.Handle(up)
	return nil
}

// connectByName tries the addresses of a backend's name, if they are known.
func (up *upstream) connectByName() {
	if addrs, known := up.b.Known(); known {
		up.race = up.sh.l.Race(addrs, backend.AttemptDelay, up)
		return
	}
	up.resolve()
}

// Raced is told of the outcome of the race.
func (up *upstream) Raced(s *reactor.Socket, addr netip.AddrPort, failed []reactor.Failed) {
	up.race = nil
	defer up.x.c.guard()
	if s == nil {
		up.b.Unreached()
		up.x.connectFailed(up, failures(failed))
		return
	}
	up.b.Reached(addr)
	up.stream = s
	s.Handle(up)
	up.established()
}

// failures returns attempts that came to nothing as one error.
func failures(all []reactor.Failed) error {
	errs := make([]error, len(all))
	for i, f := range all {
		errs[i] = backend.At(f.Addr, f.Err)
	}
	return backend.Several(errs)
}

// tookTooLong returns what a connect fails of that is given up.
func (up *upstream) tookTooLong() error {
	if up.race != nil {
		return failures(up.race.GaveUp(reactor.ErrConnectTimeout))
	}
	return reactor.ErrConnectTimeout
}

// resolve looks a backend's name up, outside the loop, and then connects.
func (up *upstream) resolve() {
	sh, b := up.sh, up.b
	ctx, cancel := context.WithTimeout(sh.s.closing, up.x.waits.connect)
	go func() {
		defer cancel()
		addrs, err := b.Addresses(ctx)
		sh.l.Post(func() {
			if up.x == nil {
				return // it is over
			}
			defer up.x.c.guard()
			if err != nil {
				up.x.connectFailed(up, err)
				return
			}
			up.race = sh.l.Race(addrs, backend.AttemptDelay, up)
		})
	}()
}

func (up *upstream) connectReady() {
	switch err := up.stream.Connected(); {
	case errors.Is(err, reactor.ErrAgain):
	case err != nil:
		up.x.connectFailed(up, err)
	default:
		up.established()
	}
}

// established goes on with a connect that has succeeded.
func (up *upstream) established() {
	up.connecting = false
	up.sh.l.Stop(&up.timer)
	up.x.connected(up)
}

// Expired is told that the connect took too long.
func (up *upstream) Expired(*reactor.Timer) {
	if x := up.x; x != nil {
		defer x.c.guard()
		x.connectFailed(up, up.tookTooLong())
	}
}

// idlePool holds the idle connections of a loop to one backend, last in,
// first out.
type idlePool struct {
	sh          *shard
	svc         *service
	first, last *upstream // the latest, and the longest idle
	n           int
	timer       reactor.Timer // of the sweep, set while there are any
}

// take returns an idle connection to b, or nil. If sure, its liveness is
// looked at once more; otherwise what came since the loop last waited is not
// known.
func (sh *shard) take(b *backend.Backend, sure bool) *upstream {
	p := sh.pools[b]
	if p == nil {
		return nil
	}
	for up := p.first; up != nil && up.rests <= sh.l.Now(); up = p.first {
		p.remove(up)
		if (!sure && !up.stream.Readable()) || up.quiet() {
			up.reused = true
			return up
		}
		up.stream.Close()
	}
	return nil
}

// put gives a connection back that has served a request whole. doubtful says
// that its response had no body where another one would have had: should the
// backend send one all the same, a little later, it must not meet the next
// request; so such a connection rests, and is the last to be taken.
func (sh *shard) put(up *upstream, doubtful bool) {
	up.x = nil
	p := sh.pools[up.b]
	if p == nil || p.n >= maxIdle || up.stream.Readable() && !up.quiet() {
		up.stream.Close()
		return
	}
	p.add(up, doubtful)
	if !p.timer.Set() {
		sh.l.After(&p.timer, idleTime, p)
	}
}

// add puts up first, or behind all others.
func (p *idlePool) add(up *upstream, last bool) {
	up.pool, up.since, up.rests = p, p.sh.l.Now(), 0
	if last {
		up.rests = up.since + int64(restTime)
	}
	if last && p.last != nil {
		up.since = p.last.since // the order is that of the sweep
		up.prev, p.last.next = p.last, up
		p.last = up
	} else {
		if up.next = p.first; up.next != nil {
			up.next.prev = up
		} else {
			p.last = up
		}
		p.first = up
	}
	p.n++
}

func (p *idlePool) remove(up *upstream) {
	if up.prev == nil {
		p.first = up.next
	} else {
		up.prev.next = up.next
	}
	if up.next == nil {
		p.last = up.prev
	} else {
		up.next.prev = up.prev
	}
	up.prev, up.next, up.pool = nil, nil, nil
	p.n--
}

// Expired closes what has been idle for too long. The timer goes on only
// while there is something left, so that an unused pool costs nothing.
func (p *idlePool) Expired(*reactor.Timer) {
	now := p.sh.l.Now()
	for p.last != nil && now-p.last.since >= int64(idleTime) {
		up := p.last
		p.remove(up)
		up.stream.Close()
	}
	if p.last != nil {
		p.sh.l.After(&p.timer, idleTime-time.Duration(now-p.last.since), p)
	}
}

func (p *idlePool) close() {
	for p.first != nil {
		up := p.first
		p.remove(up)
		up.stream.Close()
	}
	p.sh.l.Stop(&p.timer)
}

// follow makes the pools of svc those of the backends, and closes the idle
// connections to others.
func (sh *shard) follow(svc *service, backends []*backend.Backend) {
	member := make(map[*backend.Backend]bool, len(backends))
	for _, b := range backends {
		member[b] = true
		if sh.pools[b] == nil {
			sh.pools[b] = &idlePool{sh: sh, svc: svc}
		}
	}
	for b, p := range sh.pools {
		if p.svc == svc && !member[b] {
			p.close()
			delete(sh.pools, b)
		}
	}
}
