package engine

import (
	"fmt"
	"log/slog"
	"time"

	"sluice/engine/desired"
	"sluice/l7"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/health"
)

// change is what it takes to make a service be otherwise, made ready so that it
// cannot fail.
type change struct {
	s      *service
	next   desired.Service
	check  checkRules
	policy l7.PolicyConfig
	feed   *feed // nil: the one there is stays
}

// prepare makes a change ready. It changes nothing.
func (ss *services) prepare(s *service, next desired.Service) (*change, error) {
	c := &change{s: s, next: next, policy: policyConfig(next, ss.part(), s.pool, s.metrics.Set, ss.logger)}
	var err error
	if c.check, err = ss.checkRules(next); err != nil {
		return nil, err
	}
	if !balance.Valid(next.Settings.Strategy) {
		return nil, fmt.Errorf("--service: %q: unknown strategy %q", s.name, next.Settings.Strategy)
	}
	if err := c.policy.Check(); err != nil {
		return nil, fmt.Errorf("--service: %q: %w", s.name, err)
	}
	if old := s.wants.Load(); old == nil || !s.isFed() || !sameOrigins(*old, next) {
		if c.feed, err = ss.feed(s, next); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// commit makes the service be as it was prepared, and touches nothing of it that
// did not change. Connections and requests that are open are not touched.
func (c *change) commit(ss *services) {
	s, next := c.s, c.next
	old := s.wants.Load()
	settings := next.Settings
	if old != nil && old.Settings.Strategy != settings.Strategy {
		if err := s.balancer.SetStrategy(settings.Strategy); err == nil { // prepare has seen to it
			s.switches.Inc()
			s.logger.Info("strategy switched", "from", old.Settings.Strategy, "to", settings.Strategy)
		}
	}
	static := next.Static()
	s.static.Store(&static)
	s.mu.Lock()
	s.wants.Store(&next)
	s.pool.Limit(settings.MaxConns, settings.Queue)
	ss.setPolicy(s.pool, backend.Policy{Panic: *settings.PanicThreshold, MaxEjection: *settings.MaxEjection, SlowStart: *settings.SlowStart, HashBalance: settings.HashBalance})
	_ = s.policy.Set(c.policy) // prepare has seen to it
	s.budget.SetRatio(float64(*settings.RetryBudget) / 100)
	s.pool.SetMaintenance(maintenanceOf(next.Orders))
	s.checks.become(c.check)
	s.monitor.Configure(monitorConfig(next, s.checks, ss.pauses.Since, ss.logger))
	if old != nil {
		s.adopt()
	}
	s.mu.Unlock()
	if c.feed != nil {
		s.follow(c.feed)
	}
	if next.Pool != nil && (old == nil || old.Pool == nil || !old.Pool.Equal(*next.Pool)) {
		s.give(next.Pool.Members)
	}
}

// maintenanceOf returns what a pool is told of an operator's maintenance; nil
// for none.
func maintenanceOf(o desired.Orders) *backend.Closed {
	if !o.Maintenance {
		return nil
	}
	return &backend.Closed{Text: o.Text}
}

// monitorConfig says how the members of a service are checked.
func monitorConfig(want desired.Service, checks *memberChecks, paused func(time.Time) time.Duration, logger *slog.Logger) health.Config {
	return health.Config{
		Check:        checks.asCheck(),
		Interval:     want.Checks.Interval,
		FastInterval: want.Checks.FastInterval,
		DownInterval: want.Checks.DownInterval,
		Timeout:      want.Checks.Timeout,
		Rise:         want.Checks.Rise,
		Fall:         want.Checks.Fall,
		EjectionTime: *want.Settings.EjectionTime,
		SlowStart:    *want.Settings.SlowStart,
		Paused:       paused,
		Logger:       logger,
	}
}
