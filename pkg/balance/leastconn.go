package balance

import (
	"math/rand/v2"

	"sluice/pkg/backend"
)

type leastConn struct{}

type leastConnPicker struct {
	backends []*backend.Backend
	weights  []int
	sum      int64 // of weights
	unit     int64 // the least of them
}

func (leastConn) Plan(s *backend.Snapshot) Picker {
	p := &leastConnPicker{backends: s.Eligible, weights: s.Weights}
	for i, w := range s.Weights {
		p.sum += int64(w)
		if i == 0 || int64(w) < p.unit {
			p.unit = int64(w)
		}
	}
	return p
}

// Pick looks at every backend and draws one from the urn of all, see second;
// if others of the same weight are less busy, one of them takes its place. One
// that failed lately may be passed over. One that is warming up has nothing to
// do, so that all would go to it: it gets its share by lot instead. The cost
// grows with the pool; see p2c.
func (p *leastConnPicker) Pick(req Request) *backend.Backend {
	n := len(p.backends)
	if n == 0 {
		return nil
	}
	active := int64(0)
	for _, b := range p.backends {
		active += b.Active()
	}
	round := rounds(active, p.sum, p.unit)
	// The ticket is drawn from all that is in the urn; who cannot be used leaves
	// it to the next one.
	ticket := below(round*p.sum-active*p.unit, rand.Uint32())
	drawn, least, spare := -1, -1, -1
	i := rand.IntN(n)
	for range n {
		b, w := p.backends[i], p.weights[i]
		ticket -= inUrn(b.Active(), int64(w), round, p.unit)
		switch {
		case req.Tried.Len() > 0 && req.Tried.Has(b):
		case b.Warming():
			if rand.Float64()*float64(p.sum) < b.Warmth(b.Now())*float64(w) {
				return b
			}
			if spare < 0 || LessLoaded(b, w, p.backends[spare], p.weights[spare]) {
				spare = i
			}
		case drawn >= 0:
		case shunned(b):
			spare = i
		case ticket < 0:
			drawn = i
		case least < 0 || LessLoaded(b, w, p.backends[least], p.weights[least]):
			least = i
		}
		if i++; i == n {
			i = 0
		}
	}
	switch {
	case drawn >= 0:
		return p.backends[p.leastLike(drawn, req.Tried)]
	case least >= 0:
		return p.backends[least]
	case spare >= 0:
		return p.backends[spare]
	}
	return nil
}

// leastLike returns the least busy of those that have the weight of the drawn
// one and that nothing speaks against.
func (p *leastConnPicker) leastLike(drawn int, tried Tried) int {
	least := p.backends[drawn].Active()
	if least == 0 {
		return drawn
	}
	weight, start := p.weights[drawn], rand.IntN(len(p.backends))
	for n := range p.backends {
		i := start + n
		if i >= len(p.backends) {
			i -= len(p.backends)
		}
		if b := p.backends[i]; p.weights[i] == weight && b.Active() < least && !b.Distrusted() && !b.Warming() && !tried.Has(b) {
			drawn, least = i, b.Active()
		}
	}
	return drawn
}
