package health

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
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
	// Paused, if not nil, returns for how long the process did not run since a
	// time: checks that fail meanwhile, and silence, say nothing of a backend.
	Paused func(since time.Time) time.Duration
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
	if c.Paused == nil {
		c.Paused = func(time.Time) time.Duration { return 0 }
	}
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
	cfg atomic.Pointer[Config]

	// mu protects the fields below.
	mu     sync.Mutex
	loops  map[*backend.Backend]*loop
	closed bool
	since  time.Time // when the first backends were followed
	left   backend.Past[keeper]
	stalls chan struct{} // closed to end the watch for stalls; nil before it begins
}

type loop struct {
	cancel  context.CancelFunc
	readmit chan string   // capacity 1; says that the ejection is to end, and why
	done    chan struct{} // closed when the loop has returned
	last    keeper        // what it knew by then
}

// NewMonitor returns a Monitor that follows no backend yet.
func NewMonitor(cfg Config) *Monitor {
	m := &Monitor{loops: make(map[*backend.Backend]*loop)}
	cfg = cfg.withDefaults()
	m.cfg.Store(&cfg)
	return m
}

// Follow starts to check the backends in added and stops to check those in
// removed, as backend.Pool.Set returns them; when it returns, no check of the
// removed ones runs any more. It may be called after Close, and then does
// nothing.
func (m *Monitor) Follow(added, removed []*backend.Backend) {
	stopped := m.end(removed)
	m.mu.Lock()
	defer m.mu.Unlock()
	cfg := m.cfg.Load()
	for b, l := range stopped {
		m.left.Keep(b.Addr(), l.last, time.Now())
	}
	if !m.closed {
		join := cfg.SlowStart > 0 && len(m.loops) > 0 && time.Since(m.since) >= cfg.SlowStart
		if len(m.loops) == 0 {
			m.since = time.Now()
		}
		if m.stalls == nil && len(added) > 0 {
			m.stalls = make(chan struct{})
			go m.watchStalls(m.stalls)
		}
		for _, b := range added {
			if cfg.Check == nil {
				b.SetCondition(backend.Condition{State: backend.Unchecked, Since: time.Now()})
			}
			if join {
				b.Warm(cfg.SlowStart)
			}
			k, back := m.left.Take(b.Addr(), time.Now())
			if !back || cfg.Check != nil && k.h.State() != b.State() {
				k = newKeeper(cfg)
			}
			m.begin(b, k)
		}
	}
}

// end stops to check backends and returns what was known of them; m.mu is not
// held.
func (m *Monitor) end(all []*backend.Backend) map[*backend.Backend]*loop {
	m.mu.Lock()
	stopped := make(map[*backend.Backend]*loop)
	for _, b := range all {
		if l := m.loops[b]; l != nil {
			l.cancel()
			stopped[b] = l
			delete(m.loops, b)
		}
	}
	m.mu.Unlock()
	for _, l := range stopped {
		<-l.done
	}
	return stopped
}

// begin starts to check b from what k knows of it; m.mu is held.
func (m *Monitor) begin(b *backend.Backend, k keeper) {
	k.cfg = m.cfg.Load()
	k.h.Rise, k.h.Fall = k.cfg.Rise, k.cfg.Fall
	ctx, cancel := context.WithCancel(context.Background())
	l := &loop{cancel: cancel, done: make(chan struct{}), readmit: make(chan string, 1)}
	m.loops[b] = l
	go func() {
		defer close(l.done)
		l.last = watchBackend(ctx, b, k, l.readmit)
	}()
}

// Close stops all checks and returns when none runs any more.
func (m *Monitor) Close() {
	m.mu.Lock()
	if !m.closed && m.stalls != nil {
		close(m.stalls)
	}
	m.closed = true
	var all []*backend.Backend
	for b := range m.loops {
		all = append(all, b)
	}
	m.mu.Unlock()
	m.Follow(nil, all)
}
