package backend

import (
	"fmt"
	"math"
	"time"
)

// Word is what a backend says of itself. The zero value is nothing.
type Word struct {
	// Drain asks for no new connections.
	Drain bool
	// Weight is the part of its weight that it wants, 1 to 100 percent; 0 is
	// no wish.
	Weight int
}

// String returns the word as an operator reads it, empty for none.
func (w Word) String() string {
	switch {
	case w.Drain:
		return "drain"
	case w.Weight > 0:
		return fmt.Sprintf("%d%%", w.Weight)
	}
	return ""
}

// wordScale is what weights are multiplied by while some member wants a part
// of its own. It is a power of two, to which tables of hashes are indifferent.
const wordScale = 128

// roundUp makes up for what a binary fraction lacks of a decimal one.
const roundUp = 1e-6

// Say takes the backend's own word and makes the pool act on it before it
// returns. It is for pkg/health alone, like SetCondition.
func (b *Backend) Say(w Word, now time.Time) {
	c := *b.condition.Load()
	if c.Word == w {
		return
	}
	change := Change{At: now, To: "ready", Streak: 1, Signal: "its own word", Detail: w.String()}
	switch {
	case w.Drain:
		change.To = "draining"
	case w.Weight > 0:
		change.To = "reweighted"
	}
	was := b.standing()
	c.Word = w
	b.condition.Store(&c)
	if was == drained && b.standing() == available {
		b.Warm(b.pool.Policy().SlowStart)
	}
	b.remember(change)
	b.pool.refresh()
}

// weights returns the weights of members, 1 at least, times wordScale if one
// of them wants a part of its own.
func weights(members []*Backend) []int {
	out := make([]int, len(members))
	shares := make([]float64, len(members))
	scale := 1.0
	for i, b := range members {
		shares[i] = b.order.Load().weigh(b.target.Load().share())
		if part := b.condition.Load().Word.Weight; part != 0 && part != 100 {
			shares[i] *= float64(part) / 100
		}
		if shares[i] != math.Trunc(shares[i]) {
			scale = wordScale
		}
	}
	for i, share := range shares {
		out[i] = max(1, int(share*scale+roundUp))
	}
	return out
}
