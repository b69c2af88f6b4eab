package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/discovery"
	"sluice/discovery/consul"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/config"
	"sluice/pkg/health"
	"sluice/pkg/limit"
)

// retryFloor is how many retries a second a service may always make.
const retryFloor = 10

// service is one service from its source to its balancer.
type service struct {
	name     string
	source   discovery.Source
	pool     *backend.Pool
	monitor  *health.Monitor
	balancer *balance.Balancer
	budget   *limit.Budget
	known    chan struct{} // closed when the first list of members has come
}

// services are all services of a run, in the order of the configuration.
type services struct {
	all    []*service
	byName map[string]*service
	wg     sync.WaitGroup

	registry *consul.Client // nil without Consul
	zone     string         // as configured
	logger   *slog.Logger
}

func newServices(c *config.Config, set *metrics.Set, logger *slog.Logger) (*services, error) {
	ss := &services{byName: make(map[string]*service), zone: c.Zone, logger: logger}
	if c.Consul != "" {
		var err error
		ss.registry, err = consul.New(consul.Config{Address: c.Consul, Logger: logger, Metrics: set})
		if err != nil {
			return nil, fmt.Errorf("--consul: %w", err)
		}
	}
	for _, name := range c.ServiceNames() {
		settings := c.Service(name)
		check, err := health.ParseCheck(settings.Check)
		if err != nil {
			return nil, fmt.Errorf("--service: %w", err)
		}
		s := &service{name: name, pool: backend.NewPool(name), known: make(chan struct{})}
		s.pool.Limit(settings.MaxConns, settings.Queue)
		policy := backend.Policy{Panic: *settings.PanicThreshold, MaxEjection: *settings.MaxEjection}
		if c.Zone != config.ZoneAuto {
			policy.Zone = c.Zone
		}
		s.pool.SetPolicy(policy)
		health.LogPanic(s.pool, logger)
		s.budget = limit.NewBudget(float64(c.RetryBudget)/100, retryFloor, time.Now())
		s.monitor = health.NewMonitor(health.Config{
			Check:        check,
			Interval:     c.HealthInterval,
			FastInterval: c.HealthFastInterval,
			DownInterval: c.HealthDownInterval,
			Timeout:      c.HealthTimeout,
			Rise:         c.HealthRise,
			Fall:         c.HealthFall,
			EjectionTime: c.EjectionTime,
			SlowStart:    *settings.SlowStart,
			Logger:       logger,
		})
		if s.balancer, err = balance.New(s.pool, settings.Strategy); err != nil {
			return nil, fmt.Errorf("--service: %w", err)
		}
		if static := c.StaticBackends(name); len(static) > 0 {
			s.source = staticSource(static)
		} else {
			s.source = ss.registry.Service(settings.Consul, settings.Tag)
		}
		ss.all = append(ss.all, s)
		ss.byName[name] = s
	}
	return ss, nil
}

func staticSource(backends []config.Backend) discovery.Static {
	var targets discovery.Static
	for _, b := range backends {
		targets = append(targets, backend.Target{ID: b.Addr, Address: b.Addr, Weight: b.Weight, Zone: b.Zone})
	}
	return targets
}

// start begins to watch and to check until ctx ends and stop is called. ecs is
// where ECS says what it knows of this task, if that is where it runs.
func (ss *services) start(ctx context.Context, ecs string) {
	if ss.zone == config.ZoneAuto {
		ss.wg.Go(func() {
			if zone := findZone(ctx, ss.zoneAskers(ecs), ss.logger); zone != "" {
				for _, s := range ss.all {
					s.pool.SetZone(zone)
				}
			}
		})
	}
	for _, s := range ss.all {
		ss.wg.Go(func() {
			var once sync.Once
			_ = s.source.Watch(ctx, func(targets []backend.Target) { // its error is ctx's
				s.monitor.Follow(s.pool.Set(targets))
				once.Do(func() { close(s.known) })
			})
		})
	}
}

// awaitFirstLists waits until every service has its first list of members, at
// most for limit, and returns the names of those that have none.
func (ss *services) awaitFirstLists(limit time.Duration) (missing []string) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for _, s := range ss.all {
		select {
		case <-s.known:
		case <-timer.C:
			return ss.unknown()
		}
	}
	return nil
}

// unknown returns the names of the services whose members are not known yet.
func (ss *services) unknown() (names []string) {
	for _, s := range ss.all {
		if s.pool.Snapshot().Version == 0 {
			names = append(names, s.name)
		}
	}
	return names
}

// stop ends the checks and returns when no source and no check runs any more.
// The context passed to start must have ended.
func (ss *services) stop() {
	ss.wg.Wait()
	for _, s := range ss.all {
		s.monitor.Close()
	}
}
