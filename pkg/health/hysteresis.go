package health

import "sluice/pkg/backend"

// Hysteresis turns results into a state. It is a plain value without a clock;
// its zero value is unknown with a rise and a fall of 1.
type Hysteresis struct {
	// Rise is how many passes in a row make a backend that is down go up.
	// Values below 1 count as 1.
	Rise int
	// Fall is how many failures in a row make a backend that is up go down.
	// Values below 1 count as 1.
	Fall int

	state    backend.State
	contrary int // results in a row that contradict state
}

// State returns the current state.
func (h *Hysteresis) State() backend.State { return h.state }

// Contrary returns how many results in a row contradict the state; above 0
// the backend is in transition.
func (h *Hysteresis) Contrary() int { return h.contrary }

// Observe takes one result and reports whether it changed the state, and
// after how many results in a row.
func (h *Hysteresis) Observe(pass bool) (changed bool, streak int) {
	needed, next := 1, backend.Down
	if pass {
		next = backend.Up
	}
	switch {
	case h.state == next:
		h.contrary = 0
		return false, 0
	case h.state == backend.Up:
		needed = max(h.Fall, 1)
	case h.state == backend.Down:
		needed = max(h.Rise, 1)
	}
	h.contrary++
	if h.contrary < needed {
		return false, 0
	}
	streak = h.contrary
	h.state, h.contrary = next, 0
	return true, streak
}
