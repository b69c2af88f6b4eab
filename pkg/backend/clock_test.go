package backend

import (
	"testing"
	"time"
)

// TestTimeOfDay checks that times are told as they are while nobody sets the
// clock, with the monotonic clock's reading and without.
func TestTimeOfDay(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, at := range []time.Time{now, now.Add(-time.Hour), now.Add(time.Hour), now.Round(0), time.Unix(0, 0)} {
		if got := TimeOfDay(at); got.Sub(at).Abs() > time.Second {
			t.Errorf("unexpected time of day; got %v; want %v", got, at)
		}
	}
	if got := TimeOfDay(time.Time{}); !got.IsZero() {
		t.Errorf("unexpected time of day of no time: %v", got)
	}
}
