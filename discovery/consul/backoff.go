package consul

import "time"

const (
	minBackoff = 250 * time.Millisecond
	maxBackoff = 15 * time.Second
)

// backoff returns how long to wait after the given number of failures in a
// row, 1 or more. The wait is spread evenly, by random in [0, 1), between
// minBackoff and a bound that doubles with each failure up to maxBackoff, so
// that the watches of many processes do not come back at the same moment.
func backoff(failures int, random float64) time.Duration {
	bound := maxBackoff
	if failures < 6 { // 0.25 s * 2^6 is above maxBackoff
		bound = minBackoff << failures
	}
	return minBackoff + time.Duration(random*float64(bound-minBackoff))
}
