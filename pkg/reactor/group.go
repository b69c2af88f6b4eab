package reactor

import (
	"log/slog"
	"sync"
)

// Group is a number of loops that share work.
type Group struct {
	logger *slog.Logger
	loops  []*Loop
	wg     sync.WaitGroup
}

// NewGroup returns a group of n loops. It starts nothing; Close must be called
// all the same. logger takes what goes wrong in handlers.
func NewGroup(n int, logger *slog.Logger) (*Group, error) {
	g := &Group{logger: logger}
	for i := range n {
		l, err := newLoop(g, i)
		if err != nil {
			for _, l := range g.loops {
				l.poller.close()
			}
			return nil, err
		}
		g.loops = append(g.loops, l)
	}
	return g, nil
}

// Start runs the loops until Close.
func (g *Group) Start() {
	for _, l := range g.loops {
		g.wg.Go(l.run)
	}
}

// Loops returns the loops of the group. The slice must not be changed.
func (g *Group) Loops() []*Loop { return g.loops }

// imbalance is how many streams more than another loop, and an eighth of
// those, a loop may have before it hands over what it accepts. Handing over
// costs some microseconds, which short connections feel.
const imbalance = 8

// quieter returns a loop with much fewer streams than l, or l.
func (g *Group) quieter(l *Loop) *Loop {
	for _, x := range g.loops {
		if n := x.Streams(); n+n/8+imbalance < l.Streams() {
			l = x
		}
	}
	return l
}

// Least returns the loop with the fewest streams, for a connection that was
// not accepted in a loop. It may be called from any goroutine.
func (g *Group) Least() *Loop {
	least := g.loops[0]
	for _, l := range g.loops[1:] {
		if l.Streams() < least.Streams() {
			least = l
		}
	}
	return least
}

// Close ends the loops, closes their streams without a word to the handlers,
// and returns when nothing of the group runs any more.
func (g *Group) Close() {
	for _, l := range g.loops {
		l.mu.Lock()
		if !l.ended {
			l.ended = true
			l.poller.wake()
		}
		l.mu.Unlock()
	}
	g.wg.Wait()
}
