package balance

import (
	"slices"

	"sluice/pkg/backend"
)

// MaxTries is how many different backends one connection or request may try,
// less those that cost nothing; see Tried.Refuse.
const MaxTries = 3

// MostTried is how many it may try in all.
const MostTried = 32

// Tried remembers the backends that a connection or request has tried. It is
// a small value, and passing it costs no allocation; nor does Add, up to
// MaxTries backends. Its zero value is empty.
type Tried struct {
	n        int
	free     int
	backends [MaxTries]*backend.Backend
	more     []*backend.Backend // never changed in place: copies share it
}

// Add remembers b. At most MostTried backends are remembered.
func (t *Tried) Add(b *backend.Backend) {
	switch {
	case t.n < len(t.backends):
		t.backends[t.n] = b
	case t.n < MostTried:
		t.more = append(slices.Clip(t.more), b)
	default:
		return
	}
	t.n++
}

// Refuse notes that one of those that were added, or are about to be, refused at
// once (see [backend.Refused]) and cost nothing: no time, and nobody any load.
// It does not count as a try then, unless too many have refused.
func (t *Tried) Refuse() {
	if t.free < MostTried-MaxTries {
		t.free++
	}
}

// Len returns how many backends were added.
func (t *Tried) Len() int { return t.n }

// Tries returns how many of them count.
func (t *Tried) Tries() int { return t.n - t.free }

// Has reports whether b was added.
func (t *Tried) Has(b *backend.Backend) bool {
	return slices.Contains(t.backends[:min(t.n, len(t.backends))], b) || slices.Contains(t.more, b)
}
