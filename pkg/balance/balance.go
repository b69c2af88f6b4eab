package balance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"sluice/pkg/backend"
)

// Request says for whom a backend is wanted. It is passed by value, which
// costs no allocation.
type Request struct {
	// Tried are backends that must not be picked.
	Tried Tried
	// Key says who belongs together: ip_hash, consistent_hash and maglev send
	// equal keys to the same backend, the others ignore it. Keys are to be
	// spread evenly over 64 bits, as HashAddr and HashString spread them.
	Key uint64
	// HasKey says that Key is set. Without a key, strategies that want one
	// pick as p2c does.
	HasKey bool
	// Failed says that each of Tried was tried and has failed, rather than that
	// it is slow to answer. Then a member of a later tier may be picked, if there
	// is nobody else in the tier whose turn it is.
	Failed bool
}

// Picker chooses among the backends of one snapshot. It is immutable but for
// counters and safe for concurrent use.
type Picker interface {
	// Pick returns an eligible backend that is not in req.Tried, or nil if
	// there is none. It does not take the slot; Balancer.Pick does.
	Pick(req Request) *backend.Backend
}

// Strategy makes a Picker for a snapshot. One Strategy serves one pool; what
// must outlive a snapshot, such as the position of a round robin, is its own.
type Strategy interface {
	Plan(s *backend.Snapshot) Picker
}

// Names lists the strategies by the names that New and SetStrategy accept.
func Names() []string {
	return []string{
		"round_robin", "weighted_round_robin", "least_conn", "p2c", "p2c_ewma", "adaptive",
		"ip_hash", "consistent_hash", "maglev", "random",
	}
}

// Valid reports whether name is a strategy.
func Valid(name string) bool { return slices.Contains(Names(), name) }

func newStrategy(name string) (Strategy, error) {
	switch name {
	case "round_robin", "weighted_round_robin":
		return &roundRobin{}, nil
	case "least_conn":
		return leastConn{}, nil
	case "p2c":
		return p2c{}, nil
	case "p2c_ewma":
		return ewma{}, nil
	case "adaptive":
		return ewma{errorCost: adaptiveErrorCost}, nil
	case "ip_hash", "consistent_hash":
		return consistentHash{}, nil
	case "maglev":
		return maglev{}, nil
	case "random":
		return random{}, nil
	}
	return nil, fmt.Errorf("unknown strategy %q; known are %s", name, strings.Join(Names(), ", "))
}

// Balancer picks backends of one pool by a strategy that can be switched at
// run time. All methods are safe for concurrent use.
type Balancer struct {
	pool   *backend.Pool
	picker atomic.Pointer[Picker]
	name   atomic.Pointer[string] // of the strategy

	// mu protects the fields below and the order of published pickers.
	mu       sync.Mutex
	strategy Strategy
	snapshot *backend.Snapshot
}

// New returns a Balancer over pool that follows all of the pool's changes.
func New(pool *backend.Pool, strategy string) (*Balancer, error) {
	s, err := newStrategy(strategy)
	if err != nil {
		return nil, err
	}
	b := &Balancer{pool: pool, strategy: s}
	b.name.Store(&strategy)
	pool.OnChange(b.follow)
	return b, nil
}

// follow plans for s, unless it offers what the last one did: as when a
// backend that was used on trust passes its first check.
func (b *Balancer) follow(s *backend.Snapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.snapshot
	b.snapshot = s
	if old == nil || old.HashBalance != s.HashBalance || !slices.Equal(old.Eligible, s.Eligible) || !slices.Equal(old.Weights, s.Weights) || !old.Zonal.Equal(s.Zonal) {
		b.plan()
	}
}

// plan publishes a picker for the current snapshot; b.mu is held.
func (b *Balancer) plan() {
	var p Picker
	if b.snapshot.Zonal != nil && honoursZones(b.strategy) {
		p = planZonal(b.strategy, b.snapshot)
	} else {
		p = b.strategy.Plan(b.snapshot)
	}
	b.picker.Store(&p)
}

// Pool returns the pool that b picks from.
func (b *Balancer) Pool() *backend.Pool { return b.pool }

// Strategy returns the name of the current strategy. It does not block.
func (b *Balancer) Strategy() string { return *b.name.Load() }

// SetStrategy switches to the named strategy. Slots already taken stay taken.
func (b *Balancer) SetStrategy(name string) error {
	s, err := newStrategy(name)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.name.Store(&name)
	b.strategy = s
	b.plan()
	return nil
}

// Pick chooses an eligible backend that is not in req.Tried and takes its
// slot; the caller must Release it exactly once. If the one that the strategy
// chooses has as many slots taken as it may, the least busy of those with room
// takes its place. It returns nil if there is none. It does not block or
// allocate.
func (b *Balancer) Pick(req Request) *backend.Backend {
	chosen := (*b.picker.Load()).Pick(req)
	if req.Tried.Len() > 0 {
		// What was tried in vain shall not be so again.
		if chosen == nil || !chosen.KnownGood() {
			if good := b.untriedOf(req.Tried, (*backend.Backend).KnownGood); good != nil {
				chosen = good
			} else if chosen == nil || chosen.KnownBad() {
				if other := b.untriedOf(req.Tried, unproven); other != nil {
					chosen = other
				}
			}
		}
		if x := reserve(b.pool.Snapshot(), req, chosen); x != nil && x.TryAcquire() {
			return x
		}
	}
	if chosen == nil || chosen.TryAcquire() {
		return chosen
	}
	for { // ends: each turn means that somebody else took a slot
		s := b.pool.Snapshot()
		chosen = nil
		weight := 0
		for i, x := range s.Eligible {
			if x.HasRoom() && !req.Tried.Has(x) && (chosen == nil || LessLoaded(x, s.Weights[i], chosen, weight)) {
				chosen, weight = x, s.Weights[i]
			}
		}
		if chosen == nil || chosen.TryAcquire() {
			return chosen
		}
	}
}

// unproven reports whether nothing speaks against x.
func unproven(x *backend.Backend) bool { return !x.KnownBad() }

// untriedOf returns the least busy of those backends that has room and is not in
// tried, or nil.
func (b *Balancer) untriedOf(tried Tried, those func(*backend.Backend) bool) (best *backend.Backend) {
	s := b.pool.Snapshot()
	weight := 0
	if len(s.Eligible) == 0 {
		return nil
	}
	start := rand.IntN(len(s.Eligible))
	for n := range s.Eligible {
		i := (start + n) % len(s.Eligible)
		x, w := s.Eligible[i], s.Weights[i]
		if (best == nil || LessLoaded(x, w, best, weight)) && x.HasRoom() && those(x) && !tried.Has(x) {
			best, weight = x, w
		}
	}
	return best
}

// HasGood reports whether a retry would go to a backend that is known to be
// good. Such a retry takes nothing from those that are in trouble.
func (b *Balancer) HasGood(req Request) bool {
	return b.untriedOf(req.Tried, (*backend.Backend).KnownGood) != nil || req.Failed && ofReserve(b.pool.Snapshot(), req.Tried, (*backend.Backend).KnownGood) != nil
}

// HasHope reports whether there is a backend that could take what those in tried
// refused, as far as is known: one of which nobody has said that it refuses too.
func (b *Balancer) HasHope(tried Tried) bool {
	s := b.pool.Snapshot()
	hopeful := func(x *backend.Backend) bool { return x.Hopeful() && !tried.Has(x) }
	return slices.ContainsFunc(s.Eligible, hopeful) || slices.ContainsFunc(s.Reserve, hopeful)
}

// HasUntried reports whether there is an eligible backend that is not in tried,
// be it with a slot free or not: whom Pick finds none for may wait for a slot
// then, see backend.Pool.Await.
func (b *Balancer) HasUntried(tried Tried) bool {
	s := b.pool.Snapshot()
	for _, x := range s.Eligible {
		if !tried.Has(x) {
			return true
		}
	}
	return false
}

// HasRoom reports whether Pick would find a backend now.
func (b *Balancer) HasRoom(tried Tried) bool {
	s := b.pool.Snapshot()
	for _, x := range s.Eligible {
		if x.HasRoom() && !tried.Has(x) {
			return true
		}
	}
	return false
}

// untried returns the first backend from start on, wrapping round, that is
// not in tried, or nil.
func untried(backends []*backend.Backend, start int, tried Tried) *backend.Backend {
	for i := range backends {
		b := backends[(start+i)%len(backends)]
		if !tried.Has(b) {
			return b
		}
	}
	return nil
}
