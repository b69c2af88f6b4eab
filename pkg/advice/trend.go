package advice

import (
	"math"
	"slices"
)

const (
	// riseMinutes are the latest minutes, which are compared with those before.
	riseMinutes = 5
	// leastBefore is how many minutes before there must be.
	leastBefore = 20
	// leastRequests is how many requests a minute must have to count.
	leastRequests = 30
	// leastRise is by what part the latency must have risen.
	leastRise = 0.15
	// spreads is how many times the spread of the hour's minutes it must be, too.
	spreads = 2.5
	// beyond is how many times as far above the hour's median as the highest of the
	// hour's own stretches of riseMinutes the last one must be.
	beyond = 3
)

// risen reports whether the latency has risen for good: the median of the last
// riseMinutes is more than leastRise above that of the hour before, and beyond
// times as far above it as any earlier stretch of riseMinutes was. So an hour that
// is noisy, or whose noise comes in waves, needs a larger rise, and one or two
// slow minutes are none.
//
// By simulation (TestFalseAlarms), of a service whose latency does not rise: with
// noise of up to 20 % that is new each minute it says so falsely less than once in
// a week; with noise of 10 to 20 % that comes in waves of a few minutes about once
// a day, and with waves of 60 % up to 3.5 times a day. Never are more than 0.7 %
// of the times at which it is asked false. A real rise of 30 % is found within 6
// minutes in 9 of 10 cases where noise is 5 % (TestRiseIsFound).
func risen(minutes []Minute) (before, now float64, ok bool) {
	var known []float64
	for _, m := range minutes {
		if m.Requests >= leastRequests && !math.IsNaN(m.Latency) && m.Latency > 0 {
			known = append(known, m.Latency)
		} else if len(known) > 0 {
			known = append(known, math.NaN())
		}
	}
	if len(known) < riseMinutes+leastBefore {
		return 0, 0, false
	}
	last := known[len(known)-riseMinutes:]
	var hour []float64
	for _, v := range known[:len(known)-riseMinutes] {
		if !math.IsNaN(v) {
			hour = append(hour, v)
		}
	}
	if len(hour) < leastBefore || slices.ContainsFunc(last, math.IsNaN) {
		return 0, 0, false
	}
	now, before = median(last), median(hour)
	if now <= before*(1+leastRise) || slices.Min(last) <= before {
		return before, now, false
	}
	deviations := make([]float64, len(hour))
	for i, v := range hour {
		deviations[i] = math.Abs(v - before)
	}
	deviation := 1.4826 * median(deviations) // that of a normal distribution
	if now-before <= spreads*deviation {
		return before, now, false
	}
	highest := before
	for i := 0; i+riseMinutes <= len(hour); i++ {
		highest = max(highest, median(hour[i:i+riseMinutes]))
	}
	return before, now, now-before > beyond*(highest-before)
}

// median returns the median of values in any order.
func median(values []float64) float64 { return middle(slices.Sorted(slices.Values(values))) }

// middle returns the median of sorted values.
func middle(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
