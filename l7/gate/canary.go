package gate

import (
	"math"

	"sluice/pkg/balance"
)

// canary leads a part of the keys to another service. Its zero value leads
// none.
type canary struct {
	service *Service
	below   uint64 // of the keys, mixed with salt, that are led there
	salt    uint64
}

// newCanary returns a canary for percent of the keys. Which ones depends on the
// service, so that two canaries do not try the same clients' patience; with a
// larger share, those of a smaller one stay.
func newCanary(s *Service, percent float64) canary {
	c := canary{service: s, salt: balance.HashString(s.name)}
	if percent >= 100 {
		c.below = math.MaxUint64
	} else {
		c.below = uint64(percent / 100 * math.MaxUint64)
	}
	return c
}

// serviceFor returns the service for a client whose key is evenly spread over
// 64 bits, as balance.HashAddr spreads it.
func (rt *route) serviceFor(key uint64) *Service {
	if rt.canary.service != nil && mix(key^rt.canary.salt) < rt.canary.below {
		return rt.canary.service
	}
	return rt.service
}

// mix makes each bit depend on every bit of x: the finalizer of MurmurHash3 by
// Austin Appleby.
func mix(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
