package plain

import (
	"sync"
	"time"

	"sluice/l7/gate"
	"sluice/pkg/backend"
)

const (
	// maxIdle is how many idle connections are kept for one backend.
	maxIdle = 1024
	// restTime is for how long a connection is not used again whose backend
	// might have more to say than it should.
	restTime = 50 * time.Millisecond
	// sweepEvery is how often idle connections are looked at: those that are too
	// old, or that their backend has closed, are closed.
	sweepEvery = 500 * time.Millisecond
)

// keeping is how a service keeps idle connections.
type keeping struct {
	reuse gate.Reuse
	keep  time.Duration // negative: not at all
}

// pool keeps idle connections to backends, last in, first out. Its methods are
// safe for concurrent use.
type pool struct {
	start time.Time // of its clock
	room  int       // how many may be idle altogether; 0 means any number

	// mu protects the fields below.
	mu      sync.Mutex
	shelves map[*backend.Backend]*shelf
	idle    int
	timer   *time.Timer // of the sweep; nil while there is nothing to sweep
	closed  bool
}

// shelf holds those to one backend.
type shelf struct {
	keeping
	list []*upstream // the latest is last
	life gate.Lifetime
}

func newPool(room int) *pool {
	return &pool{start: time.Now(), room: room, shelves: make(map[*backend.Backend]*shelf)}
}

// now returns the time as lifetimes count it.
func (p *pool) now(t time.Time) int64 { return int64(t.Sub(p.start)) }

// take returns an idle connection to b, or nil. Each that it looks at is alive,
// or closed.
func (p *pool) take(b *backend.Backend) *upstream {
	now := time.Now()
	for {
		u := p.pop(b, now)
		if u == nil {
			return nil
		}
		if now.Before(u.until) && u.isQuiet() {
			return u
		}
		p.ended(u, now)
		u.close()
	}
}

// pop takes the latest one that does not rest.
func (p *pool) pop(b *backend.Backend, now time.Time) *upstream {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shelves[b]
	if s == nil {
		return nil
	}
	limit := s.life.Limit(p.now(now))
	for i := len(s.list) - 1; i >= 0; i-- {
		u := s.list[i]
		if now.Before(u.rests) {
			continue
		}
		p.remove(s, i)
		if now.Sub(u.since) >= limit {
			u.until = now // too old, for this backend
		}
		return u
	}
	return nil
}

// remove takes the i-th off its shelf; p.mu is held.
func (p *pool) remove(s *shelf, i int) {
	u := s.list[i]
	copy(s.list[i:], s.list[i+1:])
	s.list[len(s.list)-1] = nil
	s.list = s.list[:len(s.list)-1]
	p.idle--
	if u.counted {
		u.counted = false
		u.b.Conns.Idle.Add(-1)
	}
}

// ended notes that the backend may have closed an idle connection.
func (p *pool) ended(u *upstream, now time.Time) {
	if !now.Before(u.until) {
		return // it was closed for its age
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.shelves[u.b]; s != nil {
		s.life.Ended(now.Sub(u.since), p.now(now))
	}
}

// put gives a connection back that has served a request whole, for as long as
// its service keeps it, or the backend does according to hint. rests says that
// its response had no body where another one would have had: should the backend
// send one all the same, a little later, it must not meet the next request.
func (p *pool) put(u *upstream, hint time.Duration, rests rest) {
	if u.r < u.w || !p.shelve(u, hint, rests) { // who takes it looks whether it lives
		u.close()
	}
}

// rest says whether a connection may be used at once.
type rest bool

const (
	ready rest = false
	tired rest = true
)

func (p *pool) shelve(u *upstream, hint time.Duration, rests rest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shelves[u.b]
	if s == nil || p.closed || len(s.list) >= maxIdle || p.room > 0 && p.idle >= p.room {
		return false
	}
	now, most := time.Now(), u.b.SlotLimit()
	keep := min(gate.KeepFor(s.keep, hint), s.life.Limit(p.now(now)))
	if keep <= 0 || !s.reuse.MayKeep(most) {
		return false
	}
	if most > 0 {
		if u.b.Conns.Idle.Add(1) > gate.IdleRoom(most) {
			u.b.Conns.Idle.Add(-1)
			return false
		}
		u.counted = true
	}
	u.since, u.until, u.rests = now, now.Add(keep), time.Time{}
	if rests {
		u.rests = now.Add(restTime)
	}
	s.list = append(s.list, u)
	p.idle++
	if p.timer == nil {
		p.timer = time.AfterFunc(sweepEvery, p.sweep)
	}
	return true
}

// sweep closes what has been idle for too long, or has ended.
func (p *pool) sweep() {
	now := time.Now()
	var old []*upstream
	p.mu.Lock()
	for _, s := range p.shelves {
		for i := len(s.list) - 1; i >= 0; i-- {
			u := s.list[i]
			alive := u.isQuiet()
			if !alive {
				s.life.Ended(now.Sub(u.since), p.now(now))
			}
			if !alive || !now.Before(u.until) {
				p.remove(s, i)
				old = append(old, u)
			}
		}
	}
	if p.timer = nil; p.idle > 0 && !p.closed {
		p.timer = time.AfterFunc(sweepEvery, p.sweep)
	}
	p.mu.Unlock()
	for _, u := range old {
		u.close()
	}
}

// drop closes an idle connection to b, the oldest one, and reports whether there
// was one.
func (p *pool) drop(b *backend.Backend) bool {
	p.mu.Lock()
	s := p.shelves[b]
	if s == nil || len(s.list) == 0 {
		p.mu.Unlock()
		return false
	}
	u := s.list[0]
	p.remove(s, 0)
	p.mu.Unlock()
	u.close()
	return true
}

// follow keeps connections to members, of a service that keeps them so, and
// closes those to others of was, its members before.
func (p *pool) follow(k keeping, was, members []*backend.Backend) {
	is := make(map[*backend.Backend]bool, len(members))
	var old []*upstream
	p.mu.Lock()
	for _, b := range members {
		is[b] = true
		if p.shelves[b] == nil {
			p.shelves[b] = &shelf{keeping: k}
		}
	}
	for _, b := range was {
		s := p.shelves[b]
		if is[b] || s == nil {
			continue
		}
		for len(s.list) > 0 {
			old = append(old, s.list[0])
			p.remove(s, 0)
		}
		delete(p.shelves, b)
	}
	p.mu.Unlock()
	for _, u := range old {
		u.close()
	}
}

// close closes all of them, and those that come.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var old []*upstream
	for _, s := range p.shelves {
		for len(s.list) > 0 {
			old = append(old, s.list[0])
			p.remove(s, 0)
		}
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	for _, u := range old {
		u.close()
	}
}
