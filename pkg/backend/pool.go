package backend

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Snapshot is the state of a pool at one moment. It never changes: readers
// may keep and iterate its slices, and must not write to them.
type Snapshot struct {
	// Version counts Pool.Set calls; 0 means that no source has reported yet.
	Version uint64
	// All holds every member, ordered by ID.
	All []*Backend
	// Eligible holds those that are to take new connections, ordered by ID.
	Eligible []*Backend
	// Weights holds the weight of each entry of Eligible, as it was when the
	// snapshot was taken: at least 1, and not in the unit of Backend.Weight if
	// a member wants a part of its own.
	Weights []int
	// Panic says that Eligible holds others than those that are eligible by
	// themselves, because these are too few; see Policy.
	Panic bool
	// LastResort says that nobody else is left than members in warning whose
	// weight of 0 nobody chose, and that they serve by their spare weight.
	LastResort bool
	// Withdrawn holds the addresses that have left by an explicit word, such as
	// the loss of a tag, while they are still registered.
	Withdrawn []string
	// HashBalance is Policy.HashBalance.
	HashBalance int
	// Tier is whose turn it is of so many tiers, by Target.Priority, from 0.
	Tier, Tiers int
	// Reserve holds the members of later tiers that are available, the earlier
	// tiers first, and ReserveWeights their weights. They are for who has tried
	// the tier whose turn it is in vain, before health knows of it.
	Reserve        []*Backend
	ReserveWeights []int
	// Zonal is how connections divide between zones, nil if zones make no
	// difference. In a panic they make none.
	Zonal *Zonal
}

// Available counts the members that are eligible by themselves.
func (s *Snapshot) Available() (n int) {
	for _, b := range s.All {
		if b.standing() == available {
			n++
		}
	}
	return n
}

// Offers reports whether b is in Eligible.
func (s *Snapshot) Offers(b *Backend) bool {
	_, ok := slices.BinarySearchFunc(s.Eligible, b, func(x, b *Backend) int { return strings.Compare(x.id, b.id) })
	return ok
}

// Pool is the members of one service. Reading is lock-free; writing is
// serialised, and every write publishes a new Snapshot.
type Pool struct {
	service  string
	epoch    time.Time // when moments begin
	snapshot atomic.Pointer[Snapshot]
	changes  atomic.Uint64 // of conditions, so far
	slots    slots
	seed     maphash.Seed  // of ledgers
	fault    atomic.Uint32 // the Moment of the latest fault, 0 if that is long ago
	crowd    crowd
	resolver atomic.Pointer[Lookup] // nil: LookupSystem
	closed   atomic.Pointer[Closed] // nil: the service is open

	onHistory atomic.Pointer[func(*Backend, Change)] // nil: nobody

	membership Membership

	// mu protects the fields below and the order of published snapshots.
	mu        sync.Mutex
	policy    Policy
	published uint64 // changes that the snapshot knows
	traffic   zoneTraffic
	version   uint64
	members   map[string]*Backend // by ID
	sorted    []*Backend          // the same, by ID; never changed in place
	left      Past[*Backend]      // members that were
	withdrawn []string
	listeners []*listener
	orders    map[string]Order       // an operator's, by address; never changed in place
	onMember  func(*Backend, Change) // nil: nobody
}

// NewPool returns an empty pool for the named service.
func NewPool(service string) *Pool {
	p := &Pool{service: service, epoch: time.Now(), seed: maphash.MakeSeed(), members: make(map[string]*Backend)}
	p.snapshot.Store(&Snapshot{})
	return p
}

// SetPolicy replaces the policy.
func (p *Pool) SetPolicy(policy Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.countTraffic()
	p.policy = policy
	p.publish()
}

// Policy returns the policy in force.
func (p *Pool) Policy() Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.policy
}

// SetLookup replaces how the addresses of members are found that are given by a
// name; LookupSystem at first.
func (p *Pool) SetLookup(l Lookup) { p.resolver.Store(&l) }

func (p *Pool) lookup() Lookup {
	if l := p.resolver.Load(); l != nil {
		return *l
	}
	return LookupSystem
}

// Service returns the name of the service.
func (p *Pool) Service() string { return p.service }

// Snapshot returns the current state. It does not block or allocate.
func (p *Pool) Snapshot() *Snapshot { return p.snapshot.Load() }

// OnChange registers f and calls it at once and then with every new snapshot,
// in order, before the write that caused it returns. f must not write to the
// pool. Once cancel has returned, f is not called any more; f must not call it.
func (p *Pool) OnChange(f func(*Snapshot)) (cancel func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &listener{f}
	p.listeners = append(p.listeners, l)
	f(p.snapshot.Load())
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.listeners = slices.DeleteFunc(p.listeners, func(x *listener) bool { return x == l })
	}
}

// listener is a function that OnChange has registered.
type listener struct{ f func(*Snapshot) }

// Set replaces the membership with targets and returns the backends that are
// new and those that are gone. A target with a known ID and the same address
// keeps its Backend; one with the address of another, or of one that left some
// minutes ago at most, begins with what is known of that. Of several targets with one ID the last counts. Weights
// are clamped to 0..MaxWeight.
func (p *Pool) Set(targets []Target) (added, removed []*Backend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.countTraffic() // before zones change
	members := make(map[string]*Backend, len(targets))
	now := time.Now()
	var changes []memberChange
	for _, t := range targets {
		t.Weight = min(max(t.Weight, 0), MaxWeight)
		b := p.members[t.ID]
		if b == nil || b.addr != t.Address {
			b = newBackend(p, t)
			b.obey(p.orders)
			if old := p.known(t.Address, now); old != nil {
				b.inherit(old)
			}
		}
		was, old := b.standing(), *b.target.Load()
		b.target.Store(&t)
		if c, changed := moved(old, t, now); changed && p.members[t.ID] == b {
			b.note(old, t, c)
			changes = append(changes, memberChange{b, c})
		}
		if was == drained && b.standing() == available {
			b.Warm(p.policy.SlowStart)
		}
		members[t.ID] = b
	}
	for id, b := range members {
		if p.members[id] != b {
			added = append(added, b)
		}
	}
	for id, b := range p.members {
		if members[id] != b {
			removed = append(removed, b)
			p.left.Keep(b.addr, b, now)
		}
	}
	sortByID(added)
	sortByID(removed)
	p.members = members
	p.sorted = make([]*Backend, 0, len(members))
	for _, b := range members {
		p.sorted = append(p.sorted, b)
	}
	sortByID(p.sorted)
	p.version++
	p.publish()
	for _, b := range added {
		changes = append(changes, memberChange{b, Change{At: now, To: Joined, Signal: Registry}})
	}
	for _, b := range removed {
		changes = append(changes, memberChange{b, Change{At: now, To: Left, Signal: Registry}})
	}
	slices.SortStableFunc(changes, func(x, y memberChange) int { return strings.Compare(x.b.id, y.b.id) })
	for _, c := range changes {
		p.tell(c.b, c.Change)
	}
	return added, removed
}

// known returns the member at addr, or the one that was there until it left, or
// nil; p.mu is held.
func (p *Pool) known(addr string, now time.Time) *Backend {
	if old, ok := p.left.Take(addr, now); ok {
		return old
	}
	for _, b := range p.sorted {
		if b.addr == addr {
			return b
		}
	}
	return nil
}

// Withdraw says which addresses are no members any more by an explicit word, as
// of the next Set.
func (p *Pool) Withdraw(addresses []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.withdrawn = addresses
}

// memberChange is a change of a member.
type memberChange struct {
	b *Backend
	Change
}

// refresh publishes a new snapshot after a change of a member's condition,
// unless somebody has done so since: when many change at once, as when a zone
// fails, a snapshot and a plan of the balancer for each would take seconds.
func (p *Pool) refresh() {
	change := p.changes.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.published < change {
		p.publish()
	}
}

// publish builds and stores a snapshot; p.mu is held.
func (p *Pool) publish() {
	p.published = p.changes.Load() // all of which the lines below see
	s := &Snapshot{Version: p.version, All: p.sorted, Withdrawn: p.withdrawn, HashBalance: p.policy.HashBalance}
	var members []*Backend
	members, s.Tier, s.Tiers = inTurn(p.sorted)
	s.Eligible, s.Panic = p.policy.offer(members)
	if spares := lastResort(p.sorted, s.Eligible); len(spares) > 0 {
		s.Eligible, s.Panic, s.LastResort = spares, false, true
	}
	s.Weights = weights(s.Eligible)
	if s.Tiers > 1 {
		s.Reserve = reserve(p.sorted, members)
		s.ReserveWeights = weights(s.Reserve)
	}
	if !s.Panic {
		s.Zonal = divide(p.policy.Zone, members, s.Eligible, s.Weights)
	}
	p.snapshot.Store(s)
	for _, l := range p.listeners {
		l.f(s)
	}
	p.offerSlots() // somebody else may be eligible now
}

func sortByID(bs []*Backend) {
	slices.SortFunc(bs, func(a, b *Backend) int { return strings.Compare(a.id, b.id) })
}
