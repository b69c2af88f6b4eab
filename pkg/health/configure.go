package health

import (
	"time"

	"sluice/pkg/backend"
)

// Configure replaces how the backends are checked. What is known of them stays:
// their states, their streaks and ejections. It does nothing if cfg says what is
// so already; of Paused and Logger that is assumed. It must not be called at the
// same time as Follow.
func (m *Monitor) Configure(cfg Config) {
	cfg = cfg.withDefaults()
	old := m.cfg.Load()
	if old.same(cfg) {
		return
	}
	m.mu.Lock()
	var all []*backend.Backend
	for b := range m.loops {
		all = append(all, b)
	}
	m.mu.Unlock()
	stopped := m.end(all)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cfg.Store(&cfg)
	if m.closed {
		return
	}
	for b, l := range stopped {
		k := l.last
		if (old.Check == nil) != (cfg.Check == nil) {
			k = newKeeper(&cfg)
			state := backend.Unknown
			if cfg.Check == nil {
				state = backend.Unchecked
			}
			b.SetCondition(backend.Condition{State: state, Since: time.Now()})
		}
		m.begin(b, k)
	}
}

// same reports whether both say the same of how backends are checked.
func (c *Config) same(o Config) bool {
	type numbers struct {
		interval, fast, down, timeout, ejection, slow time.Duration
		rise, fall                                    int
	}
	of := func(c *Config) numbers {
		return numbers{c.Interval, c.FastInterval, c.DownInterval, c.Timeout, c.EjectionTime, c.SlowStart, c.Rise, c.Fall}
	}
	return c.Check == o.Check && of(c) == of(&o)
}
