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

// Pick draws two backends by weight and keeps the less loaded one; when both
// are equally loaded the first draw decides, so that an idle pool is used
// exactly by weight. One that failed lately may be passed over: whoever
// refuses everything is always the least loaded.
func (p *p2cPicker) Pick(req Request) *backend.Backend {
	t := p.table
	if len(t.backends) < 2 || req.Tried.Len() > 0 { // a retry is rare, and any other backend will do
		return t.drawUntried(req.Tried)
	}
	i, j := t.drawTwo()
	a, b := t.backends[i], t.backends[j]
	if shunA, shunB := shunned(a), shunned(b); shunA != shunB {
		if shunA {
			return b
		}
		return a
	}
	if lessLoaded(b, t.weights[j], a, t.weights[i]) {
		return b
	}
	return a
}

// lessLoaded reports whether a has fewer active slots per weight than b.
func lessLoaded(a *backend.Backend, weightA int, b *backend.Backend, weightB int) bool {
	return a.Active()*int64(weightB) < b.Active()*int64(weightA)
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
