package backend

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
)

// Witness says of whom and of what an outcome tells.
type Witness struct {
	// Client is who asked, as far as is known behind trusted proxies.
	Client netip.Addr
	// Request is all that was asked, if that was everything that the backend
	// had to go by; else nil. It is not kept.
	Request []byte
	// Unasked says that nothing was asked: the client connected and said
	// nothing.
	Unasked bool
}

// What outcomes are remembered by, for two eras at most, and only after a fault
// somewhere in the pool: who served is asked for when somebody did not.
const (
	eraLength = 10_000 // ms
	// buckets are what networks, and requests, are told apart by. A pool draws
	// a seed, so that nobody can choose whom to share one with.
	buckets  = 1024
	requests = 1024
	mostOf   = 1<<16 - 1 // what one counts to
)

// ledger counts what came of a backend's latest exchanges, by network of
// clients and by request. All is atomic; an outcome that is counted while an
// era ends may be lost.
type ledger struct{ eras [2]ledgerEra }

type ledgerEra struct {
	era      atomic.Uint32
	networks [buckets]counts
	requests [requests]counts
}

// counts is how many exchanges were served, and how many failed, in one word.
type counts struct{ word atomic.Uint32 }

func (c *counts) add(ok bool) {
	for {
		w := c.word.Load()
		served, failed := w&mostOf, w>>16
		if ok {
			served = min(served+1, mostOf)
		} else {
			failed = min(failed+1, mostOf)
		}
		if c.word.CompareAndSwap(w, failed<<16|served) {
			return
		}
	}
}

// at returns the counts of an era, empty ones if it has just begun.
func (l *ledger) at(era uint32) *ledgerEra {
	e := &l.eras[era%2]
	if old := e.era.Load(); old != era && e.era.CompareAndSwap(old, era) {
		for i := range e.networks {
			e.networks[i].word.Store(0)
		}
		for i := range e.requests {
			e.requests[i].word.Store(0)
		}
	}
	return e
}

// tally is what a ledger says as of now.
type tally struct {
	networks [buckets]outcomeCount
	requests [requests]outcomeCount
}

type outcomeCount struct{ served, failed int }

func (c *outcomeCount) add(n *counts) {
	w := n.word.Load()
	c.served += int(w & mostOf)
	c.failed += int(w >> 16)
}

// bad reports whether more failed than was served, and good whether not.
func (c outcomeCount) bad() bool  { return c.failed > c.served }
func (c outcomeCount) good() bool { return c.served > 0 && c.served >= c.failed }

// tally adds up the latest two eras.
func (l *ledger) tally(era uint32) *tally {
	t := &tally{}
	if l == nil {
		return t
	}
	for i := range l.eras {
		e := &l.eras[i]
		if now := e.era.Load(); now != era && now != era-1 {
			continue
		}
		for k := range e.networks {
			t.networks[k].add(&e.networks[k])
		}
		for k := range e.requests {
			t.requests[k].add(&e.requests[k])
		}
	}
	return t
}

// network returns what stands for the network that an address is in: 64 bits of
// IPv6, 24 of IPv4. In private networks, where a neighbour is another host and
// not another address of the same one, it is the address.
func network(a netip.Addr) (n [16]byte) {
	a = a.Unmap()
	n = a.As16()
	switch {
	case a.IsLoopback() || a.Is4() && (a.IsPrivate() || a.IsLinkLocalUnicast()):
	case a.Is4():
		n[15] = 0
	default:
		clear(n[8:])
	}
	return n
}

// enter counts an outcome in b's ledger. It allocates only the first time.
func (b *Backend) enter(w Witness, ok bool, now Moment) {
	l := b.ledger.Load()
	if l == nil {
		l = &ledger{}
		if !b.ledger.CompareAndSwap(nil, l) {
			l = b.ledger.Load()
		}
	}
	e := l.at(uint32(now) / eraLength)
	seed := b.pool.seed
	if w.Client.IsValid() {
		n := network(w.Client)
		e.networks[maphash.Bytes(seed, n[:])%buckets].add(ok)
		if w.Unasked { // what one is told may depend on who it is
			e.requests[maphash.Bytes(seed, n[:])%requests].add(ok)
		}
	}
	if w.Request != nil {
		e.requests[maphash.Bytes(seed, w.Request)%requests].add(ok)
	}
}

// Evidence is what speaks for and against a backend, of the latest ten seconds
// or so. A network is one voice, however often it asked: it is against the
// backend if more of its exchanges failed there than were served, and some other
// member serves it, or has not seen it.
type Evidence struct {
	// Against and For are networks that the backend fails and serves.
	Against, For int
	// PeersFor are networks that some other member serves, and PeersAgainst
	// those that fail wherever else they were seen, and not here.
	PeersFor, PeersAgainst int
	// Repeated is how many requests failed that were served, byte for byte the
	// same, by another member.
	Repeated int
}

// Evidence weighs what is known of b against what is known of the other members
// of its pool.
func (b *Backend) Evidence() Evidence {
	era := uint32(b.Now()) / eraLength
	var others []*tally
	for _, x := range b.pool.Snapshot().All {
		if l := x.ledger.Load(); x != b && l != nil {
			others = append(others, l.tally(era))
		}
	}
	return weigh(b.ledger.Load().tally(era), others)
}

// weigh compares a backend's tally with the others'.
func weigh(own *tally, others []*tally) (e Evidence) {
	for i, n := range own.networks {
		served, failed := false, false // elsewhere
		for _, t := range others {
			served = served || t.networks[i].good()
			failed = failed || t.networks[i].bad()
		}
		switch {
		case n.bad() && (served || !failed):
			e.Against++
		case n.good():
			e.For++
		}
		switch {
		case served:
			e.PeersFor++
		case failed && !n.bad():
			e.PeersAgainst++
		}
	}
	for i, r := range own.requests {
		for _, t := range others {
			if r.bad() && t.requests[i].good() {
				e.Repeated += r.failed
				break
			}
		}
	}
	return e
}
