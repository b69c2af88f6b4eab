package balance

import (
	"math/rand/v2"

	"sluice/pkg/backend"
)

// zonalPicker chooses the zone first, by lot, and then a backend there by the
// strategy's own means, as Envoy does. Weights would not do: whoever is idle
// would win every comparison, however far it is.
type zonalPicker struct {
	zonal     *backend.Zonal
	near, far Picker
	all       []*backend.Backend
}

// honoursZones reports whether a strategy can do with another choice in each
// zone. Those that hash cannot: all processes are to agree on a key's backend.
func honoursZones(s Strategy) bool {
	switch s.(type) {
	case consistentHash, maglev:
		return false
	}
	return true
}

func planZonal(strategy Strategy, s *backend.Snapshot) Picker {
	z := s.Zonal
	return &zonalPicker{
		zonal: z,
		near:  strategy.Plan(&backend.Snapshot{Eligible: z.Near, Weights: z.NearWeights}),
		far:   strategy.Plan(&backend.Snapshot{Eligible: z.Far, Weights: z.FarWeights}),
		all:   s.Eligible,
	}
}

// Pick lets a retry go elsewhere first: what fails together is often in one
// zone.
func (p *zonalPicker) Pick(req Request) *backend.Backend {
	first, second := p.near, p.far
	if req.Tried.Len() > 0 || !p.zonal.Stays() {
		first, second = second, first
	}
	if b := first.Pick(req); b != nil {
		return b
	}
	if b := second.Pick(req); b != nil {
		return b
	}
	return untried(p.all, rand.IntN(len(p.all)), req.Tried)
}
