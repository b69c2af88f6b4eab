package limit

import (
	"sync/atomic"
	"time"
)

// Concurrency bounds how many requests of a service are in flight: by a number
// that is given, or by one that follows what the service can take.
//
// All methods are safe for concurrent use, do not block and do not allocate.
type Concurrency struct {
	inFlight atomic.Int64
	limit    atomic.Int64
	adaptive *adaptive // nil if the limit is fixed
}

// NewConcurrency returns a bound of most requests in flight.
func NewConcurrency(most int) *Concurrency {
	c := &Concurrency{}
	c.limit.Store(int64(most))
	return c
}

// NewAdaptive returns a bound that follows the latency of the service, between
// least, which is 1 or more, and most. See adaptive for how.
func NewAdaptive(least, most int, now time.Time) *Concurrency {
	c := &Concurrency{adaptive: newAdaptive(least, most, now)}
	c.limit.Store(int64(c.adaptive.state.limit))
	return c
}

// SetLimit changes a bound that is fixed. Those in flight beyond it stay.
func (c *Concurrency) SetLimit(most int) { c.limit.Store(int64(most)) }

// Enter reports whether one more request may be in flight. If so, Leave must be
// called when it no longer is.
func (c *Concurrency) Enter() bool {
	limit := c.limit.Load()
	if c.inFlight.Load() >= limit {
		return false
	}
	if c.inFlight.Add(1) > limit {
		c.inFlight.Add(-1)
		return false
	}
	return true
}

// Join counts a request that Enter let pass before, and that was not in flight
// meanwhile, again, whatever the limit has become. Leave must be called for it.
func (c *Concurrency) Join() { c.inFlight.Add(1) }

// HasRoom reports whether Enter would let one more request pass now.
func (c *Concurrency) HasRoom() bool { return c.inFlight.Load() < c.limit.Load() }

// Adaptive reports whether the limit follows the service's latency. What is
// counted must then be what is timed, or whatever stays for other reasons makes
// the limit its own: see Leave.
func (c *Concurrency) Adaptive() bool { return c.adaptive != nil }

// Leave notes at now that a request which began at began is no longer in
// flight. latency is the time that the service took to begin its answer; 0 or
// less means that it is not known, or says nothing about the service's load,
// like that of an error.
func (c *Concurrency) Leave(began time.Time, latency time.Duration, now time.Time) {
	inFlight := c.inFlight.Add(-1) + 1
	if inFlight <= 0 {
		panic("BUG: a request left that had not entered")
	}
	if c.adaptive != nil && latency > 0 {
		if limit := c.adaptive.observe(inFlight, began, latency, now); limit > 0 {
			c.limit.Store(limit)
		}
	}
}

// InFlight returns how many are in.
func (c *Concurrency) InFlight() int { return int(c.inFlight.Load()) }

// Limit returns how many may be.
func (c *Concurrency) Limit() int { return int(c.limit.Load()) }
