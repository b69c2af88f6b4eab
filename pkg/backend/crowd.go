package backend

import (
	"slices"
	"sync"
)

// crowd is who hears of backends that may be crowded.
type crowd struct {
	mu      sync.Mutex // protects the field below
	hearers []*crowdHearer
}

type crowdHearer struct{ f func(*Backend) }

// OnCrowded registers f, which is called from any goroutine with a backend for
// which Crowded was, and must not block, until cancel is called.
func (p *Pool) OnCrowded(f func(*Backend)) (cancel func()) {
	h := &crowdHearer{f}
	p.crowd.mu.Lock()
	defer p.crowd.mu.Unlock()
	p.crowd.hearers = append(p.crowd.hearers, h)
	return func() {
		p.crowd.mu.Lock()
		defer p.crowd.mu.Unlock()
		p.crowd.hearers = slices.DeleteFunc(p.crowd.hearers, func(x *crowdHearer) bool { return x == h })
	}
}

// Crowded says that somebody has waited for the backend for longer than it
// should take. It may be one that serves few connections at a time, to which
// those that are idle leave no room: whoever keeps such closes them. It never
// blocks, and is safe for concurrent use.
func (b *Backend) Crowded() {
	b.pool.crowd.mu.Lock()
	defer b.pool.crowd.mu.Unlock()
	for _, h := range b.pool.crowd.hearers {
		h.f(b)
	}
}
