package desired

import (
	"slices"
	"time"

	"sluice/discovery/fabio"
	"sluice/pkg/backend"
	"sluice/pkg/config"
)

// Service is how one service is to run.
type Service struct {
	// ID tells it from all others, whatever they are called.
	ID string
	// Settings are its own, with the defaults filled in. Its name there is what
	// it is called by, unless another one that runs is.
	Settings config.Service
	// Else is what its name ends in then.
	Else string
	// Origins are where its members come from, first its own ones and then
	// those that it fails over to. Empty if Pool is not nil.
	Origins []Origin
	// Pool is what tags say of its members; nil if the configuration has it.
	Pool *fabio.Pool
	// PartOf is the name of the service of which this is the part that a canary
	// leads to; what operators say of that and its backends holds here, too. It is
	// empty for a whole one.
	PartOf string
	// Subset says which of the members those places list are meant.
	Subset Subset
	// TCP says that a TCP listener leads to it. If none does, members must speak
	// HTTP.
	TCP bool
	// Names are how the names of members are resolved.
	Names Names
	// Checks are how often members are checked.
	Checks Checks
	// Orders are the operator's about it and its backends.
	Orders Orders
	// Common is what else of the settings for all it depends on.
	Common ServiceCommon

	named bool // it has the name that is its own
}

// Origin is a place from which members come.
type Origin struct {
	// From is the service or the datacenter that is failed over to; empty for
	// the service's own members.
	From string
	// Settings are those of the service whose members they are.
	Settings config.Service
	Static   []config.Backend
	// Consul says that members are looked up there, in Datacenter; Service that
	// From is a service, whose own word on checks counts if FixedCheck.
	Consul, Service, FixedCheck bool
	Datacenter                  string
}

// Subset is a part of a service's members: the one at an address, those with a
// tag, or all others. The zero value is all.
type Subset struct {
	Address, Tag string
	Others       bool
}

// Has reports whether a member is meant.
func (s Subset) Has(address string, tags []string) bool {
	switch {
	case s.Address != "":
		return (Canonical(address) == s.Address) != s.Others
	case s.Tag != "":
		return slices.Contains(tags, s.Tag) != s.Others
	}
	return true
}

// Names are how names are resolved.
type Names struct {
	Servers        []config.DNSServer
	MinTTL, MaxTTL time.Duration
	Keep           time.Duration
}

// Checks are how often members are checked, and what follows.
type Checks struct {
	Interval, FastInterval, DownInterval time.Duration
	Timeout                              time.Duration
	Rise, Fall                           int
}

// ServiceCommon is what all services share.
type ServiceCommon struct {
	DrainTimeout time.Duration // of connections to backends that were taken out
	KeepIdle     time.Duration
	StickySecret config.Secret
}

// Orders are what an operator wants of a service beside its settings.
type Orders struct {
	// Maintenance says that all of it is answered with Text and nothing else.
	Maintenance bool
	Text        string
	// Backends are orders by address.
	Backends map[string]backend.Order
	// Added are members beside those that discovery lists, and Removed the
	// addresses of members that are left out although it does.
	Added   []config.Backend
	Removed []string
}

// configuredService returns a service of the configuration.
func configuredService(c *config.Config, name string) Service {
	s := Service{ID: name, Settings: c.Service(name), Else: "config"}
	s.share(c)
	s.TCP = slices.ContainsFunc(c.L4, func(l config.L4) bool { return l.Service == name })
	s.Origins = append(s.Origins, originOf(c, name))
	for _, to := range s.Settings.Failover {
		if c.IsService(to) {
			o := originOf(c, to)
			o.From = to
			s.Origins = append(s.Origins, o)
			continue
		}
		s.Origins = append(s.Origins, Origin{From: to, Settings: s.Settings, Consul: true, Datacenter: to})
	}
	return s
}

// originOf returns where the members of a service of the configuration come
// from.
func originOf(c *config.Config, name string) Origin {
	settings := c.Service(name)
	return Origin{
		Settings: settings, Static: c.StaticBackends(name), Consul: c.InConsul(name), Datacenter: settings.Datacenter, Service: true,
		FixedCheck: slices.ContainsFunc(c.Services, func(s config.Service) bool { return s.Name == name && s.Check != "" }),
	}
}

// taggedService returns a service that tags ask for, which a TCP listener alone
// leads to if addr is not empty. header says that its members get a PROXY
// header.
func taggedService(c *config.Config, p fabio.Pool, addr string, header bool) Service {
	s := Service{ID: TagID(p.Name, addr), Pool: &p, TCP: true, Else: "tags"} // the table knows who speaks what
	if addr != "" {
		s.Else = addr
	}
	from := p.Name
	if !c.HasService(p.Name) {
		from = p.Services[0]
	}
	s.Settings = c.Service(from)
	s.Settings.Name = p.Name
	if header {
		s.Settings.ProxyOut = 1
	}
	s.Origins = []Origin{{Settings: c.Service(from), FixedCheck: originOf(c, from).FixedCheck}}
	s.share(c)
	return s
}

// TagID returns the ID of a service that tags ask for by its name in their
// table and, if it is that of a TCP listener, its address.
func TagID(pool, addr string) string {
	if addr != "" {
		return "tags " + pool + " " + addr
	}
	return "tags " + pool
}

// share takes what all services share.
func (s *Service) share(c *config.Config) {
	s.Names = Names{Servers: c.DNSServers, MinTTL: c.DNSMinTTL, MaxTTL: c.DNSMaxTTL, Keep: c.DNSKeep}
	s.Checks = Checks{
		Interval: c.HealthInterval, FastInterval: c.HealthFastInterval, DownInterval: c.HealthDownInterval,
		Timeout: c.HealthTimeout, Rise: c.HealthRise, Fall: c.HealthFall,
	}
	s.Common = ServiceCommon{DrainTimeout: c.BackendDrainTimeout, KeepIdle: c.L7BackendIdleTimeout, StickySecret: c.StickySecret}
	if d := s.Settings.BackendDrainTimeout; d != nil {
		s.Common.DrainTimeout = *d
	}
	if d := s.Settings.BackendIdleTimeout; d != nil {
		s.Common.KeepIdle = *d
	}
}

// FixedCheck reports whether an operator says how members are checked, so that
// they have no say.
func (s Service) FixedCheck() bool { return len(s.Origins) > 0 && s.Origins[0].FixedCheck }

// Static returns the addresses of the members that the configuration or an
// operator names.
func (s Service) Static() (addresses []string) {
	if s.Pool == nil && len(s.Origins) > 0 {
		for _, b := range s.Origins[0].Static {
			addresses = append(addresses, b.Addr)
		}
	}
	for _, b := range s.Orders.Added {
		addresses = append(addresses, b.Addr)
	}
	return addresses
}
