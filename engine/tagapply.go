package engine

import (
	"fmt"
	"net/netip"
	"slices"

	"sluice/discovery"
	"sluice/discovery/fabio"
	"sluice/l7"
	"sluice/pkg/config"
)

// apply makes everything as the table says: pools first, then what leads to
// them, and takes away last what nothing leads to.
func (t *tags) apply(table fabio.Table) {
	t.tell(&table)
	routed := make(map[string]bool) // pools to which routes lead
	for _, r := range table.Routes {
		routed[r.Pool] = true
	}
	for _, p := range table.Pools {
		if routed[p.Name] {
			t.applyPool(p)
		}
	}
	t.applyRoutes(table.Routes)
	t.applyListeners(&table)
	for name, s := range t.pools {
		if !routed[name] {
			delete(t.pools, name)
			delete(t.shown, name)
			t.depart(departed{service: s, pool: name})
		}
	}
	t.bury()
	t.linkWatches(&table)
	t.skipped.Set(float64(len(t.problems) + len(t.refused)))
}

// applyPool makes a service for p, or changes its members.
func (t *tags) applyPool(p fabio.Pool) {
	s := t.pools[p.Name]
	if s == nil {
		s = t.recall(p.Name, "")
	}
	if s == nil {
		var err error
		if s, err = t.addService(p, t.nameOf(p, "tags"), false); err != nil {
			t.logger.Error("cannot make a service that tags ask for", "service", p.Name, "err", err)
			return
		}
		t.announce(s, p)
	}
	t.pools[p.Name] = s
	if old, there := t.shown[p.Name]; !there || !old.Equal(p) {
		t.shown[p.Name] = p
		s.update(slices.Clone(p.Members))
	}
}

// nameOf returns the name of a service for p: its own, or, if that is taken,
// one that ends in suffix.
func (t *tags) nameOf(p fabio.Pool, suffix string) string {
	if t.services.get(p.Name) != nil {
		return p.Name + "@" + suffix
	}
	return p.Name
}

// addService makes a service for p under a name. header says that its members
// get a PROXY header.
func (t *tags) addService(p fabio.Pool, name string, header bool) (*service, error) {
	settings := t.settingsOf(p)
	settings.Name = name
	settings.ProxyOut = proxyOut(settings, header)
	s, err := t.services.add(settings, func(*service, config.Service) (discovery.Source, error) {
		return fed{t.reportsOf(p.Services)}, nil
	})
	if err != nil {
		return nil, err
	}
	s.registered = func(address string) bool { return t.registered[address] }
	s.httpOnly = false // the table knows who speaks what
	s.follow()
	return s, nil
}

// announce says that a service has been made.
func (t *tags) announce(s *service, p fabio.Pool) {
	t.logger.Info("made a service that tags ask for", "service", s.name, "consul_services", p.Services)
	if len(s.settings.Failover) > 0 {
		s.logger.Warn("failover= has no effect on a service that tags ask for: a --route or --l4 to it has")
	}
}

// settingsOf returns the settings of p.
func (t *tags) settingsOf(p fabio.Pool) config.Service {
	if !t.config.HasService(p.Name) {
		return t.config.Service(p.Services[0])
	}
	return t.config.Service(p.Name)
}

// proxyOut returns the version of the PROXY header that members get.
func proxyOut(settings config.Service, header bool) int {
	if header {
		return 1
	}
	return settings.ProxyOut
}

// applyRoutes gives the HTTP listeners the configured routes and those of the
// tags, if the latter have changed.
func (t *tags) applyRoutes(routes []fabio.Route) {
	if slices.EqualFunc(routes, t.routes, fabio.Route.Equal) && t.applied {
		return
	}
	all := configuredRoutes(t.config, t.services)
	for _, r := range routes {
		// A service that could not be made takes no other's routes with it.
		if route := t.l7Route(r); route.Balancer != nil || route.Redirect.Code != 0 {
			all = append(all, *route)
		}
	}
	if err := t.fronts.setRoutes(all); err != nil {
		t.logger.Error("cannot use the routes that tags ask for; the old ones stay", "err", err)
		return
	}
	t.routes, t.applied = routes, true
	t.logger.Info("routes changed as tags ask for", "routes", len(routes))
}

func (t *tags) l7Route(r fabio.Route) *l7.Route {
	route := &l7.Route{
		Host: r.Host, Path: r.Path, Allow: r.Allow, Deny: r.Deny,
		Strip: r.Strip, Prepend: r.Prepend, ForwardHost: r.Rewrite.Host,
		Redirect: l7.Redirect{Code: r.RedirectCode, To: r.RedirectTo},
	}
	if r.Auth != "" {
		route.Auth, _ = t.services.auths.of(r.Auth)
	}
	if r.Closed || r.Auth != "" && route.Auth == nil {
		route.Deny = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
	if s := t.pools[r.Pool]; s != nil {
		route.Balancer, route.RetryBudget, route.Policy = s.balancer, s.budget, s.policy
	}
	return route
}

// tell drops from the table what cannot be done, and logs each problem once.
func (t *tags) tell(table *fabio.Table) {
	configured := make(map[string]bool)
	for _, r := range t.config.Routes {
		configured[r.Host+(&l7.Route{Path: r.Path}).PlainPath()] = true
	}
	asked := make(map[string]bool)
	table.Routes = slices.DeleteFunc(table.Routes, func(r fabio.Route) bool {
		reason, key := "", r.Host+(&l7.Route{Path: r.Path}).PlainPath()
		switch {
		case configured[key]:
			reason = "--route has the same route"
		case asked[key]:
			reason = "another tag has the same route in another spelling"
		case len(t.config.L7) == 0:
			reason = "there is no --l7 to listen for it"
		default:
			if err := t.l7Route(r).Check(); err != nil {
				reason = err.Error()
			}
		}
		asked[key] = asked[key] || reason == ""
		if reason == "" && r.Auth != "" {
			if auth, _ := t.services.auths.of(r.Auth); auth == nil {
				table.Problems = append(table.Problems, fabio.Problem{Service: r.Pool, Tag: r.Host + r.Path, Used: true,
					Reason: fmt.Sprintf("nobody may use the route: there is no --auth %s=FILE", r.Auth)})
			}
		}
		if reason != "" {
			table.Problems = append(table.Problems, fabio.Problem{Service: r.Pool, Tag: r.Host + r.Path, Reason: reason})
		}
		return reason != ""
	})
	table.Listeners = slices.DeleteFunc(table.Listeners, func(l fabio.Listener) bool {
		setting := t.config.ListensAt(l.Addr)
		if setting != "" {
			table.Problems = append(table.Problems, fabio.Problem{Service: l.Pool, Tag: l.Addr, Reason: "--" + setting + " listens there, and a TCP listener needs an address of its own"})
		}
		return setting != ""
	})
	problems := make(map[fabio.Problem]bool)
	for _, p := range table.Problems {
		problems[p] = true
		if t.problems[p] {
			continue
		}
		msg := "skipped a tag"
		if p.Used {
			msg = "ignored a part of a tag"
		}
		t.logger.Warn(msg, "service", p.Service, "id", p.ID, "tag", p.Tag, "reason", p.Reason)
	}
	t.problems = problems
}
