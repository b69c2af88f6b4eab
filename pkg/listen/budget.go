package listen

import (
	"slices"
	"sync"
)

// guaranteed is the part of a budget, as a divisor, that is kept for listeners
// that have few connections: a flood at one of them leaves the others some.
const guaranteed = 4

// Budget is how much of something the connections of all listeners may take
// together: descriptors, or bytes of memory. Each listener takes what it needs,
// whatever the others do, as long as there is some; a quarter is kept for those
// with few, in equal parts. All methods are safe for concurrent use.
type Budget struct {
	// mu protects the fields below.
	mu     sync.Mutex
	total  int
	used   int
	shares []*share
	floor  int // what each share may always take
	owed   int // of the floors, what is not taken
}

// share is what one listener takes of a budget.
type share struct {
	b    *Budget
	cost int // of a connection
	used int // below b.mu
}

// NewBudget returns a budget of so much; math.MaxInt is without limit.
func NewBudget(total int) *Budget { return &Budget{total: total} }

// Resize changes how much there is. What is taken is left alone, even if that
// is more.
func (b *Budget) Resize(total int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total = total
	b.settle()
}

// join adds a listener whose connections cost so much each.
func (b *Budget) join(cost int) *share {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &share{b: b, cost: cost}
	b.shares = append(b.shares, s)
	b.settle()
	return s
}

// settle works out what is guaranteed; b.mu is held.
func (b *Budget) settle() {
	b.floor, b.owed = 0, 0
	if n := len(b.shares); n > 1 {
		b.floor = b.total / guaranteed / n
	}
	for _, s := range b.shares {
		b.owed += s.unused()
	}
}

// unused returns what a share may take of its floor; b.mu is held.
func (s *share) unused() int { return max(0, s.b.floor-s.used) }

// take takes what a connection costs, or reports false.
func (s *share) take() bool {
	if s == nil {
		return true
	}
	b := s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+s.cost+b.owed-s.unused() > b.total && (b.used+s.cost > b.total || s.used+s.cost > b.floor) {
		return false
	}
	s.add(s.cost)
	return true
}

// add changes what is used; b.mu is held.
func (s *share) add(n int) {
	s.b.owed -= s.unused()
	s.used += n
	s.b.used += n
	s.b.owed += s.unused()
}

// give gives what a connection costs back.
func (s *share) give() {
	if s == nil {
		return
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.add(-s.cost)
}

// leave takes the share out, once nothing is taken of it.
func (s *share) leave() {
	if s == nil {
		return
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.shares = slices.DeleteFunc(s.b.shares, func(x *share) bool { return x == s })
	s.b.settle()
}
