package balance

import (
	"math"

	"sluice/pkg/backend"
)

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
	// fineness is what weights are multiplied by, to be divided for slowness, and
	// leastPart the part that is left to the slowest, to be measured by.
	fineness  = 1 << 16
	leastPart = fineness / 128
)

// Pick draws two backends, as p2c does, and chooses between them by the urn of
// the two, in which the slower one has fewer slots: by the third power of how
// much slower it is than noise explains, so that one which takes twice the time
// gets a fifth of an idle pool's requests, and less under load. Finagle's and
// Linkerd's peak EWMA balancers compare latency × requests under way instead,
// strictly; then a backend whose latency was measured too high once, which is
// soon, is not measured again for seconds. One that failed lately or is warming
// up may be passed over; that is not part of the cost, because it would have to
// be forgotten slowly, as a latency is, and not by the first success.
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
	partA, partB := parts(p.cost(a, now), p.cost(b, now), min(a.Measured(), b.Measured()))
	if second(a.Active(), int64(t.weights[i])*partA, b.Active(), int64(t.weights[j])*partB, chance) {
		return b
	}
	return a
}

// parts returns what two backends of such costs get of what they have by weight,
// up to fineness: all, but for the one that costs more, the less the better that
// is known (0 to 1). Of whom nothing is known, nothing is assumed: the other's
// word counts for both.
func parts(a, b, known float64) (partA, partB int64) {
	partA, partB = fineness, fineness
	switch {
	case a == 0, b == 0, math.Abs(a-b) <= alikeTime:
	case a > alike*b:
		partA = part(a/b, known)
	case b > alike*a:
		partB = part(b/a, known)
	}
	return partA, partB
}

// part returns the part for a ratio of costs above alike.
func part(ratio, known float64) int64 {
	return max(leastPart, int64(fineness*math.Pow(alike/ratio, 3*known)))
}

// cost returns what one request costs at b, in ns: its latency, or more if it
// makes errors; 0 if nothing is known.
func (p *ewmaPicker) cost(b *backend.Backend, now backend.Moment) float64 {
	cost := float64(b.Latency(now))
	if p.errorCost > 0 {
		cost *= 1 + p.errorCost*b.ErrorRate(now)
	}
	return cost
}
