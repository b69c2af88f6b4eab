package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/discovery"
	"sluice/pkg/backend"
	"sluice/pkg/config"
)

// A member that is this process itself leads its clients round until something
// breaks: an instance that --register put into the catalogue, or a listener that
// somebody else registered. What a catalogue, DNS or a file lists is never one.
// A --backend that names a listener of this process was meant: it is left out
// only where it leads back.

// registered is an instance that this process is in Consul.
type registered struct {
	id   string // of the instance on its agent
	host string // empty: that of the agent's node
	port int
}

// ownListener is a listener of this process.
type ownListener struct {
	addr  netip.AddrPort
	leads func(service string) bool // whether it leads to that service; nil: to any
}

// isOwn reports whether a member of that ID and address is this process: a
// registration of its own, by address and port, or by ID and port, or one of its
// listeners.
func isOwn(id, address string, listeners []ownListener, local []netip.Addr, registrations []registered) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	for _, r := range registrations {
		if strconv.Itoa(r.port) == port && (r.host != "" && sameHost(r.host, host) || id == r.id || strings.HasSuffix(id, "/"+r.id)) {
			return true
		}
	}
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return false // a name, which is looked into when it is resolved
	}
	return ownAt(addr, "", listeners, local)
}

func sameHost(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	if errX == nil && errY == nil {
		return x.Unmap() == y.Unmap()
	}
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// ownAt reports whether a connection to addr reaches one of the listeners, and
// that leads to service if one is named. local are the addresses of this
// machine.
func ownAt(addr netip.AddrPort, service string, listeners []ownListener, local []netip.Addr) bool {
	ip := addr.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(listeners, func(l ownListener) bool {
		bound := l.addr.Addr()
		switch {
		case l.addr.Port() != addr.Port() || service != "" && l.leads != nil && !l.leads(service):
			return false
		case !bound.IsUnspecified():
			return bound.Unmap().WithZone("") == ip || ip.IsUnspecified() && bound.IsLoopback()
		case bound.Is4() && !ip.Is4(): // [::] takes IPv4 as well
			return false
		}
		return ip.IsLoopback() || ip.IsUnspecified() || slices.Contains(local, ip)
	})
}

// self knows what of the addresses there are is this process. All methods are
// safe for concurrent use.
type self struct {
	listeners func() []ownListener
	tags      string // prefix of those that ask for routes here

	// mu protects the fields below.
	mu            sync.Mutex
	registrations []registered
	local         []netip.Addr
	looked        time.Time // when local was found
}

// localFor is how long the addresses of this machine are believed.
const localFor = 5 * time.Second

// register notes an instance that is about to be registered.
func (s *self) register(r registered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registrations = append(s.registrations, r)
}

// known returns what the functions above need.
func (s *self) known() (listeners []ownListener, local []netip.Addr, registrations []registered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.looked) > localFor {
		s.local, s.looked = localAddrs(), time.Now()
	}
	if s.listeners != nil { // nothing is bound before
		listeners = s.listeners()
	}
	return listeners, s.local, slices.Clone(s.registrations)
}

// localAddrs returns the addresses of this machine.
func localAddrs() (local []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			local = append(local, p.Addr().Unmap().WithZone(""))
		}
	}
	return local
}

// leadsTo reports whether a listener leads to a service.
func (fs *fronts) leadsTo(f *front, service string) bool {
	fs.mu.Lock()
	leads := f.leads
	fs.mu.Unlock()
	return leads == nil || leads(service)
}

// byTagsOf is how a sluice calls in Balances whatever tags with a prefix ask for.
func byTagsOf(prefix string) string { return "tags:" + prefix }

// balances returns what a sluice says of itself where it registers r: whether
// connections to it are led to that same service in Consul, and whether to
// whatever asks for it by tags. Two that find each other there and did not know
// would hand connections to and fro until something breaks.
func (fs *fronts) balances(r config.Register) string {
	c, fronts := fs.config, fs.list()
	at := func(f *front) bool { return r.Port == 0 || portOf(f.listener.Addr()) == r.Port }
	if !slices.ContainsFunc(fronts, at) {
		at = func(*front) bool { return true } // something in between has that port
	}
	var names []string
	for _, name := range c.ServiceNames() {
		if leadsToConsul(c, name, r.Service) && slices.ContainsFunc(fronts, func(f *front) bool { return at(f) && fs.leadsTo(f, name) }) {
			names = append(names, r.Service)
			break
		}
	}
	if c.ConsulTags != "" && !strings.Contains(c.ConsulTags, " ") && slices.ContainsFunc(fronts, func(f *front) bool { return at(f) && f.kind == "l7" }) {
		names = append(names, byTagsOf(c.ConsulTags))
	}
	return strings.Join(names, " ")
}

// leadsToConsul reports whether the named service has, or fails over to, members
// that Consul has by another name.
func leadsToConsul(c *config.Config, name, inConsul string) bool {
	settings := c.Service(name)
	return c.InConsul(name) && strings.EqualFold(settings.Consul, inConsul) ||
		slices.ContainsFunc(settings.Failover, func(to string) bool {
			return c.IsService(to) && c.InConsul(to) && strings.EqualFold(c.Service(to).Consul, inConsul)
		})
}

// back reports whether a member that says balances of itself leads back to the
// service.
func (s *service) back(balances string) bool {
	if balances == "" {
		return false
	}
	return discovery.Leads(balances, s.settings.Consul) || s.byTags() && discovery.Leads(balances, byTagsOf(s.self.tags))
}

// others returns those of members that are not this process, nor another one
// that leads back to the service.
func (s *service) others(members []discovery.Member) []discovery.Member {
	listeners, local, registrations := s.self.known()
	return slices.DeleteFunc(members, func(m discovery.Member) bool {
		why := "left out a member that is this process itself"
		switch {
		case slices.Contains(s.static, m.Address):
			return false
		case isOwn(m.ID, m.Address, listeners, local, registrations):
		case s.back(m.Balances):
			why = "left out a member that is another sluice, which balances the same service"
		default:
			return false
		}
		if key := m.ID + " " + m.Address; !s.told[key] {
			s.told[key] = true
			s.logger.Warn(why, "id", m.ID, "addr", m.Address)
		}
		return true
	})
}

// lookup resolves names of members, less the addresses that lead back to the
// service.
func (s *service) lookup(ctx context.Context, hostport string) ([]netip.AddrPort, error) {
	addrs, err := backend.LookupSystem(ctx, hostport)
	if err != nil {
		return nil, err
	}
	listeners, local, _ := s.self.known()
	to := ""
	if slices.Contains(s.static, hostport) {
		to = s.name
	}
	others := slices.DeleteFunc(slices.Clone(addrs), func(a netip.AddrPort) bool { return ownAt(a, to, listeners, local) })
	if len(others) == 0 {
		return nil, fmt.Errorf("%q is a listener of this process itself (%v)", hostport, addrs)
	}
	return others, nil
}

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
