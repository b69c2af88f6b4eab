package backend

import "fmt"

// Verdict is what comes of the source's word on a member and of sluice's own
// check of it.
type Verdict uint8

const (
	// Route: new connections, by the weight.
	Route Verdict = iota
	// RouteWarned: new connections, by the weight that came with the warning.
	RouteWarned
	// Keep: new connections, although its source lists the member no more,
	// for as long as whoever keeps it in the list does.
	Keep
	// Avoid: no new connections, as long as enough others can take them.
	Avoid
	// Drain: no new connections, whatever happens to the others.
	Drain
	// Remove: no new connections, and nobody vouches for the member any more.
	Remove
)

// String returns the verdict in lower case.
func (v Verdict) String() string {
	switch v {
	case Route:
		return "route"
	case RouteWarned:
		return "route with the warning weight"
	case Keep:
		return "keep"
	case Avoid:
		return "avoid"
	case Drain:
		return "drain"
	case Remove:
		return "remove"
	}
	return fmt.Sprintf("verdict(%d)", v)
}

// Decide is the table in which discovery and health meet; see the package
// doc. The source's word counts as of when it was last said.
func Decide(word Status, own State) Verdict {
	switch word {
	case Critical, Maintenance:
		return Drain
	case Absent:
		if own == Up {
			return Keep
		}
		return Remove
	}
	switch {
	case own == Down:
		return Avoid
	case word == Warning:
		return RouteWarned
	}
	return Route
}
