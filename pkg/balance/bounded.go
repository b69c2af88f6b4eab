package balance

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"sluice/pkg/backend"
)

const (
	// maxHashed is how many backends of a pool a hash is spread over; there is
	// no more room in a table of 16-bit indexes.
	maxHashed = math.MaxUint16
	// walkPer bounds the walk past backends that are full, by their number. At
	// least a fifth of all entries are of others, so that a walk past some two
	// for each backend is the longest to expect, of the one key that alone
	// fills the pool. With many keys, a few are.
	walkPer = 16
	// defaultBound is c in percent.
	defaultBound = 125
)

// bounded chooses from a table in which the backends follow each other at
// random, each as often as its weight says: the first one at or after a
// key's place that is not full. That is Mirrokni, Thorup and Zadimoghaddam,
// "Consistent Hashing with Bounded Loads", 2016, with c = 1.25 unless the pool
// says otherwise: full is who has its part, by weight, of c times all active
// slots, rounded up. So a
// hot key overflows, to the same neighbours always, instead of drowning its
// backend. The bound is exact but for picks that happen at the same time.
type bounded struct {
	backends []*backend.Backend
	weights  []int
	sum      int64    // of weights
	percent  int64    // c, below 0 for no bound
	owners   []uint16 // the table, of indexes of backends
	total    *total
	keyless  Picker
}

func newBounded(s *backend.Snapshot) bounded {
	backends, weights := byAddress(s)
	t := bounded{
		backends: backends,
		weights:  weights,
		percent:  int64(cmp.Or(s.HashBalance, defaultBound)),
		total:    newTotal(backends),
		keyless:  p2c{}.Plan(s),
	}
	for _, w := range t.weights {
		t.sum += int64(w)
	}
	return t
}

// byAddress returns the backends of a snapshot, as many as there is room for,
// and their weights in the order of their addresses. To a client a backend is
// its address: what a registry calls it may change with every deployment, and
// moves nobody.
func byAddress(s *backend.Snapshot) ([]*backend.Backend, []int) {
	order := make([]int, len(s.Eligible))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := s.Eligible[i], s.Eligible[j]
		return cmp.Or(strings.Compare(a.Addr(), b.Addr()), strings.Compare(a.ID(), b.ID()))
	})
	order = order[:min(len(order), maxHashed)]
	backends, weights := make([]*backend.Backend, len(order)), make([]int, len(order))
	for i, at := range order {
		backends[i], weights[i] = s.Eligible[at], s.Weights[at]
	}
	return backends, weights
}

// walk returns the backend for a key whose place in the table is at.
func (t *bounded) walk(at int, key uint64, tried Tried) *backend.Backend {
	all := t.total.withOneMore()
	first := -1 // that was not tried
	for range min(walkPer*len(t.backends)+128, len(t.owners)) {
		i := int(t.owners[at])
		if b := t.backends[i]; tried.Len() == 0 || !tried.Has(b) {
			if b.Active() < t.capacity(i, all) && !coldFor(b, key) {
				return b
			}
			if first < 0 {
				first = i
			}
		}
		if at++; at == len(t.owners) {
			at = 0
		}
	}
	if first >= 0 {
		return t.backends[first]
	}
	return untried(t.backends, int(t.owners[at]), tried)
}

// fewSlots are never too many.
const fewSlots = 8

// coldFor decides whether b, which may be warming up, is passed over for a
// key. The warmer it is the more keys it gets, and none twice.
func coldFor(b *backend.Backend, key uint64) bool {
	return b.Warming() && float64(mix(key^HashString(b.Addr()))>>11)/(1<<53) >= b.Warmth(b.Now())
}

// capacity returns how many slots of backend i may be active, out of all. A
// hundred times all slots, by weight, is far from what an int64 holds.
func (t *bounded) capacity(i int, all int64) int64 {
	if t.percent < 0 {
		return math.MaxInt64
	}
	return max(fewSlots, (t.percent*all*int64(t.weights[i])+100*t.sum-1)/(100*t.sum))
}

// total tells how many slots of a snapshot's backends are active, without a
// counter that each release would have to touch: it counts anew every so many
// picks, about eight additions a pick, and adds the picks since. What is
// released between two counts it learns by the second.
type total struct {
	backends []*backend.Backend
	picks    atomic.Int64
	base     atomic.Int64 // slots that were active at the last count, less the picks before it
}

func newTotal(backends []*backend.Backend) *total {
	t := &total{backends: backends}
	t.count(0)
	return t
}

// count counts as of before pick n+1.
func (t *total) count(n int64) {
	sum := -n
	for _, b := range t.backends {
		sum += b.Active()
	}
	t.base.Store(sum)
}

// withOneMore returns the number with the slot that is about to be taken.
func (t *total) withOneMore() int64 {
	n := t.picks.Add(1)
	if n%max(1, int64(len(t.backends)/8)) == 0 {
		t.count(n - 1)
	}
	return max(1, t.base.Load()+n)
}

// unit says how many entries of a table a backend gets for its weight:
// weight*of/per, but one at least, where per is the largest weight. So ten
// times all weights changes nothing, and one that comes or goes, or changes its
// weight, leaves the others' entries alone, unless the largest changes, or of,
// which is what was given by a power of two.
type unit struct{ of, per int64 }

// newUnit returns the unit with the largest of, less or more than the given one
// by a power of two, at which weights get most entries or fewer.
func newUnit(weights []int, of, most int64) unit {
	sum, u := int64(0), unit{of: of, per: 1}
	for _, w := range weights {
		sum += int64(w)
		u.per = max(u.per, int64(w))
	}
	for u.of > 1 && sum*u.of > most*u.per {
		u.of /= 2
	}
	for sum > 0 && 2*sum*u.of <= most*u.per {
		u.of *= 2
	}
	return u
}

func (u unit) entries(weight int) int { return int(max(1, int64(weight)*u.of/u.per)) }
