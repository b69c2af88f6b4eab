package balance

import (
	"math/bits"

	"sluice/pkg/backend"
)

// Slots are whole and shares are not: of four requests in flight, 0.36 belong
// to the light one of two backends with weights 10 and 1. Whoever compares
// active/weight gives it too many, because it is often idle and then wins;
// whoever compares (active+1)/weight gives it none, because it loses until the
// other has ten. What is right is an urn. Each backend has as many slots as its
// weight says, the lightest one at least one; all that are taken are out of the
// urn, and a pick draws one of those that are in it. If every set of so many
// slots is equally likely to be taken now, it is so after a release and the
// next pick, whoever was released. So each backend has its part of the active
// slots on average, at any number of them, and its part of the picks if all are
// equally fast. When the urn is empty each gets as many slots again, so that
// under load the loads are level. With equal weights, one slot each, the draw is
// among the least busy ones.

// rounds returns how often all slots were put in the urn, once at least, when
// one more is to be taken: weights are of all backends together, and unit is
// the weight that is one slot.
func rounds(active, weights, unit int64) int64 {
	return max(1, ((active+1)*unit+weights-1)/weights)
}

// inUrn returns how much of a backend is in the urn, in parts of unit.
func inUrn(active, weight, rounds, unit int64) int64 {
	return max(0, rounds*weight-active*unit)
}

// second decides between two backends with so many active slots and such
// weights, which are positive, by the urn of the two; it reports whether the
// second one is drawn. lot is a random number.
func second(activeA, weightA, activeB, weightB int64, lot uint32) bool {
	unit := min(weightA, weightB)
	if weightA == weightB && activeA == activeB {
		return lot&1 == 1
	}
	n := rounds(activeA+activeB, weightA+weightB, unit)
	a, b := inUrn(activeA, weightA, n, unit), inUrn(activeB, weightB, n, unit)
	return below(a+b, lot) >= a
}

// below returns a number from 0 to n-1, or 0 for an n of 0, that lot chooses.
func below(n int64, lot uint32) int64 {
	hi, lo := bits.Mul64(uint64(n), uint64(lot))
	return int64(hi<<32 | lo>>32)
}

// LessLoaded reports whether a will have fewer active slots per weight than b
// if it gets one more, and b if that does.
func LessLoaded(a *backend.Backend, weightA int, b *backend.Backend, weightB int) bool {
	return (a.Active()+1)*int64(weightB) < (b.Active()+1)*int64(weightA)
}
