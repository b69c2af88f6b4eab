package loop

import (
	"time"

	"sluice/l7/gate"
	"sluice/pkg/backend"
	"sluice/pkg/reactor"
)

const (
	// maxIdle is how many idle connections a loop keeps for one backend. There
	// are never more than requests were under way at once while the oldest of
	// them was idle.
	maxIdle = 512
	// restTime is for how long a connection is not used again whose backend
	// might have more to say than it should.
	restTime = 50 * time.Millisecond
	// sweepGap is the least time between two sweeps of a pool.
	sweepGap = 50 * time.Millisecond
)

// take returns an idle connection to b, or nil.
func (sh *shard) take(b *backend.Backend, how care) *upstream {
	p := sh.pools[b]
	if p == nil {
		return nil
	}
	now := sh.l.Now()
	limit := int64(p.life.Limit(now))
	for up := p.first; up != nil && up.rests <= now; up = p.first {
		p.remove(up)
		fresh := now < up.until && now-up.since < limit
		if fresh && ((how == trusting && !up.stream.Readable()) || up.quiet()) {
			up.reused = true
			return up
		}
		up.close()
	}
	return nil
}

// put gives a connection back that has served a request whole, for as long as
// its service keeps it, or the backend does according to hint.
func (sh *shard) put(up *upstream, hint time.Duration) {
	if p := sh.keep(up, hint); p != nil {
		p.pushFirst(up)
		p.sweepBy(up.until)
	}
}

// putToRest is put for a connection whose response had no body where another one
// would have had: should the backend send one all the same, a little later, it
// must not meet the next request; so such a connection rests, and is the last to
// be taken.
func (sh *shard) putToRest(up *upstream, hint time.Duration) {
	if p := sh.keep(up, hint); p != nil {
		up.rests = up.since + int64(restTime)
		p.pushLast(up)
		p.sweepBy(up.until)
	}
}

// keep returns the pool that keeps up, which serves nobody any more, or closes it
// and returns nil.
func (sh *shard) keep(up *upstream, hint time.Duration) *idlePool {
	up.x = nil
	p := sh.pools[up.b]
	if p == nil || p.n >= maxIdle || up.stream.Readable() && !up.quiet() {
		up.close()
		return nil
	}
	now, most := sh.l.Now(), up.b.SlotLimit()
	d := min(gate.KeepFor(p.svc.KeepIdle(), hint), p.life.Limit(now))
	if d <= 0 || !p.svc.Reuse().MayKeep(most) {
		up.close()
		return nil
	}
	if most > 0 {
		if up.b.Conns.Idle.Add(1) > gate.IdleRoom(most) {
			up.b.Conns.Idle.Add(-1)
			up.close()
			return nil
		}
		up.counted = true
	}
	up.since, up.until, up.rests = now, now+int64(d), 0
	return p
}

// pushFirst puts up before all others.
func (p *idlePool) pushFirst(up *upstream) {
	up.pool = p
	if up.next = p.first; up.next != nil {
		up.next.prev = up
	} else {
		p.last = up
	}
	p.first = up
	p.n++
}

// pushLast puts up behind all others.
func (p *idlePool) pushLast(up *upstream) {
	if p.last == nil {
		p.pushFirst(up)
		return
	}
	up.pool = p
	up.prev, p.last.next = p.last, up
	p.last = up
	p.n++
}

// sweepBy sees to it that the pool is swept at when.
func (p *idlePool) sweepBy(when int64) {
	if !p.timer.Set() || when < p.due {
		p.wake(when)
	}
}

// wake makes the pool be swept at when.
func (p *idlePool) wake(when int64) {
	d := max(time.Duration(when-p.sh.l.Now()), sweepGap)
	p.due = p.sh.l.Now() + int64(d)
	p.sh.l.After(&p.timer, d, p)
}

// Expired closes what has been idle for too long. The timer goes on only
// while there is something left, so that an unused pool costs nothing.
func (p *idlePool) Expired(*reactor.Timer) {
	now := p.sh.l.Now()
	var next int64
	for up := p.first; up != nil; {
		after := up.next
		switch {
		case up.until <= now:
			p.remove(up)
			up.close()
		case next == 0 || up.until < next:
			next = up.until
		}
		up = after
	}
	if next != 0 {
		p.wake(next)
	}
}

func (p *idlePool) close() {
	for p.first != nil {
		up := p.first
		p.remove(up)
		up.close()
	}
	p.sh.l.Stop(&p.timer)
}

// idleReady drops an idle connection that ended or spoke.
func (up *upstream) idleReady() {
	if !up.stream.Readable() || up.quiet() {
		return
	}
	if up.owner != nil {
		up.owner.unbind(up)
	} else {
		up.pool.ended(up)
		up.pool.remove(up)
	}
	up.close()
}

// ended is told that the backend has closed an idle connection.
func (p *idlePool) ended(up *upstream) {
	now := p.sh.l.Now()
	p.life.Ended(time.Duration(now-up.since), now)
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
	if up.counted {
		up.counted = false
		up.b.Conns.Idle.Add(-1)
	}
}

// drop closes an idle connection to b and reports whether there was one.
func (sh *shard) drop(b *backend.Backend) bool {
	p := sh.pools[b]
	if p == nil || p.last == nil {
		return false
	}
	up := p.last
	p.remove(up)
	up.close()
	return true
}

// makeRoom closes the idle connections to a backend that may be crowded.
func (s *Server) makeRoom(b *backend.Backend) {
	for _, sh := range s.shards {
		sh.l.Post(func() {
			for sh.drop(b) {
			}
		})
	}
}

// follow makes the pools of svc those of the backends, and closes the idle
// connections to others.
func (sh *shard) follow(svc *gate.Service, backends []*backend.Backend) {
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
			sh.partFrom(b)
		}
	}
}

// trim closes idle connections while the loop has more of them to backends than
// it has clients, coming ones included, and IdleRoom beyond that.
func (sh *shard) trim(coming int) {
	room := sh.s.room
	if room == 0 || sh.upstreams+coming <= sh.n+room {
		return
	}
	for _, p := range sh.pools {
		for p.last != nil {
			if sh.upstreams+coming <= sh.n+room {
				return
			}
			up := p.last
			p.remove(up)
			up.close()
		}
	}
}
