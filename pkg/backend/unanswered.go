package backend

import (
	"net/netip"
	"slices"
	"sync"
)

// mostUnanswered bounds how many networks are told apart.
const mostUnanswered = 8

// unanswered is who asked a backend something and got nothing since it last
// gave anybody anything.
type unanswered struct {
	mu       sync.Mutex
	out      uint64 // what it had given by then, in bytes
	networks [][16]byte
	judged   bool // health has been asked
}

// ReportUnanswered notes that a client sent something a second ago, or longer,
// and nothing has come back since. By itself it says nothing: servers that only
// listen are all like that.
func (b *Backend) ReportUnanswered(client netip.Addr) {
	out, n, u := b.Counters.BytesOut.Load(), network(client), &b.unanswered
	u.mu.Lock()
	defer u.mu.Unlock()
	if out != u.out {
		u.out, u.networks = out, u.networks[:0]
	}
	if len(u.networks) < mostUnanswered && !slices.Contains(u.networks, n) {
		u.networks = append(u.networks, n)
	}
}

// Unanswered returns how many networks, up to 8, have asked b something and got
// nothing since it last gave anybody anything.
func (b *Backend) Unanswered() int {
	u := &b.unanswered
	u.mu.Lock()
	defer u.mu.Unlock()
	if b.Counters.BytesOut.Load() != u.out {
		return 0
	}
	return len(u.networks)
}

// Stalled asks health to judge whether b has stalled, or has ceased to. It never
// blocks.
func (b *Backend) Stalled() {
	u := &b.unanswered
	u.mu.Lock()
	u.judged = true
	u.mu.Unlock()
	select {
	case b.alarms <- struct{}{}:
	default:
	}
}

// TakeStalled reports whether Stalled was called since it was last asked. It is
// for health alone.
func (b *Backend) TakeStalled() bool {
	u := &b.unanswered
	u.mu.Lock()
	defer u.mu.Unlock()
	was := u.judged
	u.judged = false
	return was
}
