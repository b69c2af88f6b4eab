package balance

import "sluice/pkg/backend"

// adaptiveErrorCost is how many times dearer than a backend without errors
// one is that does nothing but fail, less 1.
const adaptiveErrorCost = 10

// ewma is p2c_ewma and, with an errorCost, adaptive.
type ewma struct{ errorCost float64 }

type ewmaPicker struct {
	table     *aliasTable
	perSlot   []float64 // the mean weight by the backend's own
	errorCost float64
}

func (e ewma) Plan(s *backend.Snapshot) Picker {
	p := &ewmaPicker{table: newAliasTable(s.Eligible, s.Weights), errorCost: e.errorCost}
	sum := 0
	for _, w := range s.Weights {
		sum += w
	}
	for _, w := range s.Weights {
		p.perSlot = append(p.perSlot, float64(sum)/float64(len(s.Weights)*w))
	}
	return p
}

// Pick draws two backends by weight and keeps the one where one request more
// is expected to take less time: peak EWMA of the latency × requests under
// way, as Finagle's and Linkerd's peak EWMA balancers do it. When the costs
// are equal the first draw decides. One that failed lately or is warming up may
// be passed over; that is not part of the cost, because it would have to be forgotten slowly,
// as a latency is, and not by the first success.
func (p *ewmaPicker) Pick(req Request) *backend.Backend {
	t := p.table
	if len(t.backends) < 2 || req.Tried.Len() > 0 {
		return t.drawUntried(req.Tried)
	}
	i, j := t.drawTwo()
	a, b := t.backends[i], t.backends[j]
	now := a.Now()
	if shunA, shunB := lot(a.Distrust(now)) || cold(a), lot(b.Distrust(now)) || cold(b); shunA != shunB {
		if shunA {
			return b
		}
		return a
	}
	latencyA, latencyB := float64(a.Latency(now)), float64(b.Latency(now))
	switch { // of whom nothing is known, nothing is assumed: the other's word counts for both
	case latencyA == 0 && latencyB == 0:
		latencyA, latencyB = 1, 1
	case latencyA == 0:
		latencyA = latencyB
	case latencyB == 0:
		latencyB = latencyA
	}
	if latencyB*p.load(j, now) < latencyA*p.load(i, now) {
		return b
	}
	return a
}

// load returns the factor by which backend i is dearer than if it were idle
// and without errors. The slot that is about to be taken counts 1 whatever
// the weight, so that in an idle pool the draw alone is by weight: if weight
// counted twice, light backends would get nothing.
func (p *ewmaPicker) load(i int, now backend.Moment) float64 {
	b := p.table.backends[i]
	load := 1 + float64(b.Active())*p.perSlot[i]
	if p.errorCost > 0 {
		load *= 1 + p.errorCost*b.ErrorRate(now)
	}
	return load
}
