package balance

import (
	"encoding/binary"
	"net/netip"
)

// The hashes below are the same in every process and for ever: several
// sluices send a client to the same backend, also after a restart. They are
// not meant to withstand somebody who chooses his keys; the bound on load is.

// HashAddr returns the key of a client's address. An IPv4 address has the
// same key as its form mapped to IPv6; a zone is ignored.
func HashAddr(a netip.Addr) uint64 {
	b := a.As16()
	return mix(mix(binary.BigEndian.Uint64(b[:8])+golden) ^ binary.BigEndian.Uint64(b[8:]))
}

// HashString returns the key of s: FNV-1a, mixed.
func HashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// golden is 1<<64 by the golden ratio: its multiples are a sequence that mix
// makes good random numbers of.
const golden = 0x9e3779b97f4a7c15

// mix makes each bit of its result depend on every bit of x, and is a
// bijection. It is SplitMix64's finalizer: Steele, Lea and Flood, "Fast
// Splittable Pseudorandom Number Generators", 2014.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
