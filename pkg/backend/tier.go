package backend

import (
	"cmp"
	"slices"
)

// MaxPriority is the largest priority that a source gives by itself, that of an
// SRV record; services that others fail over to come after.
const MaxPriority = 65535

// inTurn returns those of all, in their order, whose turn it is: the members of
// the first tier, by Target.Priority, in which one is available, as in RFC 2782
// and as HAProxy's backup servers are used. If none is in any, it is the turn of
// the first tier that is not drained as a whole, so that what is done for want of
// anybody better is done there. tier is which it is, of how many, counted from 0.
func inTurn(all []*Backend) (members []*Backend, tier, tiers int) {
	priorities := make([]int, 0, 4)
	for _, b := range all {
		if p := b.target.Load().Priority; !slices.Contains(priorities, p) {
			priorities = append(priorities, p)
		}
	}
	if len(priorities) <= 1 {
		return all, 0, len(priorities)
	}
	slices.Sort(priorities)
	tier = turn(all, priorities)
	for _, b := range all {
		if b.target.Load().Priority == priorities[tier] {
			members = append(members, b)
		}
	}
	return members, tier, len(priorities)
}

// turn returns the index in priorities of the one whose turn it is.
func turn(all []*Backend, priorities []int) int {
	best := make([]standing, len(priorities)) // of each tier's members
	for i := range best {
		best[i] = drained
	}
	for _, b := range all {
		i := slices.Index(priorities, b.target.Load().Priority)
		best[i] = min(best[i], b.standing())
	}
	if i := slices.Index(best, available); i >= 0 {
		return i
	}
	return max(0, slices.IndexFunc(best, func(s standing) bool { return s != drained }))
}

// reserve returns those of all that are available and of a later tier than
// members, whose turn it is; the earlier tiers first, each by ID.
func reserve(all, members []*Backend) (later []*Backend) {
	if len(members) == 0 {
		return nil
	}
	now := members[0].target.Load().Priority
	for _, b := range all {
		if b.target.Load().Priority > now && b.standing() == available {
			later = append(later, b)
		}
	}
	slices.SortStableFunc(later, func(a, b *Backend) int { return cmp.Compare(a.target.Load().Priority, b.target.Load().Priority) })
	return later
}
