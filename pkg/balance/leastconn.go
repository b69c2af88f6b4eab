package balance

import (
	"math/rand/v2"

	"sluice/pkg/backend"
)

type leastConn struct{}

type leastConnPicker struct {
	backends []*backend.Backend
	weights  []int
	sum      float64 // of weights
}

func (leastConn) Plan(s *backend.Snapshot) Picker {
	p := &leastConnPicker{backends: s.Eligible, weights: s.Weights}
	for _, w := range s.Weights {
		p.sum += float64(w)
	}
	return p
}

// Pick looks at every backend, beginning at a random one, so that ties do not
// all fall to the same backend; one that failed lately may be passed over. One
// that is warming up has nothing to do, so that all would go to it: it gets
// its share by lot instead. The cost grows with the pool; see p2c.
func (p *leastConnPicker) Pick(req Request) *backend.Backend {
	n := len(p.backends)
	if n == 0 {
		return nil
	}
	best, spare := -1, -1
	i := rand.IntN(n)
	for range n {
		b := p.backends[i]
		switch {
		case req.Tried.Len() > 0 && req.Tried.Has(b):
		case b.Warming():
			if rand.Float64()*p.sum < b.Warmth(b.Now())*float64(p.weights[i]) {
				return b
			}
			if spare < 0 || lessLoaded(b, p.weights[i], p.backends[spare], p.weights[spare]) {
				spare = i
			}
		case best >= 0 && !lessLoaded(b, p.weights[i], p.backends[best], p.weights[best]):
		case shunned(b):
			spare = i
		default:
			best = i
		}
		if i++; i == n {
			i = 0
		}
	}
	if best < 0 {
		best = spare
	}
	if best < 0 {
		return nil
	}
	return p.backends[best]
}
