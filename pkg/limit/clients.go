package limit

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	clientShards = 16
	// maxClients is how many addresses are known at once, in all shards. A
	// known address costs some 100 bytes.
	maxClients = 1 << 16
)

// Clients bounds how many connections each client address may have open and
// how many it may open a second. It knows a bounded number of addresses: those
// with connections, and those whose bucket is not full again. When it knows
// too many, further addresses are not bounded until there is room, so that a
// flood from many addresses shuts nobody out; Overflow counts them.
//
// All methods are safe for concurrent use.
type Clients struct {
	maxConns int
	rate     float64 // connections a second, 0 for no bound
	burst    float64
	seed     maphash.Seed
	shards   [clientShards]clientShard
}

type clientShard struct {
	// mu protects the fields below.
	mu       sync.Mutex
	clients  map[netip.Addr]*client
	overflow uint64
}

type client struct {
	conns  int
	tokens float64
	at     time.Time // when tokens was reckoned
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
	c := &Clients{maxConns: maxConns, rate: perSecond, burst: max(perSecond, 1), seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].clients = make(map[netip.Addr]*client)
	}
	return c
}

func (c *Clients) shard(a netip.Addr) *clientShard {
	return &c.shards[maphash.Comparable(c.seed, a)%clientShards]
}

// Enter decides about a new connection from a at now. If it is admitted and
// tracked, Leave must be called when it ends.
func (c *Clients) Enter(a netip.Addr, now time.Time) ClientVerdict {
	s := c.shard(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.clients[a]
	if x == nil {
		if len(s.clients) >= maxClients/clientShards && !c.forgetSome(s, now) {
			s.overflow++
			return ClientNotTracked
		}
		x = &client{tokens: c.burst, at: now}
		s.clients[a] = x
	}
	if c.maxConns > 0 && x.conns >= c.maxConns {
		return ClientTooMany
	}
	if c.rate > 0 {
		c.reckon(x, now)
		if x.tokens < 1 {
			return ClientTooFast
		}
		x.tokens--
	}
	x.conns++
	return ClientAdmitted
}

// reckon fills x's bucket for the time since it was last done.
func (c *Clients) reckon(x *client, now time.Time) {
	if d := now.Sub(x.at); d > 0 {
		x.tokens = min(c.burst, x.tokens+d.Seconds()*c.rate)
		x.at = now
	}
}

// Leave notes that a connection from a has ended.
func (c *Clients) Leave(a netip.Addr) {
	s := c.shard(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.clients[a]
	if x == nil {
		return
	}
	x.conns--
	if x.conns == 0 && c.rate == 0 {
		delete(s.clients, a)
	}
}

// forgetSome forgets addresses of s that have nothing to be remembered, after
// a look at some; s.mu is held.
func (c *Clients) forgetSome(s *clientShard, now time.Time) (forgotten bool) {
	const look = 64
	n := 0
	for a, x := range s.clients { // in random order
		if x.conns == 0 {
			if c.reckon(x, now); x.tokens >= c.burst {
				delete(s.clients, a)
				forgotten = true
			}
		}
		if n++; n == look {
			break
		}
	}
	return forgotten
}

// Overflow returns how many connections were admitted without being tracked.
func (c *Clients) Overflow() (n uint64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += s.overflow
		s.mu.Unlock()
	}
	return n
}
