package dns

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"sluice/discovery"
	"sluice/pkg/backend"
)

// spread is by how much weights are multiplied where they have to be divided,
// or where 0 has to be less than the least.
const spread = 100

// server is what an SRV record names, with its addresses.
type server struct {
	target           string
	port             uint16
	priority, weight uint16
	addrs            []netip.Addr
}

// addressesOf returns the addresses in A and AAAA records.
func addressesOf(list []dns.RR) (addrs []netip.Addr) {
	for _, rr := range list {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A
		case *dns.AAAA:
			ip = rr.AAAA
		}
		if a, ok := netip.AddrFromSlice(ip); ok && !a.IsUnspecified() {
			addrs = append(addrs, a.Unmap())
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// member is a member, with the priority of its SRV record.
type member struct {
	discovery.Member
	priority uint16
}

// membersAt returns a member at each address.
func membersAt(addrs []netip.Addr, port uint16) (members []member) {
	for _, a := range addrs {
		addr := netip.AddrPortFrom(a, port).String()
		members = append(members, member{Member: discovery.Member{Target: backend.Target{ID: addr, Address: addr, Weight: 1}}})
	}
	return members
}

// membersOf returns the members that servers are, with the weights that they
// have within their priority.
func membersOf(servers []server) (members []member) {
	servers = slices.Clone(servers)
	slices.SortFunc(servers, func(a, b server) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), strings.Compare(a.target, b.target), cmp.Compare(a.port, b.port))
	})
	seen := make(map[string]bool)
	scale := scaleOf(servers)
	for _, s := range servers {
		for _, a := range s.addrs {
			addr := netip.AddrPortFrom(a, s.port).String()
			if seen[addr] {
				continue // another record, of the same or a later priority
			}
			seen[addr] = true
			weight := min(max(int(s.weight)*scale/len(s.addrs), 1), backend.MaxWeight)
			members = append(members, member{discovery.Member{Target: backend.Target{
				ID: s.target + ":" + strconv.Itoa(int(s.port)) + "/" + a.String(), Address: addr, Weight: weight,
			}}, s.priority})
		}
	}
	return members
}

// ranked returns members with their priority, by which the pool uses them: how
// much later they come than the first ones of the name.
func ranked(members []member) (all []discovery.Member) {
	if len(members) == 0 {
		return nil
	}
	first := slices.MinFunc(members, func(a, b member) int { return cmp.Compare(a.priority, b.priority) }).priority
	for _, m := range members {
		m.Priority = int(m.priority - first)
		all = append(all, m.Member)
	}
	return all
}

// scaleOf returns by what weights are to be multiplied so that they can be
// divided among addresses, and 0, which RFC 2782 wants to be a very small
// chance beside others, can be 1.
func scaleOf(servers []server) int {
	most, exact := uint16(1), true
	for _, s := range servers {
		most = max(most, s.weight)
		exact = exact && s.weight > 0 && (len(s.addrs) < 2 || int(s.weight)%len(s.addrs) == 0)
	}
	if exact || !slices.ContainsFunc(servers, func(s server) bool { return s.weight > 0 }) {
		return 1
	}
	return max(1, min(spread, backend.MaxWeight/int(most)))
}
