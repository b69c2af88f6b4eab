package backend

import "time"

// TimeOfDay returns t, a time of this process's clock, as the system's clock has
// it now: for people, who would take an ejection for over, or for endless, that
// ends by a clock which was set since. The difference to now is the monotonic
// clock's, if t has that.
func TimeOfDay(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	now := time.Now()
	return now.Add(t.Sub(now))
}
