package consul

import (
	"slices"
	"strings"
	"time"

	"sluice/discovery"
	"sluice/pkg/backend"
)

// keeper decides who stays in use although Consul, with its leader's
// confirmation, no longer lists them. It is a plain value; the clock is passed
// in.
//
// When a list empties or loses more than half of its members at once, Consul
// may have been restarted without its data; but not if contact was never broken
// and it is a single one that goes, or its node has left the catalogue, too:
// then somebody has deregistered it, or the node. Those of the lost that Consul
// called passing or warning, and whose own check passes, are kept as
// [backend.Absent], each until it is listed again, by ID or address, be it
// without the service's tag; its own check does not pass; limit is over; or
// enough others are there: half as many as before the loss, listed and passing
// their own check. What Consul says of one it lists acts at once, and so does
// the loss of few, unless Consul says itself that it hides some.
type keeper struct {
	limit time.Duration // 0 keeps nobody
	up    func(address string) bool

	before int // members listed before the loss; 0 if nobody is kept
	kept   map[string]keptMember
}

type keptMember struct {
	discovery.Member
	until time.Time
}

// next returns the members in use after a step from the list last to the list
// listed, ordered by ID, and how many of them are kept. leftOut are the IDs of
// those that are listed but no members any more, or whose nodes have left. broken says that
// contact was lost in between, or that Consul was restored or replaced, and
// partial that Consul says itself that its list is not whole.
func (k *keeper) next(now time.Time, last, listed []discovery.Member, leftOut []string, broken, partial bool) (members []discovery.Member, kept int) {
	switch {
	case k.limit <= 0 || len(last) == 0:
	case partial && missing(last, listed) > 0, doubtful(last, listed) && (broken || missing(last, listed) > 1):
		k.lose(now, last, listed)
	}
	k.release(now, listed, leftOut, partial)
	if len(k.kept) == 0 {
		k.before, k.kept = 0, nil
		return listed, 0
	}
	members = slices.Clone(listed)
	for _, m := range k.kept {
		members = append(members, m.Member)
	}
	sortMembers(members)
	return members, len(k.kept)
}

// lose keeps who is in last and not in listed.
func (k *keeper) lose(now time.Time, last, listed []discovery.Member) {
	ids := make(map[string]bool, len(listed))
	for _, m := range listed {
		ids[m.ID] = true
	}
	k.before = max(k.before, len(last))
	if k.kept == nil {
		k.kept = make(map[string]keptMember)
	}
	for _, m := range last {
		if !ids[m.ID] && (m.Status == backend.Passing || m.Status == backend.Warning) {
			m.Status = backend.Absent
			k.kept[m.ID] = keptMember{m, now.Add(k.limit)}
		}
	}
}

// release lets go of those that are no longer to be kept.
func (k *keeper) release(now time.Time, listed []discovery.Member, leftOut []string, partial bool) {
	if len(k.kept) == 0 {
		return
	}
	back, good := make(map[string]bool, 2*len(listed)), 0
	for _, id := range leftOut {
		back[id] = true
	}
	for _, m := range listed {
		back[m.ID], back[m.Address] = true, true
		if (m.Status == backend.Passing || m.Status == backend.Warning) && k.up(m.Address) {
			good++
		}
	}
	for id, m := range k.kept {
		if back[id] || back[m.Address] || !now.Before(m.until) || 2*good >= k.before && !partial || !k.up(m.Address) {
			delete(k.kept, id)
		}
	}
}

func sortMembers(members []discovery.Member) {
	slices.SortFunc(members, func(a, b discovery.Member) int { return strings.Compare(a.ID, b.ID) })
}
