package balance

import (
	"math/rand/v2"

	"sluice/pkg/backend"
)

// draws is how often a random strategy draws again when it hit a backend that
// it cannot use, before it searches for one in order.
const draws = 4

// aliasTable draws backends by weight in constant time: Vose, "A Linear
// Algorithm for Generating Random Numbers with a Given Distribution", 1991.
type aliasTable struct {
	backends []*backend.Backend
	weights  []int
	// cut[i] is the part of slot i, out of 1<<32, that is backend i's own;
	// the rest is alias[i]'s. Both are nil if all weights are equal.
	cut   []uint64
	alias []int32
}

func newAliasTable(backends []*backend.Backend, weights []int) *aliasTable {
	t := &aliasTable{backends: backends, weights: weights}
	sum, equal := 0, true
	for _, w := range weights {
		sum += w
		equal = equal && w == weights[0]
	}
	if equal {
		return t
	}
	n := len(weights)
	t.cut, t.alias = make([]uint64, n), make([]int32, n)
	scaled := make([]float64, n)
	var small, large []int32
	for i, w := range weights {
		scaled[i] = float64(w) * float64(n) / float64(sum)
		if scaled[i] < 1 {
			small = append(small, int32(i))
		} else {
			large = append(large, int32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		t.cut[s], t.alias[s] = uint64(scaled[s]*(1<<32)), l
		scaled[l] -= 1 - scaled[s]
		if scaled[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, i := range append(small, large...) { // what is left is 1 but for rounding
		t.cut[i], t.alias[i] = 1<<32, i
	}
	return t
}

// draw returns an index by weight. The upper half of r chooses the slot, the
// lower half its side.
func (t *aliasTable) draw(r uint64) int {
	i := int((r >> 32) * uint64(len(t.backends)) >> 32)
	if t.cut == nil || r&(1<<32-1) < t.cut[i] {
		return i
	}
	return int(t.alias[i])
}

// drawTwo draws two different backends, the first by weight and the second of
// the others with equal chances; there are two at least. So a pair is drawn as
// often as its weights add up to, and if each of a pair is then chosen by its
// weight, each backend is, by its own: w_i/w × Σ 1/(n-1), over the others. lot
// is a random number to choose by.
func (t *aliasTable) drawTwo() (i, j int, lot uint32) {
	i = t.draw(rand.Uint64())
	r := rand.Uint64()
	j = i + 1 + int((r>>32)*uint64(len(t.backends)-1)>>32)
	if j >= len(t.backends) {
		j -= len(t.backends)
	}
	return i, j, uint32(r)
}

// drawUntried draws by weight until it meets a backend that is not in tried,
// a few times, then takes the next one in order; nil if all were tried.
func (t *aliasTable) drawUntried(tried Tried) *backend.Backend {
	switch len(t.backends) {
	case 0:
		return nil
	case 1:
		if tried.Has(t.backends[0]) {
			return nil
		}
		return t.backends[0]
	}
	i := 0
	for range draws {
		i = t.draw(rand.Uint64())
		if b := t.backends[i]; !tried.Has(b) {
			return b
		}
	}
	return untried(t.backends, i, tried)
}
