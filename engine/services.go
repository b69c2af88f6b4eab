package engine

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/discovery"
	"sluice/discovery/consul"
	"sluice/discovery/dns"
	"sluice/discovery/file"
	"sluice/l7"
	"sluice/pkg/admin"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/config"
	"sluice/pkg/health"
	"sluice/pkg/limit"
	"sluice/pkg/metricset"
	"sluice/pkg/pause"
)

// retryFloor is how many retries a second a service may always make.
const retryFloor = 10

// service is one service from its source to its balancer.
type service struct {
	name     string
	settings config.Service
	source   discovery.Source
	kind     string    // of the source
	began    time.Time // when it was made
	pool     *backend.Pool
	monitor  *health.Monitor
	checks   *memberChecks
	balancer *balance.Balancer
	budget   *limit.Budget
	policy   *l7.Policy
	httpOnly bool              // nothing but HTTP routes leads to it
	told     map[string]bool   // what was left out and logged; the source's goroutine's
	twins    map[string]bool   // addresses of several entries; the same
	standIn  map[string]string // the ID of each address; the same
	empty    bool              // it has no members, and that was logged; the same
	started  bool              // a list of members has been taken; the same
	self     *self
	static   []string // addresses of members that the configuration names
	// registered reports whether an address is registered in Consul, by whatever
	// tags; nil if nobody knows. It is for the source's goroutine.
	registered func(address string) bool
	logger     *slog.Logger
	metrics    *metricset.Shared  // its own
	consul     *metricset.Shared  // of its service in Consul; nil if it has none
	retired    []*backend.Backend // are no members any more, and were in use when last seen; the source's goroutine's
	fronts     atomic.Int32       // TCP listeners for it alone that have not ended
	once       sync.Once          // guards known
	known      chan struct{}      // closed when the first list of members has come
	cancel     context.CancelFunc // ends the source; nil before follow
	done       chan struct{}      // closed when the source has ended
}

// services are all services of a run: those of the configuration, in its
// order, and then those that come and go with a catalogue. All methods are
// safe for concurrent use.
type services struct {
	config   *config.Config
	registry *consul.Client // nil without Consul
	sets     *metricset.Sets
	pauses   *pause.Watch // of the process
	logger   *slog.Logger
	auths    auths
	instance string // of this process, in what it forwards
	self     *self
	wg       sync.WaitGroup // of who finds out the zone

	// mu protects the fields below.
	mu     sync.Mutex
	all    []*service
	byName map[string]*service
	zone   string // that of this process, once it is known
}

// newServices makes the services of the configuration. It starts nothing.
func newServices(c *config.Config, sets *metricset.Sets, pauses *pause.Watch, logger *slog.Logger) (*services, error) {
	ss := &services{instance: l7.NewInstance(), self: &self{tags: c.ConsulTags}, config: c, sets: sets, pauses: pauses, logger: logger, byName: make(map[string]*service)}
	var err error
	if ss.auths, err = openAuths(c, logger); err != nil {
		return nil, err
	}
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
	for _, name := range c.ServiceNames() {
		if _, err := ss.add(c.Service(name), ss.sources); err != nil {
			return nil, err
		}
	}
	return ss, nil
}

// add makes a service whose members come from what sourceOf makes of it. It
// starts nothing.
func (ss *services) add(settings config.Service, sourceOf func(*service, config.Service) (discovery.Source, error)) (s *service, err error) {
	tlsConfig, err := backendTLS(settings)
	if err != nil {
		return nil, fmt.Errorf("--service: %w", err)
	}
	via := health.Via{ProxyOut: settings.ProxyOut, TLS: tlsConfig}
	c := ss.config
	s = &service{name: settings.Name, settings: settings, pool: backend.NewPool(settings.Name), began: time.Now(), known: make(chan struct{}), done: make(chan struct{}), told: make(map[string]bool)}
	s.metrics = ss.sets.Join("service " + s.name)
	made := s
	defer func() {
		if err != nil {
			made.discard()
		}
	}()
	s.httpOnly = !slices.ContainsFunc(c.L4, func(l config.L4) bool { return l.Service == s.name })
	s.logger = ss.logger.With("service", s.name)
	s.self = ss.self
	for _, b := range c.StaticBackends(s.name) {
		s.static = append(s.static, b.Addr)
	}
	s.pool.SetLookup(s.lookup)
	s.pool.Limit(settings.MaxConns, settings.Queue)
	s.pool.SetPolicy(backend.Policy{Panic: *settings.PanicThreshold, MaxEjection: *settings.MaxEjection, SlowStart: *settings.SlowStart})
	s.pool.OnMember(s.tellMember)
	health.LogPanic(s.pool, ss.logger)
	health.LogLastResort(s.pool, ss.logger)
	logTiers(s.pool, ss.logger)
	s.budget = limit.NewBudget(float64(*settings.RetryBudget)/100, retryFloor, time.Now())
	if s.checks, err = ss.checksOf(s, settings, via); err != nil {
		return nil, err
	}
	for _, to := range settings.Failover {
		if !c.IsService(to) {
			continue // it is a datacenter
		}
		if s.checks.others[to], err = ss.checksOf(s, c.Service(to), via); err != nil {
			return nil, err
		}
	}
	s.monitor = health.NewMonitor(health.Config{
		Check:        s.checks.asCheck(),
		Interval:     c.HealthInterval,
		FastInterval: c.HealthFastInterval,
		DownInterval: c.HealthDownInterval,
		Timeout:      c.HealthTimeout,
		Rise:         c.HealthRise,
		Fall:         c.HealthFall,
		EjectionTime: *settings.EjectionTime,
		SlowStart:    *settings.SlowStart,
		Paused:       ss.pauses.Since,
		Logger:       ss.logger,
	})
	if s.balancer, err = balance.New(s.pool, settings.Strategy); err != nil {
		return nil, fmt.Errorf("--service: %w", err)
	}
	if s.policy, err = l7.NewPolicy(policyConfig(c, settings, s.pool, s.metrics.Set, ss.logger)); err != nil {
		return nil, fmt.Errorf("--service: %w", err)
	}
	if s.source, err = sourceOf(s, settings); err != nil {
		return nil, err
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.byName[s.name] != nil {
		return nil, fmt.Errorf("there is a service %q already", s.name)
	}
	s.pool.SetZone(ss.zone)
	ss.all = append(ss.all, s)
	ss.byName[s.name] = s
	return s, nil
}

// checksOf returns how the members of s, or of a service that it fails over to,
// are checked by the settings of that service.
func (ss *services) checksOf(s *service, settings config.Service, via health.Via) (*memberChecks, error) {
	check, err := health.ParseCheck(settings.Check, via)
	if err != nil {
		return nil, fmt.Errorf("--service: %w", err)
	}
	fixed := slices.ContainsFunc(ss.config.Services, func(x config.Service) bool { return x.Name == settings.Name && x.Check != "" })
	if !fixed && s.httpOnly {
		check = health.NewAutoCheck(via)
	}
	return newMemberChecks(check, fixed, via, s.logger), nil
}

// sources returns the source that the settings of a service name, or the union
// of several.
func (ss *services) sources(s *service, settings config.Service) (discovery.Source, error) {
	all, err := ss.namedSources(s, settings)
	if err != nil {
		return nil, err
	}
	for i, to := range settings.Failover {
		var later discovery.Source
		if ss.config.IsService(to) {
			sources, err := ss.namedSources(s, ss.config.Service(to))
			if err != nil {
				return nil, err
			}
			later = sources
		} else {
			later = ss.inConsul(s, settings, to)
		}
		source := discovery.Later{Source: later, After: (i + 1) * (backend.MaxPriority + 1)}
		if ss.config.IsService(to) {
			source.From = to
		}
		all = append(all, discovery.Named{Name: to, Source: source})
	}
	for _, n := range all {
		s.kind = strings.TrimSpace(s.kind + " " + n.Name)
	}
	if len(all) == 1 {
		return all[0].Source, nil // whose IDs need no prefix
	}
	return all, nil
}

// namedSources returns the sources that settings name, which may be those of a
// service that s fails over to.
func (ss *services) namedSources(s *service, settings config.Service) (all discovery.Union, err error) {
	if static := ss.forward(ss.config.StaticBackends(settings.Name)); len(static) > 0 {
		all = append(all, discovery.Named{Name: "static", Source: staticSource(static)})
	}
	if settings.File != "" {
		all = append(all, discovery.Named{Name: "file", Source: file.New(file.Config{
			Service: s.name, Path: settings.File, Logger: ss.logger, Metrics: s.metrics.Set,
		})})
	}
	if settings.DNS != "" {
		source, err := dns.New(ss.dnsConfig(s, settings))
		if err != nil {
			return nil, fmt.Errorf("--service: %q: dns=%w", s.name, err)
		}
		all = append(all, discovery.Named{Name: "dns", Source: source})
	}
	if ss.config.InConsul(settings.Name) {
		all = append(all, discovery.Named{Name: "consul", Source: ss.inConsul(s, settings, settings.Datacenter)})
	}
	return all, nil
}

// inConsul returns the source of members that are in a datacenter of Consul.
func (ss *services) inConsul(s *service, settings config.Service, datacenter string) discovery.Source {
	if s.consul == nil {
		s.consul = ss.joinConsul(settings.Consul)
	}
	return ss.registry.Service(consul.Query{
		Service: settings.Consul, Tag: settings.Tag, Port: settings.Port, Datacenter: datacenter, Up: s.up, Traffic: s.traffic, Metrics: s.consul.Set,
	})
}

// joinConsul returns the metrics of a service in Consul, which are those of all
// who follow it.
func (ss *services) joinConsul(service string) *metricset.Shared {
	return ss.sets.Join("consul service " + service)
}

func (ss *services) dnsConfig(s *service, settings config.Service) dns.Config {
	c := dns.Config{
		Service: s.name, Name: settings.DNS, MinTTL: ss.config.DNSMinTTL, MaxTTL: ss.config.DNSMaxTTL, Keep: orNever(ss.config.DNSKeep),
		Up: s.up, Down: s.down, Logger: ss.logger, Metrics: s.metrics.Set,
	}
	for _, server := range ss.config.DNSServers {
		c.Servers = append(c.Servers, string(server))
	}
	return c
}

// forward returns those of static members that do not lead back to their own
// service; checkLoops has seen to it that there are some.
func (ss *services) forward(static []config.Backend) []config.Backend {
	back := loops(ss.config, localAddrs())
	return slices.DeleteFunc(static, func(b config.Backend) bool {
		if !back[b.Service+"="+b.Addr] {
			return false
		}
		ss.logger.Warn("left out a --backend that leads back to its own service by a listener of this process", "service", b.Service, "addr", b.Addr)
		return true
	})
}

func staticSource(backends []config.Backend) discovery.Static {
	var members discovery.Static
	for _, b := range backends {
		members = append(members, discovery.Member{Target: backend.Target{ID: b.Addr, Address: b.Addr, Weight: b.Weight, Zone: b.Zone, Priority: b.Priority}})
	}
	return members
}

// up reports whether a member of that address passes sluice's own check.
func (s *service) up(address string) bool {
	return s.checks.made(address) && slices.ContainsFunc(s.pool.Snapshot().All, func(b *backend.Backend) bool {
		return b.Addr() == address && b.State() == backend.Up
	})
}

// traffic returns a number that changes while the service has traffic.
func (s *service) traffic() (n uint64) {
	for _, b := range s.pool.Snapshot().All {
		c := &b.Counters
		n += c.Connections.Load() + c.ConnectFailures.Load() + c.BytesIn.Load() + c.BytesOut.Load() + uint64(b.Active())
	}
	return n
}

// down reports whether a member of that address fails sluice's own check.
func (s *service) down(address string) bool {
	return slices.ContainsFunc(s.pool.Snapshot().All, func(b *backend.Backend) bool {
		return b.Addr() == address && b.State() == backend.Down
	})
}

// list returns the services there are now.
func (ss *services) list() []*service {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return slices.Clone(ss.all)
}

// get returns a service by name, nil if there is none.
func (ss *services) get(name string) *service {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.byName[name]
}

// start begins to watch and to check the services there are, and to find out
// the own zone, until ctx ends or stop is called. ecs is where ECS says what it
// knows of this task, if that is where it runs.
func (ss *services) start(ctx context.Context, ecs string) {
	if ss.config.Zone == config.ZoneAuto {
		ss.wg.Go(func() {
			if zone := findZone(ctx, ss.zoneAskers(ecs), ss.logger); zone != "" {
				ss.setZone(zone)
			}
		})
	}
	ss.auths.follow(ctx)
	for _, s := range ss.list() {
		s.follow()
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

// follow begins to watch and to check.
func (s *service) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() {
		defer close(s.done)
		_ = s.source.Watch(ctx, s.update) // its error is ctx's
	}()
}

// update takes a new list of members, from one goroutine at a time.
func (s *service) update(members []discovery.Member) {
	members, withdrawn := discovery.Split(members)
	withdrawn = append(withdrawn, s.untagged(members)...)
	members = s.merged(s.spoken(s.others(members)))
	s.checks.set(members)
	s.pool.Withdraw(withdrawn)
	added, removed := s.pool.Set(discovery.Targets(members))
	s.monitor.Follow(added, removed)
	s.retired = slices.DeleteFunc(append(s.retired, removed...), idle)
	s.started = true
	s.tellEmpty(len(members))
	s.once.Do(func() { close(s.known) })
}

// speakProxy changes the version of the PROXY header that members get, of
// sluice's own checks. It is called by whoever calls update, which must follow.
func (s *service) speakProxy(version int) error {
	via := s.checks.via
	via.ProxyOut = version
	check, err := health.ParseCheck(s.settings.Check, via)
	if err != nil {
		return err
	}
	s.settings.ProxyOut = version
	s.checks.replace(check, via)
	return nil
}

// spoken returns those of members that speak what is spoken to the service: if
// only HTTP routes lead to it, not those that say that they do not speak HTTP.
func (s *service) spoken(members []discovery.Member) []discovery.Member {
	if !s.httpOnly {
		return members
	}
	told := make(map[string]bool) // of those that are members still
	defer func() { s.told = told }()
	return slices.DeleteFunc(members, func(m discovery.Member) bool {
		if m.Protocol == "" || m.Protocol == "http" {
			return false
		}
		key := m.ID + " " + m.Protocol
		if told[key] = true; !s.told[key] {
			s.logger.Warn("left out a member that does not speak HTTP, which is all that is spoken to the service", "id", m.ID, "protocol", m.Protocol)
		}
		return true
	})
}

// end ends what follow began and returns when no check runs any more.
func (s *service) end() {
	if s.cancel != nil {
		s.cancel()
		<-s.done
	}
	s.monitor.Close()
}

func idle(b *backend.Backend) bool { return b.Active() == 0 }

// over reports whether a service without members serves nobody any more. It is
// called by whoever calls update.
func (s *service) over() bool {
	s.retired = slices.DeleteFunc(s.retired, idle)
	return s.fronts.Load() == 0 && len(s.retired) == 0
}

// discard gives back what a service holds that does not run.
func (s *service) discard() {
	if s.monitor != nil {
		s.monitor.Close()
	}
	if s.policy != nil {
		s.policy.Close()
	}
	s.metrics.Leave()
	if s.consul != nil {
		s.consul.Leave()
	}
}

// remove ends a service and forgets it with its metrics. Whatever connections
// it has live on.
func (ss *services) remove(s *service) {
	s.end()
	ss.mu.Lock()
	ss.all = slices.DeleteFunc(ss.all, func(x *service) bool { return x == s })
	delete(ss.byName, s.name)
	ss.mu.Unlock()
	s.discard()
}

// awaitFirstLists waits until every service has its first list of members, at
// most until limit, and returns the names of those that have none.
func (ss *services) awaitFirstLists(limit time.Time) (missing []string) {
	timer := time.NewTimer(time.Until(limit))
	defer timer.Stop()
	for _, s := range ss.list() {
		select {
		case <-s.known:
		case <-timer.C:
			waiting, late := ss.unknown()
			return append(waiting, late...)
		}
	}
	return nil
}

// troubles returns what is wrong with the sources of the services, in words.
func (ss *services) troubles() (all []string) {
	for _, s := range ss.list() {
		if snap := s.pool.Snapshot(); snap.Version > 0 && len(snap.All) == 0 && !s.byTags() {
			all = append(all, fmt.Sprintf("service %s has no members: %s", s.name, s.emptyHint()))
		}
		for _, r := range s.source.Reports() {
			if r.Trouble != "" {
				all = append(all, fmt.Sprintf("service %s, %s: %s; %d members kept, since %s",
					s.name, r.Source, r.Trouble, r.Kept, r.Since.UTC().Format(time.RFC3339)))
			}
		}
	}
	return all
}

// shown returns the services as the control plane shows them.
func (ss *services) shown() (all []admin.Service) {
	for _, s := range ss.list() {
		all = append(all, admin.Service{Pool: s.pool, Strategy: s.balancer.Strategy, Sources: s.reports})
	}
	return all
}

func (s *service) reports() (all []admin.Source) {
	for _, r := range s.source.Reports() {
		all = append(all, admin.Source{Source: r.Source, Trouble: r.Trouble, Since: r.Since, Kept: r.Kept})
	}
	return all
}

// stop ends every source and check and returns when none runs any more. The
// context passed to start must have ended.
func (ss *services) stop() {
	ss.wg.Wait()
	for _, s := range ss.list() {
		if s.cancel != nil {
			s.cancel()
		}
	}
	for _, s := range ss.list() {
		s.end()
	}
}
