package limit

import (
	"sync"
	"sync/atomic"
	"time"
)

// BreakerConfig says when a Breaker opens and closes. Its defaults are those of
// Hystrix.
type BreakerConfig struct {
	// FailureShare is the part of the requests in the window that must have
	// failed for it to open. 0 or less means 0.5.
	FailureShare float64
	// MinRequests is how many requests there must be in the window before
	// anything is concluded. 0 or less means 20.
	MinRequests int
	// Window is how far back requests count. 0 or less means 10 s.
	Window time.Duration
	// OpenTime is how long it stays open before it lets trials pass. Each
	// time that trials fail doubles it, up to MaxOpenTime. 0 or less means 5 s
	// and, for MaxOpenTime, 16 times OpenTime.
	OpenTime, MaxOpenTime time.Duration
	// Trials is how many requests are let pass at once to find out whether it
	// may close, and how many of them must succeed. 0 or less means 3.
	Trials int
}

func (c BreakerConfig) withDefaults() BreakerConfig {
	if c.FailureShare <= 0 {
		c.FailureShare = 0.5
	}
	if c.MinRequests <= 0 {
		c.MinRequests = 20
	}
	if c.Window <= 0 {
		c.Window = 10 * time.Second
	}
	if c.OpenTime <= 0 {
		c.OpenTime = 5 * time.Second
	}
	if c.MaxOpenTime <= 0 {
		c.MaxOpenTime = 16 * c.OpenTime
	}
	if c.Trials <= 0 {
		c.Trials = 3
	}
	return c
}

// BreakerState is where a Breaker stands.
type BreakerState uint32

// A breaker that is Closed lets everything pass, one that is Open nothing, one
// that is HalfOpen a few trials.
const (
	Closed BreakerState = iota
	Open
	HalfOpen
)

// BreakerStates lists every BreakerState, for whoever writes one metric series
// for each.
func BreakerStates() []BreakerState { return []BreakerState{Closed, Open, HalfOpen} }

// String returns the state as metrics and logs show it.
func (s BreakerState) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case HalfOpen:
		return "half_open"
	}
	return "unknown"
}

// Outcome is how a request went, for a Breaker.
type Outcome uint8

// A request that was given up for the client's sake says nothing.
const (
	NoOutcome Outcome = iota
	Success
	Failure
)

// Permit says that a request may pass, and as what. Its zero value says that it
// may not.
type Permit uint64

// Admitted is what passes through a closed breaker; a higher permit is a trial.
const Admitted Permit = 1

// Trial reports whether p is for a trial.
func (p Permit) Trial() bool { return p > Admitted }

// Breaker keeps requests from a backend that fails too many of them: a circuit
// breaker (Nygard, "Release It!", 2007). It opens when the part of failures in a
// sliding window is too large. After a while it is half open and lets a bounded
// number of trials pass: if so many succeed, it closes; if one fails, it is open
// again for longer.
//
// All methods are safe for concurrent use and do not allocate. While it is
// closed, they take no lock but at a failure.
type Breaker struct {
	cfg    BreakerConfig
	state  atomic.Uint32
	window window

	// mu protects the fields below, and changes of state.
	mu       sync.Mutex
	until    time.Time // when it is open no longer
	openTime time.Duration
	round    Permit // of trials, so that late ones do not count for others
	trying   int    // trials under way
	passed   int    // trials that succeeded
	openings uint64
}

// NewBreaker returns a closed breaker.
func NewBreaker(cfg BreakerConfig) *Breaker {
	b := &Breaker{cfg: cfg.withDefaults(), round: Admitted}
	b.window.cell, b.window.epoch = b.cfg.Window/cells, time.Now()
	return b
}

// State returns the current state. One that is Open may be about to become
// HalfOpen with the next Allow.
func (b *Breaker) State() BreakerState { return BreakerState(b.state.Load()) }

// OpenFor returns for how long after now b lets nothing pass: 0 unless it is
// open.
func (b *Breaker) OpenFor(now time.Time) time.Duration {
	if b.State() != Open {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(b.until.Sub(now), 0)
}

// Openings returns how many times b has opened.
func (b *Breaker) Openings() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.openings
}

// Allow reports whether a request may pass at now. If it may, Done must be
// called with the permit.
func (b *Breaker) Allow(now time.Time) Permit {
	if b.State() == Closed {
		return Admitted
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.State() {
	case Closed:
		return Admitted
	case Open:
		if wait := b.until.Sub(now); wait > 0 && wait <= b.openTime { // more, if the clock was put back
			return 0
		}
		b.state.Store(uint32(HalfOpen))
		b.round++
		b.trying, b.passed = 0, 0
	}
	if b.trying+b.passed >= b.cfg.Trials {
		return 0
	}
	b.trying++
	return b.round
}

// Done notes at now how a request went that p let pass.
func (b *Breaker) Done(p Permit, o Outcome, now time.Time) {
	switch {
	case p.Trial():
		b.tried(p, o, now)
	case o == NoOutcome || p == 0:
	case o == Success:
		b.window.add(1, 0, now)
	case b.State() == Closed: // what went before it opened counts no more
		b.window.add(0, 1, now)
		if b.tooMany(now) {
			b.open(now)
		}
	}
}

func (b *Breaker) tooMany(now time.Time) bool {
	good, bad := b.window.sum(now)
	return good+bad >= b.cfg.MinRequests && float64(bad) >= b.cfg.FailureShare*float64(good+bad)
}

func (b *Breaker) open(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.State() == Closed {
		b.openTime = b.cfg.OpenTime
		b.trip(now)
	}
}

// trip opens b for b.openTime; b.mu is held.
func (b *Breaker) trip(now time.Time) {
	b.state.Store(uint32(Open))
	b.until = now.Add(b.openTime)
	b.openings++
}

func (b *Breaker) tried(p Permit, o Outcome, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p != b.round || b.State() != HalfOpen {
		return
	}
	b.trying--
	switch o {
	case Failure:
		b.openTime = min(2*b.openTime, b.cfg.MaxOpenTime)
		b.trip(now)
	case Success:
		if b.passed++; b.passed >= b.cfg.Trials {
			b.window.clear()
			b.state.Store(uint32(Closed))
		}
	}
}

// cells is how many parts a window has; it slides by one of them.
const cells = 10

// window counts what happened in the last while. Each cell is one word: the
// number of its part of time in the upper half, then 16 bits of successes and
// 16 of failures.
type window struct {
	cell  time.Duration
	epoch time.Time
	words [cells]atomic.Uint64
}

const maxCount = 1<<16 - 1

func (w *window) number(now time.Time) uint32 { return uint32(now.Sub(w.epoch) / w.cell) }

func (w *window) add(good, bad uint64, now time.Time) {
	n := w.number(now)
	word := &w.words[n%cells]
	for {
		old := word.Load()
		g, f := old>>16&maxCount, old&maxCount
		if uint32(old>>32) != n {
			g, f = 0, 0
		}
		if g+good > maxCount || f+bad > maxCount { // their proportion is what counts
			g, f = g/2, f/2
		}
		if word.CompareAndSwap(old, uint64(n)<<32|(g+good)<<16|(f+bad)) {
			return
		}
	}
}

func (w *window) sum(now time.Time) (good, bad int) {
	n := w.number(now)
	for i := range w.words {
		if word := w.words[i].Load(); n-uint32(word>>32) < cells {
			good += int(word >> 16 & maxCount)
			bad += int(word & maxCount)
		}
	}
	return good, bad
}

func (w *window) clear() {
	for i := range w.words {
		w.words[i].Store(0)
	}
}
