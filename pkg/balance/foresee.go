package balance

import "sluice/pkg/backend"

// Foresee has the strategy in force choose n times as things are now, and
// returns how often it chose whom; no slot is taken, and nobody's turn is used
// up.
func (b *Balancer) Foresee(req Request, n int) map[*backend.Backend]int {
	strategy, err := newStrategy(b.Strategy())
	if err != nil {
		panic("BUG: the strategy in force is none: " + err.Error())
	}
	picker := strategy.Plan(b.pool.Snapshot())
	chosen := make(map[*backend.Backend]int)
	for range n {
		if x := picker.Pick(req); x != nil {
			chosen[x]++
		}
	}
	return chosen
}
