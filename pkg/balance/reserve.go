package balance

import "sluice/pkg/backend"

// While health does not know yet that a tier is lost, its members are still the
// ones to be picked. Who has tried them in vain need not fail for that: a member
// of the next tier will do, as Envoy's retries in another priority have it.

// reserve returns the member of a later tier that takes the place of chosen,
// which may be nil, or nil if none is to: after nothing but failures, if in the
// tier whose turn it is nobody is left who was not tried and may be well; and for the last
// attempt there can be, if somebody there is known to be good.
func reserve(s *backend.Snapshot, req Request, chosen *backend.Backend) *backend.Backend {
	if len(s.Reserve) == 0 || !req.Failed || req.Tried.Len() == 0 {
		return nil
	}
	last := req.Tried.Tries() == MaxTries-1
	if chosen != nil && !chosen.KnownBad() && !last {
		return nil
	}
	best := ofReserve(s, req.Tried, (*backend.Backend).KnownGood)
	if best == nil && chosen == nil {
		best = ofReserve(s, req.Tried, anybody)
	}
	return best
}

// anybody is for who takes all that there are.
func anybody(*backend.Backend) bool { return true }

// ofReserve returns the least busy of those members of the reserve's first tier
// that has one with room that was not tried.
func ofReserve(s *backend.Snapshot, tried Tried, those func(*backend.Backend) bool) (best *backend.Backend) {
	priority, weight := 0, 0
	for i, x := range s.Reserve {
		p, w := x.Target().Priority, s.ReserveWeights[i]
		if best != nil && p > priority {
			break
		}
		if (best == nil || LessLoaded(x, w, best, weight)) && x.HasRoom() && !tried.Has(x) && those(x) {
			best, priority, weight = x, p, w
		}
	}
	return best
}
