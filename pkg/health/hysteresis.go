package health

import (
	"time"

	"sluice/pkg/backend"
)

// Hysteresis turns results into a state. It is a plain value that reads no
// clock; its zero value is unknown with a rise and a fall of 1.
type Hysteresis struct {
	// Rise is how many passes in a row make a backend that is down go up, if
	// it did not go down several times lately; see Needed. Values below 1
	// count as 1.
	Rise int
	// Fall is how many failures in a row make a backend that is up go down.
	// Values below 1 count as 1.
	Fall int

	state    backend.State
	contrary int // results in a row that contradict state
	damping  damping
	out      bool // the present outage has been counted as a flap
}

// State returns the current state.
func (h *Hysteresis) State() backend.State { return h.state }

// Contrary returns how many results in a row contradict the state; above 0
// the backend is in transition.
func (h *Hysteresis) Contrary() int { return h.contrary }

// Needed returns how many contrary results in a row change the state now.
func (h *Hysteresis) Needed(now time.Time) int {
	switch h.state {
	case backend.Up:
		return max(h.Fall, 1)
	case backend.Down:
		return h.recovery(now)
	}
	return 1
}

// recovery returns how many passes in a row end an outage now.
func (h *Hysteresis) recovery(now time.Time) int { return passes(h.Rise, h.damping.level(now)) }

// flapped notes that an outage begins, unless one has begun already.
func (h *Hysteresis) flapped(now time.Time) {
	if !h.out {
		h.damping.flap(now)
		h.out = true
	}
}

// recovered notes that an outage has ended that was none of the state's.
func (h *Hysteresis) recovered() { h.out = h.state == backend.Down }

// Spacing returns the time to let pass between two results while they
// contradict the state: fast, or more, up to most, for who flaps.
func (h *Hysteresis) Spacing(now time.Time, fast, most time.Duration) time.Duration {
	if !h.out {
		return fast
	}
	return spacing(h.Rise, h.damping.level(now), fast, most)
}

// Observe takes one result and reports whether it changed the state, and
// after how many results in a row.
func (h *Hysteresis) Observe(pass bool, now time.Time) (changed bool, streak int) {
	next := backend.Down
	if pass {
		next = backend.Up
	}
	if h.state == next {
		if h.contrary > 0 && next == backend.Down {
			h.damping.goesOn(now)
		}
		h.contrary = 0
		return false, 0
	}
	h.contrary++
	if h.contrary < h.Needed(now) {
		return false, 0
	}
	streak = h.contrary
	h.state, h.contrary = next, 0
	if next == backend.Down {
		h.flapped(now)
	} else {
		h.out = false
	}
	return true, streak
}
