package limit

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	tableShards = 16
	// maxKeys is how many keys a table knows at once, in all shards. One costs
	// some 40 to 100 bytes.
	maxKeys = 1 << 16
)

// table remembers a value for each of a bounded number of keys. When it knows
// too many, further keys are not remembered until there is room, so that a
// flood of keys shuts nobody out; overflow counts them.
type table[K comparable, V any] struct {
	seed   maphash.Seed
	shards [tableShards]shard[K, V]
}

type shard[K comparable, V any] struct {
	// mu protects the fields below.
	mu       sync.Mutex
	entries  map[K]V
	overflow uint64
}

func newTable[K comparable, V any]() *table[K, V] {
	t := &table[K, V]{seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].entries = make(map[K]V)
	}
	return t
}

func (t *table[K, V]) shard(k K) *shard[K, V] {
	return &t.shards[maphash.Comparable(t.seed, k)%tableShards]
}

// room reports whether one more key can be remembered, and otherwise counts
// that it cannot. Keys whose values are idle are forgotten for it, after a look
// at some; s.mu is held.
func (s *shard[K, V]) room(idle func(V) bool) bool {
	if len(s.entries) < maxKeys/tableShards {
		return true
	}
	const look = 64
	n, forgotten := 0, false
	for k, v := range s.entries { // in random order
		if idle(v) {
			delete(s.entries, k)
			forgotten = true
		}
		if n++; n == look {
			break
		}
	}
	if !forgotten {
		s.overflow++
	}
	return forgotten
}

// overflow returns how many keys were not remembered.
func (t *table[K, V]) overflow() (n uint64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += s.overflow
		s.mu.Unlock()
	}
	return n
}

// bucket is a token bucket as a single point in time, in ns since its owner's
// epoch: the one at which it is full again. This is the generic
// cell rate algorithm (ATM Forum, Traffic Management 4.0), which decides as a
// bucket does that is filled continuously.
type bucket int64

// meter is the size of buckets and the rate at which they fill.
type meter struct {
	each int64 // nanoseconds that one token takes
	size int64 // of a whole bucket, in nanoseconds
}

// newMeter returns a meter of perSecond tokens a second, of which burst, at
// least one, are saved up.
func newMeter(perSecond, burst float64) meter {
	each := max(1, int64(float64(time.Second)/perSecond))
	return meter{each: each, size: max(each, int64(burst*float64(each)))}
}

// perSecond returns how many tokens there are a second.
func (m meter) perSecond() float64 { return float64(time.Second) / float64(m.each) }

// take takes a token out of b at now. Otherwise it returns b as it is, but for a
// clock that was put back, and how long it takes until there is one.
func (m meter) take(b bucket, now int64) (bucket, time.Duration) {
	// A clock that was put back must not keep anybody out for as long.
	full := min(max(int64(b), now), now+m.size)
	if wait := full + m.each - m.size - now; wait > 0 {
		return bucket(full), time.Duration(wait)
	}
	return bucket(full + m.each), 0
}

// full reports whether b is full at now, and so nothing to remember.
func (b bucket) full(now int64) bool { return int64(b) <= now }
