package engine

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sluice/pkg/config"
)

// loops returns the static backends of c that lead back to their own service by
// listeners of c, as "SERVICE=ADDRESS". Names other than localhost are not
// looked up, and ports that are not known yet lead nowhere.
func loops(c *config.Config, local []netip.Addr) map[string]bool {
	listeners := configuredListeners(c)
	// leadsTo is which services a backend leads to at once.
	leadsTo := func(b config.Backend) (services []string) {
		addr, err := netip.ParseAddrPort(strings.Replace(b.Addr, "localhost:", "127.0.0.1:", 1))
		if err != nil {
			return nil
		}
		for _, name := range c.ServiceNames() {
			if ownAt(addr, name, listeners, local) {
				services = append(services, name)
			}
		}
		return services
	}
	edges := make(map[string][]string)
	for _, b := range c.Backends {
		edges[b.Service] = append(edges[b.Service], leadsTo(b)...)
	}
	back := make(map[string]bool)
	for _, b := range c.Backends {
		seen := make(map[string]bool)
		for next := leadsTo(b); len(next) > 0; {
			name := next[0]
			if next = next[1:]; !seen[name] {
				seen[name] = true
				next = append(next, edges[name]...)
			}
		}
		if seen[b.Service] {
			back[b.Service+"="+b.Addr] = true
		}
	}
	return back
}

// configuredListeners returns the listeners of c whose address is known before
// they are bound.
func configuredListeners(c *config.Config) (all []ownListener) {
	add := func(address string, leads func(string) bool) {
		host, port, _ := net.SplitHostPort(address)
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return
		}
		ip, err := netip.ParseAddr(host)
		switch {
		case host == "":
			ip = netip.IPv6Unspecified()
		case host == "localhost":
			ip = netip.MustParseAddr("127.0.0.1")
		case err != nil:
			return
		}
		all = append(all, ownListener{netip.AddrPortFrom(ip, uint16(n)), leads})
	}
	for _, parts := range c.Listeners() {
		add(parts[0].Addr, func(service string) bool { return leadTo(parts, service) })
	}
	for _, l := range c.L7 {
		add(l.Addr, func(service string) bool { return routed(c, service) })
	}
	return all
}

// leadTo reports whether the parts of a TCP listener lead to a service.
func leadTo(parts []config.L4, service string) bool {
	return slices.ContainsFunc(parts, func(l config.L4) bool { return l.Service == service })
}

// routed reports whether a route of c leads to a service.
func routed(c *config.Config, service string) bool {
	return slices.ContainsFunc(c.Routes, func(r config.Route) bool {
		return r.Service == service || r.Canary.Service == service || r.Mirror.To == service
	})
}

// checkLoops returns what can only loop: services of which every member leads
// back to them.
func checkLoops(c *config.Config) (problems []error) {
	back := loops(c, localAddrs())
	for _, name := range c.ServiceNames() {
		static := c.StaticBackends(name)
		if s := c.Service(name); len(static) == 0 || c.InConsul(name) || s.DNS != "" || s.File != "" {
			continue
		}
		if !slices.ContainsFunc(static, func(b config.Backend) bool { return !back[name+"="+b.Addr] }) {
			problems = append(problems, config.Problem{
				Setting: "backend",
				Reason:  fmt.Sprintf("%q leads back to service %q by a listener of this process, and the service has no other member", static[0].Addr, name),
			})
		}
	}
	return problems
}
