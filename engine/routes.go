package engine

import (
	"net/netip"

	"sluice/engine/desired"
	"sluice/l7"
)

// routesOf returns the routes of a state as HTTP servers take them. serviceOf
// returns services by their IDs. A route of tags whose service could not be
// made is left out.
func (fs *fronts) routesOf(all []desired.Route, serviceOf func(id string) *service) (routes []l7.Route, err error) {
	for _, r := range all {
		route := l7.Route{
			Host: r.Host, Path: r.Path, Methods: r.Methods,
			Allow: prefixes(r.Allow), Deny: prefixes(r.Deny),
			Redirect: l7.Redirect{Code: r.Redirect.Code, To: r.Redirect.To},
			Form:     pathForm(r.Form),
			Strip:    r.Strip, Prepend: r.Prepend, ForwardHost: r.RewriteHost,
			RequestHeaders: r.RequestHeaders, ResponseHeaders: r.ResponseHeaders,
			EarlyHints: toggle(r.EarlyHints), Waits: l7Waits(r.Waits, r.HTTPWaits),
			Open: r.Auth == openToAll,
		}
		if route.Auth, err = fs.auths.get(r.Users); err != nil && !r.Tags {
			return nil, err
		}
		if r.Closed || err != nil {
			route.Deny = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
		}
		for _, h := range r.Headers {
			route.Headers = append(route.Headers, l7.HeaderMatch{Name: h.Name, Value: h.Value})
		}
		s := serviceOf(r.To)
		switch {
		case s != nil:
			route.Balancer, route.RetryBudget, route.Policy = s.balancer, s.budget, s.policy
		case r.Tags && r.Redirect.Code == 0:
			continue // it takes no other's routes with it
		}
		if s := serviceOf(r.MirrorTo); s != nil {
			route.Mirror = l7.Mirror{
				Balancer: s.balancer, RetryBudget: s.budget, Policy: s.policy, Percent: r.Mirror.Percent, MaxBody: r.Mirror.MaxBody,
			}
		}
		if s := serviceOf(r.CanaryTo); s != nil {
			route.Canary = l7.Canary{Balancer: s.balancer, RetryBudget: s.budget, Policy: s.policy, Percent: r.Canary.Percent}
		}
		routes = append(routes, route)
	}
	return routes, nil
}
