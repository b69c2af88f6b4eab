package limit

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// Clients bounds how many connections each client address may have open and
// how many it may open a second. It knows a bounded number of addresses: those
// with connections, and those whose bucket is not full again. When it knows
// too many, further addresses are not bounded until there is room, so that a
// flood from many addresses shuts nobody out; Overflow counts them.
//
// All methods are safe for concurrent use.
type Clients struct {
	bounds atomic.Pointer[bounds]
	epoch  time.Time
	known  *table[netip.Addr, client]
}

// bounds are those of each client. They never change.
type bounds struct {
	maxConns int // 0: none
	rate     bool
	meter    meter
}

type client struct {
	conns  int
	bucket bucket
}

// ClientVerdict says what Clients decided about a connection.
type ClientVerdict uint8

// A connection is admitted, or refused for one of two reasons.
const (
	ClientAdmitted   ClientVerdict = iota
	ClientTooMany                  // it has as many open as it may
	ClientTooFast                  // it opened too many lately
	ClientNotTracked               // it is admitted, and Leave must not be called
)

// NewClients returns bounds of maxConns open connections and perSecond new
// ones a second for each address, 0 for no bound. What was not used of
// perSecond is saved up for one second.
func NewClients(maxConns int, perSecond float64) *Clients {
	c := &Clients{epoch: time.Now(), known: newTable[netip.Addr, client]()}
	c.Set(maxConns, perSecond)
	return c
}

// Set changes the bounds for connections that come from now on; see NewClients.
func (c *Clients) Set(maxConns int, perSecond float64) {
	b := &bounds{maxConns: maxConns, rate: perSecond > 0}
	if b.rate {
		b.meter = newMeter(perSecond, perSecond)
	}
	c.bounds.Store(b)
}

// Bounds returns how many connections an address may have open, and how many it
// may open a second; 0 for no bound.
func (c *Clients) Bounds() (maxConns int, perSecond float64) {
	b := c.bounds.Load()
	if b.rate {
		perSecond = b.meter.perSecond()
	}
	return b.maxConns, perSecond
}

// Enter decides about a new connection from a at now. If it is admitted and
// tracked, Leave must be called when it ends.
func (c *Clients) Enter(a netip.Addr, now time.Time) ClientVerdict {
	at := int64(now.Sub(c.epoch))
	s := c.known.shard(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	x, known := s.entries[a]
	if !known && !s.room(func(x client) bool { return x.conns == 0 && x.bucket.full(at) }) {
		return ClientNotTracked
	}
	if !known {
		x.bucket = bucket(at)
	}
	bounds := c.bounds.Load()
	if bounds.maxConns > 0 && x.conns >= bounds.maxConns {
		return ClientTooMany
	}
	if bounds.rate {
		var wait time.Duration
		if x.bucket, wait = bounds.meter.take(x.bucket, at); wait > 0 {
			if known {
				s.entries[a] = x // as it is, but for a clock that was put back
			}
			return ClientTooFast
		}
	}
	x.conns++
	s.entries[a] = x
	return ClientAdmitted
}

// Leave notes that a connection from a has ended.
func (c *Clients) Leave(a netip.Addr) {
	s := c.known.shard(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	x, known := s.entries[a]
	if !known {
		return
	}
	x.conns--
	if x.conns == 0 && !c.bounds.Load().rate {
		delete(s.entries, a)
		return
	}
	s.entries[a] = x
}

// Overflow returns how many connections were admitted without being tracked.
func (c *Clients) Overflow() uint64 { return c.known.overflow() }
