package discovery

import (
	"context"
	"slices"
	"sync"
	"time"
)

// unionGrace is how long a union waits for the first list of every source once
// it has one.
const unionGrace = time.Second

// Named is a source with the name that keeps its members apart from those of
// others.
type Named struct {
	Name   string
	Source Source
}

// Union is a Source with the members of several. Their IDs begin with the name
// of their source and a slash; an address that two sources list is two
// members.
type Union []Named

var _ Source = Union(nil)

// Watch watches all sources. The first list comes when each has reported, or a
// second after the first one has.
func (u Union) Watch(ctx context.Context, update func([]Member)) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	type report struct {
		i       int
		members []Member
	}
	reports := make(chan report)
	for i, n := range u {
		wg.Go(func() {
			_ = n.Source.Watch(ctx, func(members []Member) { // its error is ctx's
				for j := range members {
					members[j].ID = n.Name + "/" + members[j].ID
				}
				select {
				case reports <- report{i, members}:
				case <-ctx.Done():
				}
			})
		})
	}

	lists := make([][]Member, len(u))
	missing := len(u)
	known := make([]bool, len(u))
	var grace <-chan time.Time
	started := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grace:
			if started {
				continue
			}
			started = true
		case r := <-reports:
			lists[r.i] = r.members
			if !known[r.i] {
				known[r.i] = true
				missing--
			}
			if grace == nil {
				grace = time.After(unionGrace)
			}
			started = started || missing == 0
		}
		if started {
			update(slices.Concat(lists...))
		}
	}
}

// Reports says how each source is doing.
func (u Union) Reports() (all []Report) {
	for _, n := range u {
		all = append(all, n.Source.Reports()...)
	}
	return all
}
