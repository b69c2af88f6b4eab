package l7

import (
	"time"

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

// idlePool holds the idle connections of a loop to one backend, last in,
// first out.
type idlePool struct {
	sh          *shard
	svc         *service
	first, last *upstream // the latest, and those that rest
	n           int
	life        lifetime
	timer       reactor.Timer // of the sweep, set while there are any
	due         int64         // when it fires, in the loop's time
}

// take returns an idle connection to b, or nil. If sure, its liveness is
// looked at once more; otherwise what came since the loop last waited is not
// known.
func (sh *shard) take(b *backend.Backend, sure bool) *upstream {
	p := sh.pools[b]
	if p == nil {
		return nil
	}
	now := sh.l.Now()
	limit := int64(p.life.limit(now))
	for up := p.first; up != nil && up.rests <= now; up = p.first {
		p.remove(up)
		fresh := now < up.until && now-up.since < limit
		if fresh && ((!sure && !up.stream.Readable()) || up.quiet()) {
			up.reused = true
			return up
		}
		up.close(false)
	}
	return nil
}

// put gives a connection back that has served a request whole, for as long as
// its service keeps it, or the backend does according to hint. doubtful says
// that its response had no body where another one would have had: should the
// backend send one all the same, a little later, it must not meet the next
// request; so such a connection rests, and is the last to be taken.
func (sh *shard) put(up *upstream, hint time.Duration, doubtful bool) {
	up.x = nil
	p := sh.pools[up.b]
	if p == nil || p.n >= maxIdle || up.stream.Readable() && !up.quiet() {
		up.close(false)
		return
	}
	now, most := sh.l.Now(), up.b.SlotLimit()
	keep := min(keepFor(p.svc.keep, hint), p.life.limit(now))
	if keep <= 0 || !p.svc.reuse.mayKeep(most) {
		up.close(false)
		return
	}
	if most > 0 {
		if up.b.Conns.Idle.Add(1) > idleRoom(most) {
			up.b.Conns.Idle.Add(-1)
			up.close(false)
			return
		}
		up.counted = true
	}
	up.since, up.until = now, now+int64(keep)
	p.add(up, doubtful)
	if !p.timer.Set() || up.until < p.due {
		p.wake(up.until)
	}
}

// add puts up first, or behind all others.
func (p *idlePool) add(up *upstream, last bool) {
	up.pool, up.rests = p, 0
	if last {
		up.rests = up.since + int64(restTime)
	}
	if last && p.last != nil {
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
	if up.counted {
		up.counted = false
		up.b.Conns.Idle.Add(-1)
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
			up.close(false)
		case next == 0 || up.until < next:
			next = up.until
		}
		up = after
	}
	if next != 0 {
		p.wake(next)
	}
}

// ended is told that the backend has closed an idle connection.
func (p *idlePool) ended(up *upstream) {
	now := p.sh.l.Now()
	p.life.ended(time.Duration(now-up.since), now)
}

func (p *idlePool) close() {
	for p.first != nil {
		up := p.first
		p.remove(up)
		up.close(false)
	}
	p.sh.l.Stop(&p.timer)
}

// trim closes idle connections while the loop has more of them to backends than
// it has clients, coming ones included, and IdleRoom beyond that.
func (sh *shard) trim(coming int) {
	room := sh.s.cfg.IdleRoom
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
			up.close(false)
		}
	}
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
