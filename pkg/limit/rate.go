package limit

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// Rate bounds how many requests a second each key may make, a key being a
// client's address or whatever else tells callers apart. It knows a bounded
// number of keys, those that made requests lately. When it knows too many,
// further ones are not bounded until there is room, so that a flood of keys
// shuts nobody out; Overflow counts those requests.
//
// All methods are safe for concurrent use and do not allocate for a key that is
// known.
type Rate struct {
	meter atomic.Pointer[meter]
	epoch time.Time
	seed  maphash.Seed
	keys  *table[uint64, bucket]
}

// NewRate returns a bound of perSecond requests a second for each key, which
// must be above 0 and may be a fraction. burst requests, at least one, may come
// at once.
func NewRate(perSecond, burst float64) *Rate {
	r := &Rate{epoch: time.Now(), seed: maphash.MakeSeed(), keys: newTable[uint64, bucket]()}
	r.Set(perSecond, burst)
	return r
}

// Set changes the bound from now on. A key that has used its burst up has to wait
// as long as before, as far as the new burst reaches. See NewRate.
func (r *Rate) Set(perSecond, burst float64) {
	m := newMeter(perSecond, burst)
	r.meter.Store(&m)
}

// PerSecond returns how many requests a second each key may make.
func (r *Rate) PerSecond() float64 { return r.meter.Load().perSecond() }

// Take reports whether a request of key may be made at now, by a wait of 0.
// Otherwise the wait is the time until one may, if no other is made before.
// What is refused costs nothing.
func (r *Rate) Take(key uint64, now time.Time) (wait time.Duration) {
	at := int64(now.Sub(r.epoch))
	s := r.keys.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	b, known := s.entries[key]
	if !known && !s.room(func(b bucket) bool { return b.full(at) }) {
		return 0
	}
	if !known {
		b = bucket(at)
	}
	b, wait = r.meter.Load().take(b, at)
	s.entries[key] = b
	return wait
}

// Addr returns the key of a client's address. Addresses of IPv6 that share
// their first 64 bits share the key, because whoever has one of them has all
// (RFC 6177).
func (r *Rate) Addr(a netip.Addr) uint64 {
	b := a.Unmap().As16()
	if !a.Unmap().Is4() {
		binary.BigEndian.PutUint64(b[8:], 0)
	}
	return maphash.Bytes(r.seed, b[:])
}

// Bytes returns the key of b, such as a header's value. Keys are hashed with a
// seed of r's own, so that nobody can make two of them meet.
func (r *Rate) Bytes(b []byte) uint64 { return maphash.Bytes(r.seed, b) }

// Overflow returns how many requests were let pass because too many keys were
// known.
func (r *Rate) Overflow() uint64 { return r.keys.overflow() }
