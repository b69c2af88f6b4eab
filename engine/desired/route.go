package desired

import (
	"sluice/discovery/fabio"
	"sluice/l7"
	"sluice/pkg/config"
)

// Route is a route that is to be.
type Route struct {
	config.Route
	// To is the ID of the service that it leads to; empty for a redirect.
	To string
	// CanaryTo and MirrorTo are the IDs of those services.
	CanaryTo, MirrorTo string
	// Closed says that nobody may use it.
	Closed bool
	// Users are those that the route's name of users names.
	Users config.Auth
	// Tags says that tags ask for it.
	Tags bool
}

func configuredRoute(c *config.Config, r config.Route) Route {
	return Route{Route: r, To: r.Service, CanaryTo: r.Canary.Service, MirrorTo: r.Mirror.To, Users: authOf(c, r.Auth)}
}

// taggedRoute returns a route that tags ask for. If it names users that the
// configuration does not have, nobody may use it.
func taggedRoute(c *config.Config, r fabio.Route) Route {
	out := Route{Tags: true, Closed: r.Closed}
	out.Host, out.Path, out.Strip, out.Prepend, out.RewriteHost = r.Host, r.Path, r.Strip, r.Prepend, r.Rewrite.Host
	out.Redirect = config.Redirect{Code: r.RedirectCode, To: r.RedirectTo}
	for _, p := range r.Allow {
		out.Allow = append(out.Allow, config.CIDR{Prefix: p})
	}
	for _, p := range r.Deny {
		out.Deny = append(out.Deny, config.CIDR{Prefix: p})
	}
	if r.Pool != "" {
		out.Service, out.To = r.Pool, TagID(r.Pool, "")
	}
	if r.Auth != "" {
		out.Auth, out.Users = r.Auth, authOf(c, r.Auth)
		out.Closed = out.Closed || out.Users.File == ""
	}
	return out
}

// plain returns where in the order of routes r is: two with the same place
// cannot be told apart.
func (r Route) plain() string { return r.Host + (&l7.Route{Path: r.Path}).PlainPath() }

// check returns what is wrong with a route that tags ask for.
func (r Route) check() error {
	return (&l7.Route{
		Host: r.Host, Path: r.Path, Strip: r.Strip, Prepend: r.Prepend, ForwardHost: r.RewriteHost,
		Redirect: l7.Redirect{Code: r.Redirect.Code, To: r.Redirect.To},
	}).Check()
}
