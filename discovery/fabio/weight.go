package fabio

import (
	"math"

	"sluice/discovery"
	"sluice/pkg/backend"
)

// shareUnits is what all the traffic of a route is divided into where some of
// its members have a fixed share, as in Fabio.
const shareUnits = 10_000

// share sets the weights of members, whose fixed shares are given, by Fabio's
// rules: fixed shares first, scaled down if they are more than the whole; the
// others divide what is left, here by the weights they have. Members that take
// no connections now do not count, so that shares are those of the traffic. It
// reports whether there was anything to do.
func share(members []discovery.Member, fixed []float64) bool {
	var sumFixed, sumOthers float64
	any := false
	for i, m := range members {
		any = any || fixed[i] > 0
		switch {
		case !takesTraffic(m):
		case fixed[i] > 0:
			sumFixed += fixed[i]
		default:
			sumOthers += float64(m.Weight)
		}
	}
	if !any {
		return false
	}
	left := max(1-sumFixed, 0)
	for i := range members {
		m := &members[i]
		if m.Weight == 0 {
			continue // the source wants no connections to it
		}
		units := fixed[i] * shareUnits
		if fixed[i] == 0 {
			units = 0
			if sumOthers > 0 {
				units = left * shareUnits * float64(m.Weight) / sumOthers
			}
		}
		m.Weight = int(math.Round(units))
		if units > 0 {
			m.Weight = min(max(m.Weight, 1), backend.MaxWeight)
		}
	}
	return true
}

func takesTraffic(m discovery.Member) bool {
	return m.Weight > 0 && m.Status != backend.Critical && m.Status != backend.Maintenance
}
