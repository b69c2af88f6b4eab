package engine

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sluice/discovery"
	"sluice/discovery/consul"
	"sluice/discovery/dns"
	"sluice/discovery/file"
	"sluice/engine/desired"
	"sluice/pkg/backend"
	"sluice/pkg/config"
	"sluice/pkg/metricset"
)

// sameOrigins reports whether the members of two services come from the same
// places.
func sameOrigins(a, b desired.Service) bool {
	if (a.Pool == nil) != (b.Pool == nil) || !reflect.DeepEqual(a.Names, b.Names) || len(a.Origins) != len(b.Origins) {
		return false
	}
	return a.Pool != nil || slices.EqualFunc(a.Origins, b.Origins, func(x, y desired.Origin) bool {
		return reflect.DeepEqual(placeOf(x), placeOf(y))
	})
}

// placeOf returns what of an origin says where members come from.
func placeOf(o desired.Origin) desired.Origin {
	s := o.Settings
	o.FixedCheck = false
	o.Settings = config.Service{Name: s.Name, Consul: s.Consul, Tag: s.Tag, Port: s.Port, DNS: s.DNS, File: s.File}
	return o
}

// feed returns what lists the members of a service as it is wanted: a source, or
// the union of several.
func (ss *services) feed(s *service, want desired.Service) (*feed, error) {
	if want.Pool != nil {
		return &feed{source: fed{func() []discovery.Report {
			if p := s.wants.Load().Pool; p != nil && ss.tagged != nil {
				return ss.tagged(p.Services)
			}
			return nil
		}}}, nil
	}
	var all discovery.Union
	for i, o := range want.Origins {
		sources, err := ss.sources(s, want, o)
		if err != nil {
			return nil, err
		}
		if o.From == "" {
			all = append(all, sources...)
			continue
		}
		var from discovery.Source = sources
		if !o.Service && len(sources) == 1 {
			from = sources[0].Source // a datacenter
		}
		later := discovery.Later{Source: from, After: i * (backend.MaxPriority + 1)}
		if o.Service {
			later.From = o.From
		}
		all = append(all, discovery.Named{Name: o.From, Source: later})
	}
	f := &feed{source: all}
	for _, n := range all {
		f.kind = strings.TrimSpace(f.kind + " " + n.Name)
	}
	if len(all) == 1 {
		f.source = all[0].Source // whose IDs need no prefix
	}
	return f, nil
}

// sources returns what lists the members at one origin.
func (ss *services) sources(s *service, want desired.Service, o desired.Origin) (all discovery.Union, err error) {
	if static := ss.forward(o.Static); len(static) > 0 {
		all = append(all, discovery.Named{Name: "static", Source: staticSource(static)})
	}
	if !o.Service && o.From != "" {
		return discovery.Union{{Name: "consul", Source: ss.inConsul(s, o)}}, nil
	}
	if o.Settings.File != "" {
		all = append(all, discovery.Named{Name: "file", Source: file.New(file.Config{
			Service: s.name, Path: o.Settings.File, Logger: ss.logger, Metrics: s.metrics.Set,
		})})
	}
	if o.Settings.DNS != "" {
		source, err := dns.New(ss.dnsConfig(s, want, o))
		if err != nil {
			return nil, fmt.Errorf("--service: %q: dns=%w", s.name, err)
		}
		all = append(all, discovery.Named{Name: "dns", Source: source})
	}
	if o.Consul {
		if ss.registry == nil {
			return nil, fmt.Errorf("--service: %q: its members would be in Consul, and there is no --consul", s.name)
		}
		all = append(all, discovery.Named{Name: "consul", Source: ss.inConsul(s, o)})
	}
	return all, nil
}

// inConsul returns the source of members that are in a datacenter of Consul.
func (ss *services) inConsul(s *service, o desired.Origin) discovery.Source {
	if s.consul == nil {
		s.consul = ss.joinConsul(o.Settings.Consul)
	}
	return ss.registry.Service(consul.Query{
		Service: o.Settings.Consul, Tag: o.Settings.Tag, Port: o.Settings.Port, Datacenter: o.Datacenter, Up: s.up, Traffic: s.traffic, Metrics: s.consul.Set,
	})
}

// joinConsul returns the metrics of a service in Consul, which are those of all
// who follow it.
func (ss *services) joinConsul(service string) *metricset.Shared {
	return ss.sets.Join("consul service " + service)
}

func (ss *services) dnsConfig(s *service, want desired.Service, o desired.Origin) dns.Config {
	n := want.Names
	c := dns.Config{
		Service: s.name, Name: o.Settings.DNS, MinTTL: n.MinTTL, MaxTTL: n.MaxTTL, Keep: orNever(n.Keep),
		Up: s.up, Down: s.down, Logger: ss.logger, Metrics: s.metrics.Set,
	}
	for _, server := range n.Servers {
		c.Servers = append(c.Servers, string(server))
	}
	return c
}

// forward returns those of static members that do not lead back to their own
// service; checkLoops has seen to it that there are some.
func (ss *services) forward(static []config.Backend) []config.Backend {
	if len(static) == 0 {
		return nil
	}
	back := loops(ss.config.Load(), localAddrs())
	return slices.DeleteFunc(slices.Clone(static), func(b config.Backend) bool {
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

// fed is the source of a service whose members somebody else gives.
type fed struct{ reports func() []discovery.Report }

// Watch waits for ctx.
func (f fed) Watch(ctx context.Context, _ func([]discovery.Member)) error {
	<-ctx.Done()
	return ctx.Err()
}

// Reports tells what the sources behind it do.
func (f fed) Reports() []discovery.Report { return f.reports() }
