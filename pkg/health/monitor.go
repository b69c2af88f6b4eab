package health

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"sluice/pkg/backend"
)

// Config sets how the backends of one service are checked.
type Config struct {
	// Check is made of every backend. nil means none: backends are Unchecked,
	// and thereby eligible.
	Check Check
	// Interval is the time between two checks of a backend whose results agree
	// with its state. 0 means 2 s.
	Interval time.Duration
	// FastInterval is the time between checks while results contradict the
	// state, and between checks that failed connects ask for; a backend that
	// flaps gets longer ones, up to Interval. 0 means 30 ms; it is never more
	// than Interval.
	FastInterval time.Duration
	// DownInterval is the time between checks of a backend that is down and
	// keeps failing. 0 means Interval.
	DownInterval time.Duration
	// Timeout bounds one check. 0 means 1 s.
	Timeout time.Duration
	// Rise and Fall: see Hysteresis. 0 means 2 and 3.
	Rise, Fall int
	// EjectionTime is how long live traffic's failures keep a backend out the
	// first time; the second time twice as long, and so on. 0 means 30 s.
	// Whether there are ejections at all is the pool's policy.
	EjectionTime time.Duration
	// SlowStart is how long a backend that recovers, or that joins others which
	// have been followed for so long, gets less than its share. 0 means never.
	SlowStart time.Duration
	// Logger takes one line for each transition. It must not be nil.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.Interval, 2*time.Second)
	def(&c.FastInterval, 30*time.Millisecond)
	def(&c.DownInterval, c.Interval)
	def(&c.Timeout, time.Second)
	def(&c.EjectionTime, 30*time.Second)
	c.FastInterval = min(c.FastInterval, c.Interval)
	if c.Rise == 0 {
		c.Rise = 2
	}
	if c.Fall == 0 {
		c.Fall = 3
	}
	return c
}

// Monitor checks the backends of one service and is the one writer of their
// condition.
type Monitor struct {
	cfg Config

	// mu protects the fields below.
	mu     sync.Mutex
	loops  map[*backend.Backend]*loop
	closed bool
	since  time.Time // when the first backends were followed
}

type loop struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the loop has returned
}

// NewMonitor returns a Monitor that follows no backend yet.
func NewMonitor(cfg Config) *Monitor {
	return &Monitor{cfg: cfg.withDefaults(), loops: make(map[*backend.Backend]*loop)}
}

// Follow starts to check the backends in added and stops to check those in
// removed, as backend.Pool.Set returns them; when it returns, no check of the
// removed ones runs any more. It may be called after Close, and then does
// nothing.
func (m *Monitor) Follow(added, removed []*backend.Backend) {
	m.mu.Lock()
	var stopped []*loop
	for _, b := range removed {
		if l := m.loops[b]; l != nil {
			l.cancel()
			stopped = append(stopped, l)
			delete(m.loops, b)
		}
	}
	if !m.closed {
		join := m.cfg.SlowStart > 0 && len(m.loops) > 0 && time.Since(m.since) >= m.cfg.SlowStart
		if len(m.loops) == 0 {
			m.since = time.Now()
		}
		for _, b := range added {
			if m.cfg.Check == nil {
				b.SetCondition(backend.Condition{State: backend.Unchecked, Since: time.Now()})
			}
			if join {
				b.Warm(m.cfg.SlowStart)
			}
			ctx, cancel := context.WithCancel(context.Background())
			l := &loop{cancel: cancel, done: make(chan struct{})}
			m.loops[b] = l
			go func() {
				defer close(l.done)
				m.watch(ctx, b)
			}()
		}
	}
	m.mu.Unlock()
	for _, l := range stopped {
		<-l.done
	}
}

// Close stops all checks and returns when none runs any more.
func (m *Monitor) Close() {
	m.mu.Lock()
	m.closed = true
	var all []*backend.Backend
	for b := range m.loops {
		all = append(all, b)
	}
	m.mu.Unlock()
	m.Follow(nil, all)
}

// watch judges b until ctx ends. It checks first at a random moment within the
// interval, so that many backends are not checked all at once.
func (m *Monitor) watch(ctx context.Context, b *backend.Backend) {
	w := watch{b: b, keeper: newKeeper(&m.cfg)}
	check := time.NewTimer(rand.N(m.cfg.Interval))
	defer check.Stop()
	readmit := time.NewTimer(longestEjection)
	readmit.Stop()
	defer readmit.Stop()
	suspected := b.Suspected()
	if m.cfg.Check == nil {
		check.Stop()
		suspected = nil
	}
	var last time.Time // when the last check ended
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.Alarmed():
			now := time.Now()
			until, ejected := w.alarmed(now)
			if ejected {
				readmit.Reset(until.Sub(now))
			}
			if ejected && w.refutes() {
				check.Reset(w.pause(now))
			}
			continue
		case <-readmit.C:
			if w.ejected {
				w.readmit(time.Now(), "time", "")
			}
			continue
		case <-suspected:
			// At once, but not faster than in transition, however many connects
			// fail.
			now := time.Now()
			if wait := w.pause(now) - now.Sub(last); wait > 0 {
				check.Reset(wait)
				continue
			}
		case <-check.C:
		}
		passed := w.check(ctx)
		if ctx.Err() != nil {
			return
		}
		last = time.Now()
		check.Reset(w.wait(passed, last))
	}
}

// watch is one run of Monitor.watch; one goroutine owns it.
type watch struct {
	keeper
	b       *backend.Backend
	word    backend.Word // what it said last of itself
	badWord string
}

// check makes one check and publishes what follows from it.
func (w *watch) check(ctx context.Context) (passed bool) {
	probeCtx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	result, err := w.cfg.Check.Probe(probeCtx, w.b.Addr())
	cancel()
	if ctx.Err() != nil {
		return false // stopped, which says nothing about the backend
	}
	passed = err == nil
	if passed {
		w.b.Counters.ChecksPassed.Add(1)
	} else {
		w.b.Counters.ChecksFailed.Add(1)
	}
	from, now := w.h.State(), time.Now()
	if changed, streak := w.observe(passed, result.Tested, now); changed {
		w.publish(from, streak, now, err)
	}
	if passed && result.Tested >= Answer {
		w.say(result, now)
	}
	if w.refuted(now) {
		w.readmit(now, w.cfg.Check.String(), fmt.Sprintf("%d passes in a row", w.passed))
	}
	return passed
}

// publish publishes and logs a new state.
func (w *watch) publish(from backend.State, streak int, now time.Time, err error) {
	c := backend.Condition{State: w.h.State(), Since: now, Streak: streak, Signal: w.cfg.Check.String()}
	level := slog.LevelInfo
	if err != nil {
		c.Detail = err.Error()
		c.Rise = w.h.Needed(now)
		level = slog.LevelWarn
	}
	if from == backend.Down {
		w.b.Warm(w.cfg.SlowStart)
	}
	w.b.SetCondition(c)
	w.log(level, "backend state changed", "from", from.String(), "to", c.State.String(),
		"signal", c.Signal, "streak", streak, "detail", c.Detail, "rise", c.Rise)
}

// say publishes and logs what the backend says of itself, if it is news.
func (w *watch) say(r Result, now time.Time) {
	if r.BadWord != w.badWord {
		if w.badWord = r.BadWord; w.badWord != "" {
			w.log(slog.LevelWarn, "cannot understand all that the backend says of itself", "header", WordHeader, "value", w.badWord)
		}
	}
	if r.Word == w.word {
		return
	}
	w.word = r.Word
	w.b.Say(r.Word, now)
	w.log(slog.LevelInfo, "backend says how to use it", "word", cmp.Or(r.Word.String(), "ready"))
}

// alarmed judges how live traffic fares and says until when the backend is
// ejected, if it is.
func (w *watch) alarmed(now time.Time) (until time.Time, ejected bool) {
	e, eject := w.judge(w.b.Streak(), now)
	if !eject || !w.b.Eject(e) {
		return until, false
	}
	w.eject(e)
	w.log(slog.LevelWarn, "backend ejected", "cause", e.Cause, "streak", e.Streak, "number", e.Number, "until", e.Until)
	return e.Until, true
}

// readmit ends the ejection.
func (w *watch) readmit(now time.Time, signal, why string) {
	w.keeper.readmit(now)
	w.b.Warm(w.cfg.SlowStart)
	w.b.Readmit(now, signal, why)
	w.log(slog.LevelInfo, "backend readmitted", "signal", signal, "detail", why)
}

func (w *watch) log(level slog.Level, msg string, attrs ...any) {
	w.cfg.Logger.Log(context.Background(), level, msg,
		append([]any{"service", w.b.Service(), "backend", w.b.Addr(), "id", w.b.ID()}, attrs...)...)
}

// jitter spreads d by a tenth up or down.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}
