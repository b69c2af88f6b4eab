package health

import (
	"context"
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
		for _, b := range added {
			if m.cfg.Check == nil {
				b.SetCondition(backend.Condition{State: backend.Unchecked, Since: time.Now()})
				continue
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

// watch checks b until ctx ends, first at a random moment within the interval
// so that many backends are not checked all at once.
func (m *Monitor) watch(ctx context.Context, b *backend.Backend) {
	h := Hysteresis{Rise: m.cfg.Rise, Fall: m.cfg.Fall}
	timer := time.NewTimer(rand.N(m.cfg.Interval))
	defer timer.Stop()
	var last time.Time // when the last check ended
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-b.Suspected():
			// At once, but not faster than in transition, however many connects
			// fail.
			now := time.Now()
			if wait := h.Spacing(now, m.cfg.FastInterval, m.cfg.Interval) - now.Sub(last); wait > 0 {
				timer.Reset(wait)
				continue
			}
		}
		passed := m.check(ctx, b, &h)
		if ctx.Err() != nil {
			return
		}
		last = time.Now()
		timer.Reset(m.wait(&h, passed))
	}
}

// wait returns the time until the next check after one that passed or not.
func (m *Monitor) wait(h *Hysteresis, passed bool) time.Duration {
	switch {
	case h.Contrary() > 0:
		return h.Spacing(time.Now(), m.cfg.FastInterval, m.cfg.Interval)
	case !passed:
		return jitter(m.cfg.DownInterval)
	}
	return jitter(m.cfg.Interval)
}

// check makes one check and publishes what follows from it.
func (m *Monitor) check(ctx context.Context, b *backend.Backend, h *Hysteresis) (passed bool) {
	probeCtx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	err := m.cfg.Check.Probe(probeCtx, b.Addr())
	cancel()
	if ctx.Err() != nil {
		return false // stopped, which says nothing about the backend
	}
	passed = err == nil
	if passed {
		b.Counters.ChecksPassed.Add(1)
	} else {
		b.Counters.ChecksFailed.Add(1)
	}
	from, now := h.State(), time.Now()
	changed, streak := h.Observe(passed, now)
	if !changed {
		return passed
	}
	c := backend.Condition{State: h.State(), Since: now, Streak: streak, Signal: m.cfg.Check.String()}
	level := slog.LevelInfo
	if err != nil {
		c.Detail = err.Error()
		c.Rise = h.Needed(now)
		level = slog.LevelWarn
	}
	b.SetCondition(c)
	m.cfg.Logger.Log(ctx, level, "backend state changed",
		"service", b.Service(), "backend", b.Addr(), "id", b.ID(),
		"from", from.String(), "to", c.State.String(),
		"signal", c.Signal, "streak", streak, "detail", c.Detail, "rise", c.Rise)
	return passed
}

// jitter spreads d by a tenth up or down.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}
