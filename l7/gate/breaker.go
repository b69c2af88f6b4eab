package gate

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/limit"
)

// breakers are the circuit breakers of a service's backends. They follow the
// pool.
type breakers struct {
	cfg     limit.BreakerConfig
	service string
	logger  *slog.Logger

	of       atomic.Pointer[map[*backend.Backend]*limit.Breaker]
	unfollow func() // ends the calls of follow

	// mu is held by who replaces what of points to.
	mu sync.Mutex
}

// end ends what follows the pool. bs may be nil.
func (bs *breakers) end() {
	if bs != nil {
		bs.unfollow()
	}
}

// reset gives b a breaker that knows nothing of it.
func (bs *breakers) reset(b *backend.Backend) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	m := maps.Clone(*bs.of.Load())
	if m[b] != nil {
		m[b] = limit.NewBreaker(bs.cfg)
		bs.of.Store(&m)
	}
}

// follow is for backend.Pool.OnChange.
func (bs *breakers) follow(s *backend.Snapshot) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	m := make(map[*backend.Backend]*limit.Breaker, len(s.All))
	old := bs.of.Load()
	for _, b := range s.All {
		if old != nil {
			m[b] = (*old)[b]
		}
		if m[b] == nil {
			m[b] = limit.NewBreaker(bs.cfg)
		}
	}
	bs.of.Store(&m)
}

// allow asks b's breaker for a permit.
func (bs *breakers) allow(b *backend.Backend, now time.Time) limit.Permit {
	br := (*bs.of.Load())[b]
	if br == nil { // no longer a member
		return limit.Admitted
	}
	return br.Allow(now)
}

// done tells b's breaker how a request went.
func (bs *breakers) done(b *backend.Backend, p limit.Permit, o limit.Outcome, now time.Time) {
	br := (*bs.of.Load())[b]
	if br == nil {
		return
	}
	before := br.State()
	br.Done(p, o, now)
	after := br.State()
	if before == after {
		return
	}
	if after == limit.Open {
		bs.logger.Warn("circuit breaker opened: too many requests have failed", "service", bs.service, "backend", b.Addr(), "openings", br.Openings())
	} else {
		bs.logger.Info("circuit breaker closed: trials have succeeded", "service", bs.service, "backend", b.Addr())
	}
}

// opensIn returns how long it takes at now until one of the breakers of the
// eligible backends lets a request pass again, at least.
func (bs *breakers) opensIn(s *backend.Snapshot, now time.Time) time.Duration {
	all, least := *bs.of.Load(), time.Duration(-1)
	for _, b := range s.Eligible {
		if br := all[b]; br != nil {
			if d := br.OpenFor(now); least < 0 || d < least {
				least = d
			}
		}
	}
	return max(least, 0)
}

// write writes the metrics of all breakers as they are now.
func (bs *breakers) write(w io.Writer) {
	type sums struct {
		state    limit.BreakerState
		openings uint64
	}
	byAddr := make(map[string]sums) // members that share an address are one backend to a metric
	for b, br := range *bs.of.Load() {
		x := byAddr[b.Addr()]
		x.state = max(x.state, br.State())
		x.openings += br.Openings()
		byAddr[b.Addr()] = x
	}
	var states, openings strings.Builder
	for addr, x := range byAddr {
		labels := fmt.Sprintf("service=%q,backend=%q", bs.service, addr)
		for _, s := range limit.BreakerStates() {
			n := 0
			if s == x.state {
				n = 1
			}
			fmt.Fprintf(&states, "sluice_l7_breaker_state{%s,state=%q} %d\n", labels, s, n)
		}
		fmt.Fprintf(&openings, "sluice_l7_breaker_openings_total{%s} %d\n", labels, x.openings)
	}
	_, _ = io.WriteString(w, states.String()+openings.String())
}

// isClosed reports whether b's breaker is closed.
func (bs *breakers) isClosed(b *backend.Backend) bool {
	br := (*bs.of.Load())[b]
	return br == nil || br.State() == limit.Closed
}
