package engine

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/config"
	"sluice/pkg/pause"
	"sluice/pkg/reactor"
)

// loopGroup is the event loops of this process, which begin when the first
// listener needs them. All methods are safe for concurrent use.
type loopGroup struct {
	loops  int // how many there are to be
	pipes  int // of each
	logger *slog.Logger

	// mu protects the fields below.
	mu         sync.Mutex
	group      *reactor.Group // nil while nothing uses them
	processors *processors
	unfollow   context.CancelFunc // ends what follows the processors
}

// newLoopGroup divides the descriptors that the process may have.
func newLoopGroup(c *config.Config, logger *slog.Logger) (*loopGroup, descriptors, error) {
	limit := OpenFiles()
	loops := loopsFor(runtime.GOMAXPROCS(0), limit)
	files, err := descriptorsOf(c, limit, loops)
	return &loopGroup{loops: loops, pipes: files.pipes / 2, logger: logger}, files, err
}

// get returns the loops for connections that live in them.
func (g *loopGroup) get() (*reactor.Group, error) {
	group, err := g.forIdle()
	if err == nil {
		g.processors.makeSpare(g.loops)
	}
	return group, err
}

// forTLS is get for a listener that TLS ends at.
func (g *loopGroup) forTLS() (*reactor.Group, error) {
	group, err := g.get()
	if err == nil {
		g.processors.makeSpareForTLS()
	}
	return group, err
}

// forIdle returns the loops for connections that only wait in them. It runs them
// if nothing has needed them yet.
func (g *loopGroup) forIdle() (*reactor.Group, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.group != nil {
		return g.group, nil
	}
	group, err := reactor.NewGroup(g.loops, g.logger)
	if err != nil {
		return nil, err
	}
	group.LimitPipes(g.pipes)
	group.Start()
	ctx, cancel := context.WithCancel(context.Background())
	g.group, g.processors, g.unfollow = group, newProcessors(g.logger), cancel
	go g.processors.follow(ctx)
	return group, nil
}

// running returns the loops, nil while nothing uses them.
func (g *loopGroup) running() *reactor.Group {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.group
}

// close ends the loops. Nothing may use them any more.
func (g *loopGroup) close() {
	if group := g.running(); group != nil {
		g.unfollow()
		group.Close()
	}
}

// exposePauses writes when this process did not run as metrics: all of it, and
// its event loops.
func exposePauses(set *metrics.Set, pauses *pause.Watch, loops *loopGroup) {
	set.NewGauge("sluice_pauses_total", func() float64 { n, _ := pauses.Total(); return float64(n) })
	set.NewGauge("sluice_paused_seconds_total", func() float64 { _, d := pauses.Total(); return d.Seconds() })
	of := func(f func(*reactor.Group) float64) func() float64 {
		return func() float64 {
			if g := loops.running(); g != nil {
				return f(g)
			}
			return 0
		}
	}
	set.NewGauge("sluice_loop_stalls_total", of(func(g *reactor.Group) float64 { n, _ := g.Stalls(); return float64(n) }))
	set.NewGauge("sluice_loop_stalled_seconds_total", of(func(g *reactor.Group) float64 { _, d := g.Stalls(); return d.Seconds() }))
	set.NewGauge("sluice_loops_accepting", of(func(g *reactor.Group) float64 { return float64(g.Accepting()) }))
	for i := range loops.loops {
		set.NewGauge(fmt.Sprintf(`sluice_loop_streams{loop="%d"}`, i), of(func(g *reactor.Group) float64 { return float64(g.Loops()[i].Streams()) }))
		set.NewGauge(fmt.Sprintf(`sluice_loop_busy_ratio{loop="%d"}`, i), of(func(g *reactor.Group) float64 { return g.Loops()[i].Share() }))
	}
	set.NewGauge("sluice_loops_stuck", of(func(g *reactor.Group) float64 { return float64(g.Stuck()) }))
}
