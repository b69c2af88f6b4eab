package history

const (
	// Steps is how many steps are kept.
	Steps = 900
	// Minutes is how many whole minutes are kept besides.
	Minutes = 60
	// MaxServices is how many services are kept, of those with traffic.
	MaxServices = 128
	// MaxMarks is how many marks are kept, and MaxText how long their texts are.
	MaxMarks = 512
	MaxText  = 256
)

// ring is the last steps of one service. Its zero value is empty.
type ring struct {
	steps [Steps]Step
	first int // number of the first step; those before are unknown
	last  int // number of the latest step; first-1 for none
	seen  int // number of the step in which its service was seen last

	minutes      [Minutes]Step
	firstMinute  int // as first and last
	latestMinute int
}

// newRing returns a ring whose first step will have that number.
func newRing(first int) *ring {
	m := first / 60
	return &ring{first: first, last: first - 1, seen: first, firstMinute: m, latestMinute: m - 1}
}

// put sets step n, and those that were left out before it to unknown.
func (r *ring) put(n int, s Step) {
	for i := max(r.last+1, n-Steps); i < n; i++ {
		r.steps[i%Steps] = unknown()
	}
	r.steps[n%Steps] = s
	r.last = n
}

// at returns step n.
func (r *ring) at(n int) Step {
	if n < r.first || n > r.last || n <= r.last-Steps {
		return unknown()
	}
	return r.steps[n%Steps]
}

// putMinute sets minute m, and those that were left out before it to unknown.
func (r *ring) putMinute(m int, s Step) {
	for i := max(r.latestMinute+1, m-Minutes); i < m; i++ {
		r.minutes[i%Minutes] = unknown()
	}
	r.minutes[m%Minutes] = s
	r.latestMinute = m
}

// minute returns minute m.
func (r *ring) minute(m int) Step {
	if m < r.firstMinute || m > r.latestMinute || m <= r.latestMinute-Minutes {
		return unknown()
	}
	return r.minutes[m%Minutes]
}
