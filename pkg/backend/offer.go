package backend

import (
	"slices"
	"time"
)

// Policy says how a pool chooses whom it offers, beyond whether each member is
// eligible by itself. The zero value offers those that are, and lets none be
// ejected.
type Policy struct {
	// Panic is the part of the members, in percent, below which all of them
	// but drained ones are offered: too many are bad to believe it, and the few
	// others could not bear what all had. 0 means never. It is Envoy's panic
	// threshold; a member counts as one, whatever its weight. Those that refuse
	// connections are left out as long as there is anybody else: of them it is
	// believed, because live traffic and our own check agree.
	Panic int
	// MaxEjection is how many of the members, in percent, may be ejected at a
	// time; one may always be if another is available. 0 means none. It is
	// Envoy's max_ejection_percent.
	MaxEjection int
	// Zone is where this process runs; empty if zones make no difference. It
	// is preferred as far as its members can bear it; see Zonal.
	Zone string
	// SlowStart is for how long a member starts slowly that was drained and is
	// not any more, see Backend.Warm: whoever comes back from maintenance is
	// as cold as who comes back from the dead. 0 means never.
	SlowStart time.Duration
	// HashBalance is how many slots strategies that hash let one member have at
	// a time, in percent of its part of all; 0 means 125, below 0 any number. It
	// is HAProxy's hash-balance-factor.
	HashBalance int
}

// standing is what a member is by itself.
type standing uint8

const (
	available standing = iota
	ejected            // live traffic had failed on it
	avoided            // our own check says it is down
	drained            // someone said explicitly not to use it, or nobody vouches for it
)

func (b *Backend) standing() standing {
	return standingOf(b.target.Load(), b.condition.Load(), b.order.Load())
}

// standingOf combines the word of the source, health's and the operator's, whose
// order may be nil.
func standingOf(t *Target, c *Condition, o *Order) standing {
	verdict := Decide(t.Status, c.State)
	switch {
	case o.out(), o.weigh(t.Weight) <= 0:
		return drained
	case o != nil && o.Force == ForceUp && t.Status != Maintenance:
		return available
	case verdict == Drain, verdict == Remove, c.Word.Drain:
		return drained
	case verdict == Avoid:
		return avoided
	case c.Ejection.Active():
		return ejected
	}
	return available
}

// refuses reports whether nobody can connect to b, neither our own check nor
// live traffic.
func (b *Backend) refuses() bool {
	c := b.condition.Load()
	return c.State == Down && c.Unreachable && b.streak.word.Load()&0xff != 0
}

// maxEjected returns how many of so many members may be ejected at a time.
func maxEjected(members, percent int) int {
	if percent <= 0 {
		return 0
	}
	return max(1, members*percent/100)
}

// census is how many members have each standing.
type census [drained + 1]int

func count(all []*Backend) (n census) {
	for _, b := range all {
		n[b.standing()]++
	}
	return n
}

// candidates returns how many members could be offered at all.
func (n census) candidates() int { return n[available] + n[ejected] + n[avoided] }

// panics reports whether so many members on offer are too few.
func (p Policy) panics(offered, candidates int) bool { return offered*100 < p.Panic*candidates }

// offer chooses those that get new connections, in the order of all. An
// ejection does not count if that would leave nobody, or if the pool has
// shrunk since and too many are ejected now; those that would be back first
// are then offered.
func (p Policy) offer(all []*Backend) (offered []*Backend, panicking bool) {
	// Standings can change while this runs; whoever changes one publishes
	// again.
	standings := make([]standing, len(all))
	var n census
	var out []*Backend // the ejected ones
	for i, b := range all {
		standings[i] = b.standing()
		n[standings[i]]++
		if standings[i] == ejected {
			out = append(out, b)
		}
	}
	spare := max(0, len(out)-maxEjected(n.candidates(), p.MaxEjection))
	if n[available] == 0 {
		spare = len(out)
	}
	if spare > 0 {
		slices.SortStableFunc(out, func(a, b *Backend) int {
			return a.condition.Load().Ejection.Until.Compare(b.condition.Load().Ejection.Until)
		})
		out = out[:spare]
	}
	panicking = p.panics(n[available]+spare, n.candidates())
	offered = make([]*Backend, 0, len(all))
	var refusing []*Backend
	for i, b := range all {
		switch {
		case panicking && standings[i] == avoided && b.refuses():
			refusing = append(refusing, b)
		case standings[i] == available, panicking && standings[i] != drained, standings[i] == ejected && spare > 0 && slices.Contains(out, b):
			offered = append(offered, b)
		}
	}
	if len(offered) == 0 {
		offered = refusing
	}
	return offered, panicking
}
