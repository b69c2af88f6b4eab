package engine

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/discovery"
	"sluice/discovery/consul"
	"sluice/engine/desired"
	"sluice/l7"
	"sluice/pkg/admin"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/config"
	"sluice/pkg/control"
	"sluice/pkg/health"
	"sluice/pkg/limit"
	"sluice/pkg/metricset"
	"sluice/pkg/pause"
)

// firstListWait is how long a start, or a service that is new, waits for the
// first list of members before connections come that could not be served.
const firstListWait = 2 * time.Second

// services are all services that run: those that are wanted, and those that are
// not any more and have connections left. All methods are safe for concurrent
// use.
type services struct {
	config   atomic.Pointer[config.Config] // with the operator's overlay
	registry *consul.Client                // nil without Consul
	sets     *metricset.Sets
	pauses   *pause.Watch     // of the process
	journal  *control.Journal // nil: nobody is told of transitions
	logger   *slog.Logger
	auths    auths
	instance string // of this process, in what it forwards
	self     *self
	tagged   func(services []string) []discovery.Report // what tells how tags' sources are doing; nil without tags
	isThere  func(address string) bool                  // as service.registered
	wg       sync.WaitGroup                             // of who finds out the zone
	ready    atomic.Int64                               // sluices of the fleet; 0: none, or not known yet

	// mu protects the fields below.
	mu       sync.Mutex
	all      []*service
	departed []*service // are not in all, and have connections still
	zone     string     // that of this process, once it is known
}

// newServices makes no service yet, and starts nothing.
func newServices(c *config.Config, sets *metricset.Sets, pauses *pause.Watch, logger *slog.Logger) (*services, error) {
	ss := &services{instance: l7.NewInstance(), self: &self{tags: c.ConsulTags}, sets: sets, pauses: pauses, logger: logger, auths: auths{logger: logger}}
	ss.config.Store(c)
	sets.Main.NewGauge("sluice_fleet_ready_tasks", func() float64 { return float64(ss.ready.Load()) })
	if c.Zone != config.ZoneAuto {
		ss.zone = c.Zone
	}
	if c.Consul != "" {
		var err error
		ss.registry, err = consul.New(consul.Config{
			Address: c.Consul, Datacenter: c.ConsulDatacenter, Keep: c.ConsulKeep, MaxConns: c.ConsulMaxConns, Logger: logger, Metrics: sets.Main,
		})
		if err != nil {
			return nil, fmt.Errorf("--consul: %w", err)
		}
	}
	return ss, nil
}

// make makes a service of which nobody knows yet, and what it takes to make it
// as it is wanted. It starts nothing.
func (ss *services) make(want desired.Service) (c *change, err error) {
	name := want.Settings.Name
	s := &service{id: want.ID, name: name, pool: backend.NewPool(name), began: time.Now(), self: ss.self, told: make(map[string]bool)}
	s.metrics = ss.sets.Join("service " + name)
	s.switches = s.metrics.GetOrCreateCounter(fmt.Sprintf("sluice_strategy_switches_total{service=%q}", name))
	defer func() {
		if err != nil {
			s.discard()
		}
	}()
	s.logger = ss.logger.With("service", name)
	s.static.Store(&[]string{})
	if want.Pool != nil {
		s.registered = ss.isThere
	}
	s.pool.SetLookup(s.lookup)
	s.pool.OnMember(s.tellMember)
	if ss.journal != nil {
		tellJournal(ss.journal, s.pool)
	}
	health.LogPanic(s.pool, ss.logger)
	health.LogLastResort(s.pool, ss.logger)
	logTiers(s.pool, ss.logger)
	s.budget = limit.NewBudget(float64(*want.Settings.RetryBudget)/100, retryFloor, time.Now())
	s.checks = newMemberChecks(s.logger)
	if s.balancer, err = balance.New(s.pool, want.Settings.Strategy); err != nil {
		return nil, fmt.Errorf("--service: %w", err)
	}
	if s.policy, err = l7.NewPolicy(policyConfig(want, ss.part(), s.pool, s.metrics.Set, ss.logger)); err != nil {
		return nil, fmt.Errorf("--service: %w", err)
	}
	if c, err = ss.prepare(s, want); err != nil {
		return nil, err
	}
	s.checks.become(c.check)
	s.monitor = health.NewMonitor(monitorConfig(want, s.checks, ss.pauses.Since, ss.logger))
	return c, nil
}

// add makes a service known, or one that had departed wanted again.
func (ss *services) add(s *service) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.departed = slices.DeleteFunc(ss.departed, func(x *service) bool { return x == s })
	s.pool.SetZone(ss.zone)
	ss.all = append(ss.all, s)
}

// depart takes a service out of use, which stays until its last connection has
// ended.
func (ss *services) depart(s *service) {
	s.leave()
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.all = slices.DeleteFunc(ss.all, func(x *service) bool { return x == s })
	if !slices.Contains(ss.departed, s) {
		ss.departed = append(ss.departed, s)
	}
}

// remove forgets a service that nothing has used yet.
func (ss *services) remove(s *service) {
	ss.mu.Lock()
	ss.all = slices.DeleteFunc(ss.all, func(x *service) bool { return x == s })
	ss.mu.Unlock()
	s.end()
	s.discard()
}

// find returns a service by its ID, nil if there is none, and whether it has
// departed.
func (ss *services) find(id string) (s *service, departed bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	is := func(s *service) bool { return s.id == id }
	if i := slices.IndexFunc(ss.all, is); i >= 0 {
		return ss.all[i], false
	}
	if i := slices.IndexFunc(ss.departed, is); i >= 0 {
		return ss.departed[i], true
	}
	return nil, false
}

// wanted returns the services there are now, without those that depart.
func (ss *services) wanted() []*service {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return slices.Clone(ss.all)
}

// bury forgets the departed services whose connections have ended, with their
// metrics.
func (ss *services) bury() {
	ss.mu.Lock()
	var over []*service
	ss.departed = slices.DeleteFunc(ss.departed, func(s *service) bool {
		if !s.over() {
			return false
		}
		over = append(over, s)
		return true
	})
	ss.mu.Unlock()
	for _, s := range over {
		s.end()
		s.discard()
		s.logger.Info("a service that is not wanted any more is gone")
	}
}

// list returns the services there are now, those that depart included.
func (ss *services) list() []*service {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return slices.Concat(ss.all, ss.departed)
}

// parts returns the service of a name and, if a canary leads to a part of its
// backends, that part; nothing if there is none.
func (ss *services) parts(name string) (all []*service) {
	for _, s := range ss.wanted() {
		switch {
		case s.name == name:
			all = slices.Insert(all, 0, s)
		case s.wants.Load().PartOf == name:
			all = append(all, s)
		}
	}
	return all
}

// called returns the names of all services by their IDs.
func (ss *services) called() map[string]string {
	names := make(map[string]string)
	for _, s := range ss.list() {
		names[s.id] = s.name
	}
	return names
}

// get returns a service that is wanted by its ID, nil if there is none.
func (ss *services) get(id string) *service {
	s, departed := ss.find(id)
	if departed {
		return nil
	}
	return s
}

// named returns a service that is wanted by its name, nil if there is none.
func (ss *services) named(name string) *service {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, s := range ss.all {
		if s.name == name {
			return s
		}
	}
	return nil
}

// start begins to find out the own zone, until ctx ends. ecs is where ECS says
// what it knows of this task, if that is where it runs.
func (ss *services) start(ctx context.Context, ecs string) {
	if ss.config.Load().Zone == config.ZoneAuto {
		ss.wg.Go(func() {
			if zone := findZone(ctx, ss.zoneAskers(ecs), ss.logger); zone != "" {
				ss.setZone(zone)
			}
		})
	}
}

// setPolicy gives a pool another policy, in the zone of this process.
func (ss *services) setPolicy(p *backend.Pool, policy backend.Policy) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	policy.Zone = ss.zone
	if policy != p.Policy() {
		p.SetPolicy(policy)
	}
}

// setZone tells all services, now and to come, where this process runs.
func (ss *services) setZone(zone string) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.zone = zone
	for _, s := range ss.all {
		s.pool.SetZone(zone)
	}
}

// awaitFirstLists waits until each of some services has its first list of
// members, at most until limit, and returns the names of those that have none.
func awaitFirstLists(all []*service, limit time.Time) (missing []string) {
	timer := time.NewTimer(time.Until(limit))
	defer timer.Stop()
	for i, s := range all {
		select {
		case <-s.listedOnce():
		case <-timer.C:
			for _, s := range all[i:] {
				if !s.isKnown() {
					missing = append(missing, s.name)
				}
			}
			return missing
		}
	}
	return nil
}

// troubles returns what is wrong with the sources of the services, in words.
func (ss *services) troubles() (all []string) {
	for _, s := range ss.wanted() {
		if snap := s.pool.Snapshot(); snap.Version > 0 && len(snap.All) == 0 && !s.byTags() {
			all = append(all, fmt.Sprintf("service %s has no members: %s", s.name, s.emptyHint()))
		}
		for _, r := range s.reports() {
			if r.Trouble != "" {
				all = append(all, fmt.Sprintf("service %s, %s: %s; %d members kept, since %s",
					s.name, r.Source, r.Trouble, r.Kept, r.Since.UTC().Format(time.RFC3339)))
			}
		}
	}
	return all
}

// ownZone returns the zone of this process; empty if it is not known.
func (ss *services) ownZone() string {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.zone
}

// shown returns the services as the control plane shows them.
func (ss *services) shown() (all []admin.Service) {
	for _, s := range ss.list() {
		all = append(all, admin.Service{Pool: s.pool, Strategy: s.balancer.Strategy, Switches: s.switches.Get, Sources: s.shownSources})
	}
	return all
}

func (s *service) shownSources() (all []admin.Source) {
	for _, r := range s.reports() {
		all = append(all, admin.Source{Source: r.Source, Trouble: r.Trouble, Since: r.Since, Kept: r.Kept})
	}
	return all
}

// stop ends every source and check and returns when none runs any more. The
// context passed to start must have ended.
func (ss *services) stop() {
	ss.wg.Wait()
	for _, s := range ss.list() {
		s.end()
	}
	ss.auths.close()
}
