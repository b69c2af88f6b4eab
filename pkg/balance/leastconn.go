package balance

import (
	"math/rand/v2"

	"sluice/pkg/backend"
)

type leastConn struct{}

type leastConnPicker struct {
	backends []*backend.Backend
	weights  []int
}

func (leastConn) Plan(s *backend.Snapshot) Picker {
	return &leastConnPicker{backends: s.Eligible, weights: s.Weights}
}

// Pick looks at every backend, beginning at a random one, so that ties do not
// all fall to the same backend. Its cost grows with the pool; see p2c.
func (p *leastConnPicker) Pick(tried Tried) *backend.Backend {
	n := len(p.backends)
	if n == 0 {
		return nil
	}
	best := -1
	i := rand.IntN(n)
	for range n {
		if tried.Len() == 0 || !tried.Has(p.backends[i]) {
			if best < 0 || lessLoaded(p.backends[i], p.weights[i], p.backends[best], p.weights[best]) {
				best = i
			}
		}
		if i++; i == n {
			i = 0
		}
	}
	if best < 0 {
		return nil
	}
	return p.backends[best]
}
