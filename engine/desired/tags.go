package desired

import (
	"fmt"
	"slices"

	"sluice/discovery/fabio"
	"sluice/pkg/config"
	"sluice/pkg/control"
)

// addTags adds what the table asks for and can have, less what the operator
// removed, and returns why it cannot have the rest.
func (s *State) addTags(c *config.Config, t *fabio.Table, o control.Overlay) []fabio.Problem {
	problems := slices.Clone(t.Problems)
	pools := make(map[string]fabio.Pool)
	for _, p := range t.Pools {
		pools[p.Name] = p
	}
	routed := make(map[string]bool)
	taken := make(map[string]string) // places of routes, and why nobody else gets them
	for _, r := range c.Routes {
		taken[configuredRoute(c, r).plain()] = "--route has the same route"
	}
	for _, asked := range t.Routes {
		r := taggedRoute(c, asked)
		if _, removed := o.Get(control.Key{Target: control.Route(r.Key()), What: control.Remove}); removed {
			continue
		}
		reason := taken[r.plain()]
		switch {
		case reason != "":
		case len(c.L7) == 0:
			reason = "there is no --l7 to listen for it"
		default:
			if err := r.check(); err != nil {
				reason = err.Error()
			}
		}
		name := r.Host + r.Path
		if reason != "" {
			problems = append(problems, fabio.Problem{Service: asked.Pool, Tag: name, Reason: reason})
			continue
		}
		taken[r.plain()] = "another tag has the same route in another spelling"
		if r.Auth != "" && r.Users.File == "" {
			problems = append(problems, fabio.Problem{Service: asked.Pool, Tag: name, Used: true,
				Reason: fmt.Sprintf("nobody may use the route: there is no --auth %s=FILE", r.Auth)})
		}
		if p, ok := pools[asked.Pool]; ok && !routed[asked.Pool] {
			routed[asked.Pool] = true
			s.Services = append(s.Services, taggedService(c, p, "", false))
		}
		s.Routes = append(s.Routes, r)
	}
	for _, l := range t.Listeners {
		if _, removed := o.Get(control.Key{Target: control.Listener(Canonical(l.Addr)), What: control.Remove}); removed {
			continue
		}
		if setting := c.ListensAt(l.Addr); setting != "" {
			problems = append(problems, fabio.Problem{Service: l.Pool, Tag: l.Addr, Reason: "--" + setting + " listens there, and a TCP listener needs an address of its own"})
			continue
		}
		x := taggedService(c, pools[l.Pool], l.Addr, l.ProxyProto)
		s.Services = append(s.Services, x)
		s.Listeners = append(s.Listeners, taggedListener(c, l, x))
	}
	return problems
}
