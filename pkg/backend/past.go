package backend

import "time"

const (
	// pastTime is for how long it is remembered what was known of a member that
	// has left. A source that forgets one for a moment, and one that is deployed
	// anew, have it back long before.
	pastTime = 10 * time.Minute
	// pastMost is of how many at most.
	pastMost = 1024
)

// Past is what was known of members that have left, by address: to its clients a
// member that comes back is the same, whatever it is called then. The zero value
// is empty. It is not safe for concurrent use.
type Past[T any] struct{ of map[string]past[T] }

type past[T any] struct {
	v    T
	left time.Time
}

// Keep remembers v of the member at addr, which left now. If there are too many,
// the one that left first is forgotten.
func (p *Past[T]) Keep(addr string, v T, now time.Time) {
	first := ""
	for a, x := range p.of {
		if now.Sub(x.left) >= pastTime {
			delete(p.of, a)
		} else if first == "" || x.left.Before(p.of[first].left) {
			first = a
		}
	}
	if len(p.of) >= pastMost {
		delete(p.of, first)
	}
	if p.of == nil {
		p.of = make(map[string]past[T])
	}
	p.of[addr] = past[T]{v, now}
}

// Take returns what is remembered of the member at addr, which is back, and
// forgets it; ok is false if that is nothing.
func (p *Past[T]) Take(addr string, now time.Time) (v T, ok bool) {
	x, ok := p.of[addr]
	if !ok {
		return v, false
	}
	delete(p.of, addr)
	if now.Sub(x.left) >= pastTime {
		return v, false
	}
	return x.v, true
}

// inherit gives b, which nobody uses yet, what is known of old, the same address
// before it left: our own check's verdict, an ejection, the member's own word,
// how live traffic fared, and the latest changes.
func (b *Backend) inherit(old *Backend) {
	c := *old.condition.Load()
	b.condition.Store(&c)
	b.history.changes = old.History()
	b.streak.word.Store(old.streak.word.Load())
	b.outcomes.latency.word.Store(old.outcomes.latency.word.Load())
	b.outcomes.samples.Store(old.outcomes.samples.Load())
	b.outcomes.errors.word.Store(old.outcomes.errors.word.Load())
	b.outcomes.distrust.word.Store(old.outcomes.distrust.word.Load())
}
