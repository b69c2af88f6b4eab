package backend

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Registry is the Signal of changes that the source of membership brought.
const Registry = "registry"

// What a change of membership makes of a member, in Change.To, beside the
// names of each Status.
const (
	Joined     = "joined"
	Left       = "left"
	Reweighted = "reweighted"
)

// Statuses lists every Status, for whoever writes one metric series for each.
func Statuses() []Status { return []Status{Passing, Warning, Critical, Maintenance, Absent} }

// Membership counts what sources of membership changed. All fields are safe for
// concurrent use.
type Membership struct {
	Joined, Left atomic.Uint64
}

// word is what the source of membership said of a backend, counted.
type said struct {
	since      atomic.Int64 // when the status was last changed, in Unix nanoseconds
	statuses   [Absent + 1]atomic.Uint64
	reweighted atomic.Uint64
}

// Said returns how often the source's word on the backend has become s.
func (b *Backend) Said(s Status) uint64 { return b.said.statuses[s].Load() }

// Reweighted returns how often the source has changed the backend's weight
// while its status stayed.
func (b *Backend) Reweighted() uint64 { return b.said.reweighted.Load() }

// Standing is why a backend stands as it does.
type Standing struct {
	Since  time.Time
	Signal string // who says so: a check, live traffic, the backend itself or Registry
	Streak int    // how many results in a row led to it; 0 for a word
	Detail string // the last error
}

// Standing returns what rules how the backend is used now, and since when: the
// registry's word unless that is passing, an ejection, or else our own check.
func (b *Backend) Standing() Standing {
	t, c := b.target.Load(), b.condition.Load()
	switch o := b.Order(); {
	case o.out(), o.Force == ForceUp:
		return Standing{Since: b.ordered(), Signal: Operator, Detail: o.words()}
	case t.Status == Critical, t.Status == Maintenance, t.Status == Warning && c.State != Down:
		return Standing{Since: time.Unix(0, b.said.since.Load()), Signal: Registry}
	case c.State != Down && c.Ejection.Active():
		e := c.Ejection
		return Standing{Since: e.Since, Signal: "live traffic", Streak: e.Streak, Detail: e.Cause}
	}
	return Standing{Since: c.Since, Signal: c.Signal, Streak: c.Streak, Detail: c.Detail}
}

// OnMember registers f, which is called with every change that Set brings: a
// member that joins or leaves, or stands otherwise than before. It is called
// within Set, in the order of IDs, and must not use the pool. There is one such
// function at most.
func (p *Pool) OnMember(f func(b *Backend, c Change)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onMember = f
}

// Membership returns the counts of the pool's changes of membership.
func (p *Pool) Membership() *Membership { return &p.membership }

// tell takes note of a change of a member; p.mu is held.
func (p *Pool) tell(b *Backend, c Change) {
	switch c.To {
	case Joined:
		p.membership.Joined.Add(1)
	case Left:
		p.membership.Left.Add(1)
	default:
		b.remember(c)
	}
	if p.onMember != nil {
		p.onMember(b, c)
	}
}

// moved returns the change from one word of the source on a member to the
// next, if it makes one stand otherwise.
func moved(old, next Target, now time.Time) (c Change, changed bool) {
	c = Change{At: now, Signal: Registry}
	weights := ""
	if old.Weight != next.Weight {
		weights = fmt.Sprintf("weight %d, was %d", next.Weight, old.Weight)
	}
	switch {
	case old.Status != next.Status:
		c.To, c.Detail = next.Status.String(), "was "+old.Status.String()
		if weights != "" {
			c.Detail += "; " + weights
		}
	case weights != "":
		c.To, c.Detail = Reweighted, weights
	default:
		return c, false
	}
	return c, true
}

// note takes note of what the source now says of a member that stays.
func (b *Backend) note(old, next Target, c Change) {
	if old.Status != next.Status {
		b.said.since.Store(c.At.UnixNano())
		b.said.statuses[next.Status].Add(1)
		return
	}
	b.said.reweighted.Add(1)
}
