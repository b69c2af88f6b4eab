package backend

import (
	"sync/atomic"
	"time"
)

// minWarmth is the share of its own share that a backend has at the beginning
// of a slow start, as in Envoy.
const minWarmth = 0.1

// warming is a slow start, the Moment it began and its length in ms, in one
// word. The zero value is none.
type warming struct{ word atomic.Uint64 }

// Warm begins a slow start: for so long the backend gets less than its share
// of new connections, from a tenth at first to all of it. Nothing has to be
// planned anew on the way; whoever picks asks for Warmth. It is for pkg/health
// alone.
func (b *Backend) Warm(window time.Duration) {
	ms := uint64(min(window.Milliseconds(), time.Hour.Milliseconds()))
	if ms <= 0 {
		return
	}
	b.warming.word.Store(uint64(b.Now())<<32 | ms)
}

// Warming reports whether Warmth can be other than 1. It does not read the
// clock.
func (b *Backend) Warming() bool { return b.warming.word.Load() != 0 }

// Warmth returns which part of its share the backend is to get as of now,
// above 0 and up to 1.
func (b *Backend) Warmth(now Moment) float64 {
	w := b.warming.word.Load()
	if w == 0 {
		return 1
	}
	age, window := now-Moment(w>>32), Moment(w)
	switch {
	case -age <= clockSlack: // began just now, by another reading of the clock
		return minWarmth
	case age >= window:
		b.warming.word.CompareAndSwap(w, 0)
		return 1
	}
	return max(minWarmth, float64(age)/float64(window))
}
