package balance

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"sluice/pkg/backend"
)

// MaxTries is how many different backends one connection or request may try.
const MaxTries = 3

// Tried remembers the backends that a connection or request has tried. It is
// a small value, so that passing it costs no allocation. Its zero value is
// empty.
type Tried struct {
	n        int
	backends [MaxTries]*backend.Backend
}

// Add remembers b. At most MaxTries backends are remembered.
func (t *Tried) Add(b *backend.Backend) {
	if t.n < len(t.backends) {
		t.backends[t.n] = b
		t.n++
	}
}

// Len returns how many backends were added.
func (t *Tried) Len() int { return t.n }

// Has reports whether b was added.
func (t *Tried) Has(b *backend.Backend) bool {
	for _, x := range t.backends[:t.n] {
		if x == b {
			return true
		}
	}
	return false
}

// Picker chooses among the backends of one snapshot. It is immutable but for
// counters and safe for concurrent use.
type Picker interface {
	// Pick returns an eligible backend that is not in tried, or nil if there
	// is none. It does not take the slot; Balancer.Pick does.
	Pick(tried Tried) *backend.Backend
}

// Strategy makes a Picker for a snapshot. One Strategy serves one pool; what
// must outlive a snapshot, such as the position of a round robin, is its own.
type Strategy interface {
	Plan(s *backend.Snapshot) Picker
}

// Names lists the strategies by the names that New and SetStrategy accept.
func Names() []string {
	return []string{"round_robin", "weighted_round_robin", "least_conn", "p2c", "random"}
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

	// mu protects the fields below and the order of published pickers.
	mu       sync.Mutex
	name     string
	strategy Strategy
	snapshot *backend.Snapshot
}

// New returns a Balancer over pool that follows all of the pool's changes.
func New(pool *backend.Pool, strategy string) (*Balancer, error) {
	s, err := newStrategy(strategy)
	if err != nil {
		return nil, err
	}
	b := &Balancer{pool: pool, name: strategy, strategy: s}
	pool.OnChange(func(s *backend.Snapshot) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.snapshot = s
		b.plan()
	})
	return b, nil
}

// plan publishes a picker for the current snapshot; b.mu is held.
func (b *Balancer) plan() {
	p := b.strategy.Plan(b.snapshot)
	b.picker.Store(&p)
}

// Pool returns the pool that b picks from.
func (b *Balancer) Pool() *backend.Pool { return b.pool }

// Strategy returns the name of the current strategy.
func (b *Balancer) Strategy() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.name
}

// SetStrategy switches to the named strategy. Slots already taken stay taken.
func (b *Balancer) SetStrategy(name string) error {
	s, err := newStrategy(name)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.name, b.strategy = name, s
	b.plan()
	return nil
}

// Pick chooses an eligible backend that is not in tried and takes its slot;
// the caller must Release it exactly once. It returns nil if there is none.
// It does not block or allocate.
func (b *Balancer) Pick(tried Tried) *backend.Backend {
	chosen := (*b.picker.Load()).Pick(tried)
	if chosen != nil {
		chosen.Acquire()
	}
	return chosen
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
