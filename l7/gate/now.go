package gate

import "time"

// Now is a moment, as a driver has read its clocks for the event that it tells.
type Now struct {
	// Mono is in ns since any moment that the driver reckons from; it is above 0.
	// Time-outs and latencies are reckoned in it. While the driver is kept from
	// running it stands still.
	Mono int64
	// Stalled is the moment, as Mono, until which the driver was last kept from
	// running: who took long, or gave up, before need not be at fault. 0 or less
	// means never.
	Stalled int64
	// Time is for durations that people read, and for what drivers share. It has
	// a monotonic reading.
	Time time.Time
}

// stalledSince reports whether the driver was kept from running after the moment
// at.
func (n Now) stalledSince(at int64) bool { return n.Stalled > 0 && n.Stalled >= at }
