package reactor

import "time"

const (
	// watchEvery is how often the watchdog looks, and so for how long at least a
	// turn lasts that it calls stuck.
	watchEvery = time.Second
)

// Stalls returns how often loops were late, by more than a tenth of a second, and
// by how much altogether: the process was stopped or starved of CPU, or a
// handler took long. It may be called from any goroutine.
func (g *Group) Stalls() (n uint64, total time.Duration) {
	for _, l := range g.loops {
		n += l.stalls.Load()
		total += time.Duration(l.stalled.Load())
	}
	return n, total
}

// Stuck returns how many loops have been in one and the same turn for over a
// second. It may be called from any goroutine.
func (g *Group) Stuck() int { return int(g.hung.Load()) }

// noteStall counts and logs a stall that has ended.
func (l *Loop) noteStall(d time.Duration) {
	l.stalls.Add(1)
	l.stalled.Add(int64(d))
	if ok, more := l.group.stalls.Allow(l.Time()); ok {
		l.group.logger.Warn("an event loop did not run for a while; time-outs are put off by as much (was the process stopped, or short of CPU?)",
			"loop", l.index, "for", d.Round(time.Millisecond), "more", more)
	}
}

// watch tells of loops that are still in one and the same turn after a while,
// until Close: a handler of theirs hangs.
func (g *Group) watch() {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	dogs := make([]watchdog, len(g.loops))
	last := time.Now()
	for {
		select {
		case <-g.done:
			return
		case <-ticker.C:
		}
		now := time.Now()
		late := now.Sub(last) > watchEvery+stallMargin
		last = now
		hung := int32(0)
		for i, l := range g.loops {
			if since := dogs[i].look(l.phase.Load(), late); since > 0 {
				hung++
				if ok, more := g.stuck.Allow(now); ok {
					g.logger.Error("an event loop is stuck in one turn; its connections are not served (the control plane's /debug/pprof/goroutine?debug=2 shows where)",
						"loop", i, "for_at_least", time.Duration(since)*watchEvery, "more", more)
				}
			}
		}
		g.hung.Store(hung)
	}
}

// watchdog finds out whether a loop hangs, from its phase. Its zero value has
// not looked yet.
type watchdog struct {
	phase uint64
	looks int // in a row that saw the same turn
}

// look returns in how many looks before this one the loop was in the same turn.
// If late, the process itself did not run for a while, which says nothing.
func (w *watchdog) look(phase uint64, late bool) int {
	if waits := phase%2 == 1; waits || phase != w.phase || phase == 0 || late {
		w.phase, w.looks = phase, 0
		return 0
	}
	w.looks++
	return w.looks
}
