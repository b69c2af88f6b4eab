package consul

import "time"

// A watch may query this often: rateBurst times at once, so that a change is
// followed without delay, and in the long run once each rateInterval, so that
// a service that never rests costs Consul no more than that.
const (
	rateInterval = 200 * time.Millisecond
	rateBurst    = 8
)

// bucket is a token bucket that holds at most burst tokens and gains one each
// interval. It starts full.
type bucket struct {
	interval time.Duration
	burst    int
	full     time.Time // when it will be full again if nothing more is taken
}

// take takes a token and returns how long after now the caller has to wait
// before it acts on it, 0 if it need not wait.
func (b *bucket) take(now time.Time) time.Duration {
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(b.interval)
	return max(0, b.full.Sub(now)-time.Duration(b.burst)*b.interval)
}
