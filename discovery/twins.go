package discovery

import (
	"slices"
	"strings"

	"sluice/pkg/backend"
)

// Twins are entries of a list that mean the same backend, since they have one
// address.
type Twins struct {
	Address string
	IDs     []string // of all, in order; the first is the one that stands for them
}

// Merge returns members with each address once. Of several entries with one
// address the healthiest stands for all, with its weight: one node's check can
// fail because of that node. An explicit word on any of them is one on all:
// maintenance, or a weight of 0 that somebody chose. known says which ID stood
// for an address so far; it does so again while it is listed, so that a backend
// stays the same. The order of what is left is kept.
func Merge(members []Member, known map[string]string) (merged []Member, twins []Twins) {
	byAddress := make(map[string][]int, len(members))
	double := false
	for i, m := range members {
		byAddress[m.Address] = append(byAddress[m.Address], i)
		double = double || len(byAddress[m.Address]) > 1
	}
	if !double {
		return members, nil
	}
	for i, m := range members {
		all := byAddress[m.Address]
		if all[0] != i {
			continue
		}
		if len(all) > 1 {
			var t Twins
			m, t = mergeOne(members, all, known[m.Address])
			twins = append(twins, t)
		}
		merged = append(merged, m)
	}
	return merged, twins
}

// mergeOne merges the members with the given indexes.
func mergeOne(members []Member, all []int, known string) (Member, Twins) {
	best := members[all[0]]
	t := Twins{Address: best.Address}
	maintenance, drain := false, false
	id, priority, from := best.ID, best.Priority, best.From
	for _, i := range all {
		m := members[i]
		if healthier(m, best) {
			best = m
		}
		if id = min(id, m.ID); m.Priority < priority {
			priority, from = m.Priority, m.From
		}
		maintenance = maintenance || m.Status == backend.Maintenance
		drain = drain || m.Weight == 0 && m.Spare == 0
		t.IDs = append(t.IDs, m.ID)
	}
	if slices.Contains(t.IDs, known) {
		id = known
	}
	best.ID, best.Priority, best.From = id, priority, from
	if maintenance {
		best.Status = backend.Maintenance
	}
	if drain {
		best.Weight, best.Spare = 0, 0
	}
	slices.SortFunc(t.IDs, func(a, b string) int {
		switch {
		case a == b:
			return 0
		case a == id:
			return -1
		case b == id:
			return 1
		}
		return strings.Compare(a, b)
	})
	t.IDs = slices.Compact(t.IDs)
	return best, t
}

// healthier reports whether what is said of m is better than what is said of n.
func healthier(m, n Member) bool {
	rank := func(m Member) int {
		switch m.Status {
		case backend.Passing:
			return 0
		case backend.Warning:
			return 1
		case backend.Absent:
			return 2
		case backend.Critical:
			return 3
		}
		return 4
	}
	return rank(m) < rank(n)
}
