package dns

import (
	"slices"
	"strings"
	"time"

	"sluice/pkg/backend"
)

// Servers leave members out of answers without a word: Consul's DNS sends what
// fits into a packet, AWS Cloud Map eight of however many there are. So that a
// member is not in an answer says little about it, and keeper decides what it
// means. It is a plain value; the clock is passed in.
//
// A whole answer that lists fewer than before, and nobody new, is believed: it
// is what becomes of a registry when somebody leaves. Otherwise a member that
// is missed stays
//
//   - for as long as keep if half or more of all are missed at once, and its
//     own check passes: the registry may have lost its memory;
//   - for swapAnswers answers if others have come in its place, and its own
//     check does not fail: it was replaced, or it takes turns with them;
//   - for as long as keep if a quarter or more were replaced at once, or the
//     answer may not be whole, and its own check does not fail.
//
// If members that were missed come back while others go, answers rotate: then
// members are the union of all answers within the window, until an answer has
// listed all of them for as long.
type keeper struct {
	keep time.Duration

	known    map[string]*sighting // by ID
	rotating bool
	allSince time.Time // while rotating: since when all answers have listed everybody
}

// sighting is what is known of a member.
type sighting struct {
	member
	last   time.Time // when an answer listed it
	missed int       // answers since then
	used   bool      // it is a member as yet
	why    reason    // for which it stays although it is missed
}

// reason is why a member that is missed stays.
type reason uint8

const (
	listed reason = iota // it is not missed
	lost                 // together with half of all
	swapped
	partial
	turns
)

const (
	// swapAnswers is for how many answers a member is missed before it is
	// believed to be gone, if others came in its place.
	swapAnswers = 3
	// windowAnswers is from how many answers members are taken while they
	// rotate: of 100 members, 50 answers with 8 each miss 1 or 2.
	windowAnswers = 50
)

// answer is what a resolution brought.
type answer struct {
	members []member
	whole   bool          // it came over a way that does not cut answers
	turns   bool          // it was asked for twice, and each listed somebody whom the other did not
	ttl     time.Duration // until the next one
}

// standing is what sluice's own check says of a member's address.
type standing struct{ up, down func(address string) bool }

// next returns who is a member after an answer, ordered by ID, and how many of
// them it did not list.
func (k *keeper) next(now time.Time, a answer, own standing) (members []member, kept int) {
	if k.known == nil {
		k.known = make(map[string]*sighting)
	}
	here := make(map[string]bool, len(a.members))
	before, fresh, returned := 0, 0, 0
	for _, s := range k.known {
		if s.used {
			before++
		}
	}
	for _, m := range a.members {
		here[m.ID] = true
		s := k.known[m.ID]
		switch {
		case s == nil:
			s = &sighting{}
			k.known[m.ID] = s
			fresh++
		case s.missed > 0:
			returned++
		}
		*s = sighting{member: m, last: now, used: true}
	}
	var missed []*sighting
	gone := 0 // members that are missed for the first time, though they do not fail
	for id, s := range k.known {
		if here[id] {
			continue
		}
		missed = append(missed, s)
		if s.missed++; s.missed == 1 && !own.down(s.Address) {
			gone++
		}
	}
	k.turn(now, a.turns || gone > 0 && returned > 0, len(missed) > 0, a.ttl)
	why := why(a.whole, before, gone, fresh+returned)
	for _, s := range missed {
		if s.missed == 1 {
			s.why = why
		}
		s.used = s.used && k.stays(now, s, a.ttl, own)
		if !s.used && now.Sub(s.last) > k.window(a.ttl) {
			delete(k.known, s.ID)
		}
	}
	return k.members()
}

// why says for which reason members may stay that are missed for the first
// time, by how many there were before, how many are gone, and how many have
// come.
func why(whole bool, before, gone, came int) reason {
	switch {
	case !whole:
		return partial
	case came > 0 && 2*came >= gone && 4*gone >= before && gone > 1:
		return partial // many for many
	case gone > 1 && 2*gone >= before:
		return lost
	case came > 0:
		return swapped
	}
	return listed
}

// stays reports whether a member that is missed is one still.
func (k *keeper) stays(now time.Time, s *sighting, ttl time.Duration, own standing) bool {
	age := now.Sub(s.last)
	if k.rotating {
		s.why = turns
		return age <= k.window(ttl)
	}
	switch s.why {
	case lost:
		return age < k.keep && own.up(s.Address)
	case swapped:
		return s.missed < swapAnswers && k.keep > 0 && !own.down(s.Address)
	case partial, turns:
		return age < k.keep && !own.down(s.Address)
	}
	return false
}

// turn takes note of whether members take turns in answers.
func (k *keeper) turn(now time.Time, swap, missing bool, ttl time.Duration) {
	switch {
	case swap:
		k.rotating, k.allSince = true, time.Time{}
	case !k.rotating:
	case missing:
		k.allSince = time.Time{}
	case k.allSince.IsZero():
		k.allSince = now
	case now.Sub(k.allSince) > k.window(ttl):
		k.rotating = false
	}
}

// window is for how long an answer counts while answers rotate.
func (k *keeper) window(ttl time.Duration) time.Duration {
	return max(k.keep, windowAnswers*ttl)
}

func (k *keeper) members() (members []member, kept int) {
	for _, s := range k.known {
		if !s.used {
			continue
		}
		m := s.member
		if s.missed > 0 {
			kept++
			if s.why == lost {
				m.Status = backend.Absent
			}
		}
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.ID, b.ID) })
	return members, kept
}

// losing reports whether members stay because half of all were missed at once.
func (k *keeper) losing() bool {
	for _, s := range k.known {
		if s.used && s.missed > 0 && s.why == lost {
			return true
		}
	}
	return false
}

// forget begins anew, after an answer that there is nothing was believed.
func (k *keeper) forget() { k.known, k.rotating = nil, false }
