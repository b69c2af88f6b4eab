package engine

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/discovery"
	"sluice/discovery/fabio"
	"sluice/engine/desired"
	"sluice/l7"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/health"
	"sluice/pkg/limit"
	"sluice/pkg/metricset"
)

// retryFloor is how many retries a second a service may always make.
const retryFloor = 10

// service is one service that runs, from where its members come from to its
// balancer. All methods are safe for concurrent use; those of the lists of
// members are called with mu held.
type service struct {
	id       string
	name     string
	began    time.Time // when it was made
	pool     *backend.Pool
	monitor  *health.Monitor
	checks   *memberChecks
	balancer *balance.Balancer
	budget   *limit.Budget
	policy   *l7.Policy
	self     *self
	logger   *slog.Logger
	metrics  *metricset.Shared // its own
	consul   *metricset.Shared // of its service in Consul; nil if it has none
	static   atomic.Pointer[[]string]
	wants    atomic.Pointer[desired.Service] // as applied
	switches *metrics.Counter                // of its strategy
	fronts   atomic.Int32                    // TCP listeners that lead to it and have not ended
	// registered reports whether an address is registered in Consul, by whatever
	// tags; nil if nobody knows.
	registered func(address string) bool

	// mu protects the fields below.
	mu      sync.Mutex
	feed    *feed              // nil before follow
	listed  []discovery.Member // by the feed, as last heard
	heard   bool               // the feed has said something
	told    map[string]bool    // what was left out and logged
	twins   map[string]bool    // addresses of several entries
	standIn map[string]string  // the ID of each address
	empty   bool               // it has no members, and that was logged
	started bool               // a list of members has been taken
	retired []*backend.Backend // are no members any more, and were in use when last seen
}

// feed is what lists the members of a service.
type feed struct {
	source discovery.Source
	kind   string // names its parts
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
	once   sync.Once     // guards first
	first  chan struct{} // closed when it has listed the members once
}

// follow has the service's members be those that f lists, in place of the feed
// before, whose list counts until f has one.
func (s *service) follow(f *feed) {
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel, f.done, f.first = cancel, make(chan struct{}), make(chan struct{})
	s.mu.Lock()
	old := s.feed
	s.feed = f
	if all, known := f.source.(discovery.Static); known {
		s.take(slices.Clone(all))
		f.once.Do(func() { close(f.first) })
	}
	s.mu.Unlock()
	if old != nil {
		old.cancel()
		<-old.done
	}
	go func() {
		defer close(f.done)
		_ = f.source.Watch(ctx, func(members []discovery.Member) { // its error is ctx's
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.feed == f {
				s.take(members)
				f.once.Do(func() { close(f.first) })
			}
		})
	}()
}

// give lists the members of a service whose feed does not.
func (s *service) give(members []discovery.Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take(slices.Clone(members))
	if f := s.feed; f != nil {
		f.once.Do(func() { close(f.first) })
	}
}

// listedOnce is closed when what lists the members now has done so.
func (s *service) listedOnce() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.feed == nil { // nobody wants it any more
		over := make(chan struct{})
		close(over)
		return over
	}
	return s.feed.first
}

// take takes a new list of members; s.mu is held.
func (s *service) take(members []discovery.Member) {
	s.listed, s.heard = members, true
	s.adopt()
}

// adopt makes the pool and the checks have the members that were listed last,
// as far as they are to be used; s.mu is held.
func (s *service) adopt() {
	if !s.heard {
		return
	}
	want := s.wants.Load()
	members, withdrawn := discovery.Split(s.operated(slices.Clone(s.listed), want))
	withdrawn = append(withdrawn, s.untagged(members)...)
	members = s.merged(s.spoken(s.others(members), want))
	s.checks.set(members)
	s.pool.Withdraw(withdrawn)
	s.obey(members, want.Orders)
	added, removed := s.pool.Set(discovery.Targets(members))
	s.monitor.Follow(added, removed)
	s.retired = slices.DeleteFunc(append(s.retired, removed...), idle)
	s.started = true
	s.tellEmpty(len(members))
}

// operated returns members as the operator has them: those of a subset, with
// what was added and without what was removed.
func (s *service) operated(members []discovery.Member, want *desired.Service) []discovery.Member {
	o := want.Orders
	for _, b := range o.Added {
		if !slices.ContainsFunc(members, func(m discovery.Member) bool { return m.Address == b.Addr }) {
			members = append(members, discovery.Member{Target: backend.Target{ID: "operator/" + b.Addr, Address: b.Addr, Weight: b.Weight, Zone: b.Zone, Priority: b.Priority}})
		}
	}
	return slices.DeleteFunc(members, func(m discovery.Member) bool {
		return o.Without(m.Address) || !want.Subset.Has(m.Address, m.Tags)
	})
}

// obey gives the pool the operator's orders by the addresses that members have.
func (s *service) obey(members []discovery.Member, o desired.Orders) {
	orders := make(map[string]backend.Order)
	for _, m := range members {
		if order, ok := o.Order(m.Address); ok {
			orders[m.Address] = order
		}
	}
	s.pool.SetOrders(orders)
}

// spoken returns those of members that speak what is spoken to the service: if
// only HTTP routes lead to it, not those that say that they do not speak HTTP.
func (s *service) spoken(members []discovery.Member, want *desired.Service) []discovery.Member {
	for i := range members {
		m := &members[i]
		m.Target.Protocol = want.Settings.Speaks()
		if m.Protocol != "" {
			m.Target.Protocol, _ = backend.ParseProtocol(m.Protocol)
		}
	}
	if want.TCP {
		return members
	}
	told := make(map[string]bool) // of those that are members still
	defer func() { s.told = told }()
	return slices.DeleteFunc(members, func(m discovery.Member) bool {
		if m.Protocol != "tcp" {
			return false
		}
		key := m.ID + " " + m.Protocol
		if told[key] = true; !s.told[key] {
			s.logger.Warn("left out a member that does not speak HTTP, which is all that is spoken to the service", "id", m.ID, "protocol", m.Protocol)
		}
		return true
	})
}

// addresses returns the members that were listed last, by their addresses.
func (s *service) addresses() map[string]discovery.Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]discovery.Member, len(s.listed))
	for _, m := range s.listed {
		all[m.Address] = m
	}
	return all
}

// up reports whether a member of that address passes sluice's own check.
func (s *service) up(address string) bool {
	return s.checks.made(address) && slices.ContainsFunc(s.pool.Snapshot().All, func(b *backend.Backend) bool {
		return b.Addr() == address && b.State() == backend.Up
	})
}

// down reports whether a member of that address fails sluice's own check.
func (s *service) down(address string) bool {
	return slices.ContainsFunc(s.pool.Snapshot().All, func(b *backend.Backend) bool {
		return b.Addr() == address && b.State() == backend.Down
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

// reports tells how what lists the members is doing.
func (s *service) reports() []discovery.Report {
	s.mu.Lock()
	f := s.feed
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.source.Reports()
}

// sources names the kinds of what lists the members.
func (s *service) sources() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.feedKind()
}

// isKnown reports whether a first list of members has come.
func (s *service) isKnown() bool { return s.pool.Snapshot().Version > 0 }

// leave takes all members from the service, as a registry does with one whose
// last instance is gone. Connections live on for as long as those to members
// that were deregistered.
func (s *service) leave() {
	s.mu.Lock()
	f := s.feed
	s.feed = nil
	s.mu.Unlock()
	if f != nil {
		f.cancel()
		<-f.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	want := *s.wants.Load()
	want.Orders, want.Origins = desired.Orders{}, nil
	if want.Pool != nil {
		want.Pool = &fabio.Pool{Name: want.Pool.Name}
	}
	s.wants.Store(&want)
	s.take(nil)
}

// isFed reports whether there is something that lists the members.
func (s *service) isFed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.feed != nil
}

func idle(b *backend.Backend) bool { return b.Active() == 0 }

// over reports whether a service without members serves nobody any more.
func (s *service) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = slices.DeleteFunc(s.retired, idle)
	return s.fronts.Load() == 0 && len(s.retired) == 0
}

// end ends what lists and checks members and returns when nothing of it runs.
func (s *service) end() {
	s.mu.Lock()
	f := s.feed
	s.mu.Unlock()
	if f != nil {
		f.cancel()
		<-f.done
	}
	s.monitor.Close()
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
