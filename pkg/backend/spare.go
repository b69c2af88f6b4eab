package backend

import "slices"

// lastResort returns those of all that serve by their spare weight: members in
// warning whose weight of 0 nobody chose, if nobody else is left. offered are
// those that would be offered otherwise; if one of them is good, or nobody can
// step in, it returns nil.
func lastResort(all, offered []*Backend) (spares []*Backend) {
	if slices.ContainsFunc(offered, func(b *Backend) bool { return b.standing() != avoided }) {
		return nil
	}
	for _, b := range all {
		if t, c := b.target.Load(), b.condition.Load(); t.spares() && c.State != Down && !c.Word.Drain && !b.order.Load().out() {
			spares = append(spares, b)
		}
	}
	return spares
}

// spares reports whether a member can step in if nobody else is left.
func (t *Target) spares() bool { return t.Status == Warning && t.Weight <= 0 && t.Spare > 0 }

// share returns the weight of a member that is offered.
func (t *Target) share() int {
	if t.spares() {
		return t.Spare
	}
	return t.Weight
}
