package discovery

import "context"

// Later is a Source whose members come after others: After is added to their
// priority. From is what they say they are members of, see Member.From.
type Later struct {
	Source
	After int
	From  string
}

// Watch is Source's, with the priorities changed.
func (l Later) Watch(ctx context.Context, update func([]Member)) error {
	return l.Source.Watch(ctx, func(members []Member) {
		for i := range members {
			members[i].Priority += l.After
			members[i].From = l.From
		}
		update(members)
	})
}
