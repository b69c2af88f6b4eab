package balance

import (
	"math"
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
)

// bounded chooses from a table in which the backends follow each other at
// random, each as often as its weight says: the first one at or after a
// key's place that is not full. That is Mirrokni, Thorup and Zadimoghaddam,
// "Consistent Hashing with Bounded Loads", 2016, with c = 1.25: full is who
// has its part, by weight, of 1.25 times all active slots, rounded up. So a
// hot key overflows, to the same neighbours always, instead of drowning its
// backend. The bound is exact but for picks that happen at the same time.
type bounded struct {
	backends []*backend.Backend
	weights  []int
	sum      int64    // of weights
	owners   []uint16 // the table, of indexes of backends
	total    *total
	keyless  Picker
}

func newBounded(s *backend.Snapshot) bounded {
	n := min(len(s.Eligible), maxHashed)
	t := bounded{
		backends: s.Eligible[:n],
		weights:  s.Weights[:n],
		total:    newTotal(s.Eligible[:n]),
		keyless:  p2c{}.Plan(s),
	}
	for _, w := range t.weights {
		t.sum += int64(w)
	}
	return t
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
	return b.Warming() && float64(mix(key^HashString(b.ID()))>>11)/(1<<53) >= b.Warmth(b.Now())
}

// capacity returns how many slots of backend i may be active, out of all.
func (t *bounded) capacity(i int, all int64) int64 {
	return max(fewSlots, (5*all*int64(t.weights[i])+4*t.sum-1)/(4*t.sum))
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
// weight*of>>shift, but one at least. It depends on the other backends only
// by powers of two, so that one that comes or goes leaves the others' alone
// (but for the rare one that makes it cross a power).
type unit struct {
	of    int64
	shift uint
}

// newUnit returns the largest unit, of>>shift, at which weights get most
// entries or fewer.
func newUnit(weights []int, of, most int64) unit {
	sum := int64(0)
	for _, w := range weights {
		sum += int64(w)
	}
	u := unit{of: of}
	for sum*of>>u.shift > most {
		u.shift++
	}
	return u
}

func (u unit) entries(weight int) int { return int(max(1, int64(weight)*u.of>>u.shift)) }
