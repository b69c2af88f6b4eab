package health

import (
	"math"
	"time"
)

const (
	// dampHalfLife is the time in which half of a penalty is forgotten.
	dampHalfLife = time.Minute
	// dampMost bounds the penalty, and with it how long a recovery can take:
	// dampPasses passes, an interval apart.
	dampMost = 9
	// dampPasses bounds the passes that damping asks for; beyond it, it asks
	// for the same number over more time.
	dampPasses = 32
)

// damping remembers how often a backend went down lately. It is the figure of
// merit of RFC 2439 (BGP route flap damping), section 4: each flap adds a
// penalty, which decays exponentially and has a ceiling. Where a router
// suppresses a route above a threshold, here the penalty raises the passes in
// a row that a recovery takes, and what flaps faster than that stays down.
// Its zero value has no penalty.
type damping struct {
	penalty float64
	at      time.Time // when penalty was what it says
}

// flap notes that the backend went down.
func (d *damping) flap(now time.Time) {
	d.penalty, d.at = min(d.now(now)+1, dampMost), now
}

// goesOn notes that a recovery failed: the flapping goes on, so nothing of it
// is forgotten yet.
func (d *damping) goesOn(now time.Time) { d.at = now }

// now returns the penalty as of now.
func (d *damping) now(now time.Time) float64 {
	if d.penalty == 0 {
		return 0
	}
	return d.penalty * math.Exp2(-float64(now.Sub(d.at))/float64(dampHalfLife))
}

// level is 0 for who went down once lately, and one more for each other time.
func (d *damping) level(now time.Time) int { return max(0, int(math.Round(d.now(now)))-1) }

// passes returns how many passes in a row a recovery takes at a level: four
// times as many at each, up to dampPasses.
func passes(rise, level int) int {
	rise = max(rise, 1)
	for ; level > 0 && rise < dampPasses; level-- {
		rise = min(4*rise, dampPasses)
	}
	return rise
}

// spacing returns the time between two checks of a recovery at a level: fast,
// and twice as much at each level that passes has no more passes for, up to
// most.
func spacing(rise, level int, fast, most time.Duration) time.Duration {
	rise = max(rise, 1)
	for ; level > 0; level-- {
		if rise < dampPasses {
			rise = min(4*rise, dampPasses)
		} else if fast = min(2*fast, most); fast == most {
			break
		}
	}
	return fast
}
