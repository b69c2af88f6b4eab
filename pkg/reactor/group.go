package reactor

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sluice/pkg/tcp"
	"sluice/pkg/throttle"
)

// closeLinger is how long at most a group that is closed lets its Conns send
// what was written to them before.
const closeLinger = time.Second

// Group is a number of loops that share work.
type Group struct {
	logger *slog.Logger
	loops  []*Loop
	wg     sync.WaitGroup // of the loops and the watchdog
	done   chan struct{}  // closed by Close
	stalls throttle.Throttle
	stuck  throttle.Throttle
	hung   atomic.Int32 // loops that are stuck now

	maxPipes int          // of all loops together; 0 means no limit
	pipes    atomic.Int64 // how many there are

	front      atomic.Int32 // how many loops accept
	quietSince int64        // since when the front could be smaller; of the first loop
	born       time.Time

	carriers sync.WaitGroup // the goroutines of Conns; they are begun in loops alone

	// mu protects the fields below.
	mu      sync.Mutex
	started bool
	closed  bool
	fronts  map[*acceptors]struct{} // of all sockets that are listened to
	leaving map[net.Conn]struct{}   // of Conns that are closed and have something left to send
}

// NewGroup returns a group of n loops. It starts nothing; Close must be called
// all the same. logger takes what goes wrong in handlers.
func NewGroup(n int, logger *slog.Logger) (*Group, error) {
	g := &Group{logger: logger, done: make(chan struct{}), leaving: make(map[net.Conn]struct{}), fronts: make(map[*acceptors]struct{}), born: time.Now()}
	g.front.Store(int32(firstFront(n)))
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

// LimitPipes bounds how many pipes the loops may have together, each of which
// takes two descriptors; 0 means that nothing does. Who gets none copies bytes
// instead. It is called before Start.
func (g *Group) LimitPipes(n int) { g.maxPipes = n }

// Start runs the loops until Close.
func (g *Group) Start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.started || g.closed {
		return
	}
	g.started = true
	for _, l := range g.loops {
		g.wg.Go(l.run)
	}
	g.wg.Go(g.watch)
}

// Loops returns the loops of the group. The slice must not be changed.
func (g *Group) Loops() []*Loop { return g.loops }

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

// Accepting returns how many loops accept connections: the first ones. It may be
// called from any goroutine.
func (g *Group) Accepting() int { return int(g.front.Load()) }

// Close ends the loops, closes their streams without a word to the handlers,
// and returns when nothing of the group runs any more. What was posted before
// has run then, and Conns that were closed have had a second to send what was
// written to them.
func (g *Group) Close() {
	g.mu.Lock()
	started, closed := g.started, g.closed
	g.closed = true
	g.mu.Unlock()
	if closed {
		g.wg.Wait()
		g.awaitConns()
		return
	}
	close(g.done)
	for _, l := range g.loops {
		l.mu.Lock()
		l.ended = true
		l.poller.wake()
		l.mu.Unlock()
	}
	if !started {
		for _, l := range g.loops {
			l.finish()
		}
	}
	g.wg.Wait()
	g.awaitConns()
}

// leave notes that nc, of a Conn that was closed, is still being written to.
func (g *Group) leave(nc net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leaving[nc] = struct{}{}
}

// left notes that nc is closed.
func (g *Group) left(nc net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.leaving, nc)
}

// awaitConns waits for the goroutines of Conns. The loops have ended, so there
// will be no more of them.
func (g *Group) awaitConns() {
	over := make(chan struct{})
	go func() {
		g.carriers.Wait()
		close(over)
	}()
	linger := time.NewTimer(closeLinger)
	defer linger.Stop()
	select {
	case <-over:
		return
	case <-linger.C:
	}
	g.mu.Lock()
	for nc := range g.leaving {
		_ = tcp.Innermost(nc).Close() // not what wraps it, which might wait to say goodbye
	}
	g.mu.Unlock()
	<-over
}
