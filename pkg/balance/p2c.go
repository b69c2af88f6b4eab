package balance

import (
	"math/rand/v2"

	"sluice/pkg/backend"
)

type p2c struct{}

type p2cPicker struct{ table *aliasTable }

func (p2c) Plan(s *backend.Snapshot) Picker {
	return &p2cPicker{table: newAliasTable(s.Eligible, s.Weights)}
}

// Pick draws two backends and chooses between them by the urn of the two, see
// second: the less busy one, and at low load by weight. One that failed lately
// may be passed over: whoever refuses everything is always the least loaded.
func (p *p2cPicker) Pick(req Request) *backend.Backend {
	t := p.table
	if len(t.backends) < 2 || req.Tried.Len() > 0 { // a retry is rare, and any other backend will do
		return t.drawUntried(req.Tried)
	}
	i, j, lot := t.drawTwo()
	a, b := t.backends[i], t.backends[j]
	if shunA, shunB := shunned(a), shunned(b); shunA != shunB {
		if shunA {
			return b
		}
		return a
	}
	if second(a.Active(), int64(t.weights[i]), b.Active(), int64(t.weights[j]), lot) {
		return b
	}
	return a
}

// shunned decides by lot whether b is to be passed over this time, because it
// failed lately, see Backend.Distrust, or is warming up. A lot does what an
// extra load or cost cannot: a backend that fails at once, or that has just
// come back, has no load, and however large the extra, the others could be
// busier.
func shunned(b *backend.Backend) bool {
	return b.Distrusted() && lot(b.Distrust(b.Now())) || cold(b)
}

// lot is true d times out of 1+d.
func lot(d float64) bool { return d > 0 && rand.Float64()*(1+d) < d }

// cold decides by lot whether b, which may be warming up, is to be passed over
// this time.
func cold(b *backend.Backend) bool {
	return b.Warming() && rand.Float64() >= b.Warmth(b.Now())
}
