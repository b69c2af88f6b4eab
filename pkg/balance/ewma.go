package balance

import "sluice/pkg/backend"

// adaptiveErrorCost is how many times dearer than a backend without errors
// one is that does nothing but fail, less 1.
const adaptiveErrorCost = 10

// ewma is p2c_ewma and, with an errorCost, adaptive.
type ewma struct{ errorCost float64 }

type ewmaPicker struct {
	table     *aliasTable
	errorCost float64
}

func (e ewma) Plan(s *backend.Snapshot) Picker {
	return &ewmaPicker{table: newAliasTable(s.Eligible, s.Weights), errorCost: e.errorCost}
}

const (
	// alike is up to which ratio two latencies are taken for equal, and
	// alikeTime up to which difference: that much is noise, and would decide
	// every pick of an idle pool.
	alike     = 1.25
	alikeTime = 1e6 // ns
)

// Pick draws two backends, as p2c does, and keeps the one where one request
// more is expected to take less time: peak EWMA of the latency × requests under
// way, that one included, by weight, as Finagle's and Linkerd's peak EWMA
// balancers do it. Of two that are equally fast the load decides, as in p2c.
// One that failed lately or is warming up may be passed over; that is not part
// of the cost, because it would have to be forgotten slowly, as a latency is,
// and not by the first success.
func (p *ewmaPicker) Pick(req Request) *backend.Backend {
	t := p.table
	if len(t.backends) < 2 || req.Tried.Len() > 0 {
		return t.drawUntried(req.Tried)
	}
	i, j, chance := t.drawTwo()
	a, b := t.backends[i], t.backends[j]
	now := a.Now()
	if shunA, shunB := lot(a.Distrust(now)) || cold(a), lot(b.Distrust(now)) || cold(b); shunA != shunB {
		if shunA {
			return b
		}
		return a
	}
	costA, costB := p.cost(a, now), p.cost(b, now)
	switch { // of whom nothing is known, nothing is assumed: the other's word counts for both
	case costA == 0:
		costA = costB
	case costB == 0:
		costB = costA
	}
	chosen := a
	if equallyFast(costA, costB) {
		if second(a.Active(), int64(t.weights[i]), b.Active(), int64(t.weights[j]), chance) {
			chosen = b
		}
	} else if costB*float64(b.Active()+1)*float64(t.weights[i]) < costA*float64(a.Active()+1)*float64(t.weights[j]) {
		chosen = b
	}
	return chosen
}

// equallyFast reports whether two costs differ by no more than noise.
func equallyFast(a, b float64) bool {
	return max(a, b) <= alike*min(a, b) || max(a, b)-min(a, b) <= alikeTime
}

// cost returns what one request costs at b if that is idle, in ns: its latency,
// or more if it makes errors; 0 if nothing is known.
func (p *ewmaPicker) cost(b *backend.Backend, now backend.Moment) float64 {
	cost := float64(b.Latency(now))
	if p.errorCost > 0 {
		cost *= 1 + p.errorCost*b.ErrorRate(now)
	}
	return cost
}
