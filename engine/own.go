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

// byTagsOf is how a sluice calls in Balances whatever tags with a prefix ask for.
func byTagsOf(prefix string) string { return "tags:" + prefix }

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
	return discovery.Leads(balances, s.wants.Load().Settings.Consul) || s.byTags() && discovery.Leads(balances, byTagsOf(s.self.tags))
}

// others returns those of members that are not this process, nor another one
// that leads back to the service.
func (s *service) others(members []discovery.Member) []discovery.Member {
	listeners, local, registrations := s.self.known()
	return slices.DeleteFunc(members, func(m discovery.Member) bool {
		why := "left out a member that is this process itself"
		switch {
		case slices.Contains(*s.static.Load(), m.Address):
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
	if slices.Contains(*s.static.Load(), hostport) {
		to = s.id
	}
	others := slices.DeleteFunc(slices.Clone(addrs), func(a netip.AddrPort) bool { return ownAt(a, to, listeners, local) })
	if len(others) == 0 {
		return nil, fmt.Errorf("%q is a listener of this process itself (%v)", hostport, addrs)
	}
	return others, nil
}
