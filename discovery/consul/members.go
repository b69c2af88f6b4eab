package consul

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"sluice/discovery"
	"sluice/pkg/backend"
	"sluice/pkg/health"
)

// The keys of Service.Meta that sluice reads, after "sluice-". Others with that
// prefix are reported as unknown. A dot or an underscore do for the dash; an
// agent takes no dots in keys, but the catalogue does.
const (
	metaWeight   = "weight"
	metaZone     = "zone"
	metaProtocol = "protocol"
	metaCheck    = "check"
	metaPort     = "port"
	metaPriority = "priority"
)

// BalancesMeta is the key of Service.Meta in which a sluice says what it leads
// to, as discovery.Member.Balances has it.
const BalancesMeta = "sluice"

// metaName returns what follows sluice's prefix in a key of metadata.
func metaName(key string) (name string, ours bool) {
	rest, ok := strings.CutPrefix(key, "sluice")
	if !ok || rest == "" || !strings.ContainsRune("-_.", rune(rest[0])) {
		return "", false
	}
	return rest[1:], true
}

// badEntry is an entry of an answer that cannot be a member, or a setting of
// one that means nothing, and why.
type badEntry struct {
	id     string
	reason string
	used   bool   // it is a member all the same
	kind   string // it is none since it is no server, but, for instance, a connect-proxy
}

// membersOf returns the members that entries describe, ordered by ID, and
// what is wrong with the others. If tag is not empty, entries that do not
// carry it are neither; their IDs are in others. port, if not empty, names the
// port of each that connections go to, or is its number.
func membersOf(entries []*api.ServiceEntry, tag, port string) (members []discovery.Member, bad []badEntry, others []string) {
	for _, e := range entries {
		if e == nil || e.Service == nil || e.Node == nil {
			bad = append(bad, badEntry{reason: "it lacks its node or its service"})
			continue
		}
		// A service ID is unique on its node alone.
		id := e.Node.Node + "/" + e.Service.ID
		// Sidecars have the tags of their service, and speak mutual TLS alone;
		// gateways speak for others.
		if e.Service.Kind != "" {
			bad = append(bad, badEntry{id: id, kind: string(e.Service.Kind), reason: "it is no server but a " + string(e.Service.Kind)})
			continue
		}
		if tag != "" && !slices.Contains(e.Service.Tags, tag) {
			others = append(others, id)
			continue
		}
		address, err := addressOf(e, port)
		if err != nil {
			bad = append(bad, badEntry{id: id, reason: err.Error()})
			continue
		}
		status := statusOf(e.Checks)
		m := discovery.Member{
			Target: backend.Target{
				ID:      id,
				Address: address,
				Weight:  weightOf(e.Service.Weights, status),
				Spare:   spareOf(e.Service.Weights, status),
				Zone:    zoneOf(e),
				Status:  status,
			},
			Tags:     slices.Clone(e.Service.Tags),
			Balances: e.Service.Meta[BalancesMeta],
		}
		for _, reason := range applyMeta(&m, e.Service) {
			bad = append(bad, badEntry{id: id, reason: reason, used: true})
		}
		members = append(members, m)
	}
	sortMembers(members)
	return members, bad, others
}

// zoneOf returns the zone of e: by the locality of the service, or else by the
// metadata or the locality of its node.
func zoneOf(e *api.ServiceEntry) string {
	if l := e.Service.Locality; l != nil && l.Zone != "" {
		return l.Zone
	}
	if zone := e.Node.Meta[ZoneMeta]; zone != "" {
		return zone
	}
	if l := e.Node.Locality; l != nil {
		return l.Zone
	}
	return ""
}

// applyMeta sets on m what the metadata of its service say, and returns what
// in them cannot be used, in the order of keys.
func applyMeta(m *discovery.Member, s *api.AgentService) (bad []string) {
	for key, value := range s.Meta {
		name, ours := metaName(key)
		if !ours {
			continue
		}
		switch name {
		case metaWeight:
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > backend.MaxWeight {
				bad = append(bad, fmt.Sprintf("%s=%q is not a number from 0 to %d", key, value, backend.MaxWeight))
				continue
			}
			m.Weight, m.Spare = metaWeightOf(n, s.Weights, m.Status), 0
			if m.Weight == 0 {
				m.Spare = min(n, spareOf(s.Weights, m.Status)*n)
			}
		case metaPriority:
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > backend.MaxPriority {
				bad = append(bad, fmt.Sprintf("%s=%q is not a number from 0 to %d", key, value, backend.MaxPriority))
				continue
			}
			m.Priority = n
		case metaZone:
			m.Zone = value
		case metaProtocol:
			if _, ok := backend.ParseProtocol(value); !ok && value != "tcp" || value == "" {
				bad = append(bad, fmt.Sprintf("%s=%q is not known; known are tcp, %s", key, value, backend.Protocols))
				continue
			}
			m.Protocol = value
		case metaCheck:
			if _, err := health.ParseCheck(value, health.Via{}); err != nil {
				bad = append(bad, fmt.Sprintf("%s=%q: %v", key, value, err))
				continue
			}
			m.Check = value
		case metaPort: // addressOf has read it
		default:
			bad = append(bad, fmt.Sprintf("metadata key %q is not known; known are sluice-%s", key,
				strings.Join([]string{metaCheck, metaPort, metaPriority, metaProtocol, metaWeight, metaZone}, ", sluice-")))
		}
	}
	slices.Sort(bad)
	return bad
}

// metaWeightOf returns the weight of a member whose metadata name one: in
// warning, the part of it that Consul's weights say, but no less than 1 unless
// they say 0.
func metaWeightOf(weight int, w api.AgentWeights, status backend.Status) int {
	if status != backend.Warning || w.Passing <= 0 || weight == 0 {
		return weight
	}
	if w.Warning <= 0 {
		return 0
	}
	return min(max(weight*w.Warning/w.Passing, 1), backend.MaxWeight)
}

// portOf returns the port of s that is named, or is its number; without a
// name, the one that its metadata name, or else its only or default one.
func portOf(s *api.AgentService, name string) (int, error) {
	if name == "" {
		for key, value := range s.Meta {
			if n, ours := metaName(key); ours && n == metaPort {
				name = value
			}
		}
	}
	if name == "" {
		return s.DefaultPort(), nil
	}
	for _, p := range s.Ports {
		if p.Name == name {
			return p.Port, nil
		}
	}
	if n, err := strconv.Atoi(name); err == nil {
		return n, nil
	}
	if len(s.Ports) == 0 {
		return 0, fmt.Errorf("it has no port named %q: its registration names none", name)
	}
	var names []string
	for _, p := range s.Ports {
		names = append(names, p.Name)
	}
	return 0, fmt.Errorf("it has no port named %q; it has %s", name, strings.Join(names, ", "))
}

// addressOf returns the host:port to which connections for e are made.
func addressOf(e *api.ServiceEntry, named string) (string, error) {
	host := e.Service.Address
	port, err := portOf(e.Service, named)
	if err != nil {
		return "", err
	}
	if host == "" {
		host = e.Node.Address
	}
	if host == "" {
		return "", fmt.Errorf("neither the service nor its node has an address")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsUnspecified() {
			return "", fmt.Errorf("address %q stands for any address", host)
		}
	} else if strings.ContainsFunc(host, notInHostname) {
		return "", fmt.Errorf("address %q is neither an IP address nor a host name", host)
	}
	if port < 1 || port > 65535 {
		return "", fmt.Errorf("port %d is not within 1 and 65535: the service must be registered with the port it listens on", port)
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

func notInHostname(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '.', r == '_':
		return false
	}
	return true
}

// statusOf returns the worst that checks say. A status that this code does
// not know, and a null, is taken for critical: nothing vouches for such a member.
func statusOf(checks api.HealthChecks) backend.Status {
	if slices.Contains(checks, nil) {
		return backend.Critical
	}
	switch checks.AggregatedStatus() {
	case api.HealthPassing:
		return backend.Passing
	case api.HealthWarning:
		return backend.Warning
	case api.HealthMaint:
		return backend.Maintenance
	}
	return backend.Critical
}

// spareOf returns the weight of a member in warning that is to get nothing by
// weights in which the 0 may be nobody's choice: Consul makes one of weights
// that name the passing one alone. 0 for all others.
func spareOf(w api.AgentWeights, status backend.Status) int {
	if status != backend.Warning || w.Passing <= 0 || w.Warning > 0 {
		return 0
	}
	return min(w.Passing, backend.MaxWeight)
}

// weightOf returns the weight that applies to a member in the given status.
// Consul turns away a passing weight of 0 where services are registered, so
// 0 there means that no weights were given at all, and Consul's default of 1
// holds; a warning weight of 0 means no new connections, but see spareOf.
func weightOf(w api.AgentWeights, status backend.Status) int {
	if w.Passing == 0 {
		w.Passing = 1
		w.Warning = max(w.Warning, 1)
	}
	weight := w.Passing
	if status == backend.Warning {
		weight = w.Warning
	}
	return min(max(weight, 0), backend.MaxWeight)
}

// doubtful reports whether the step from the list last to next is
// one to have confirmed before it is believed: next is empty, or more than
// half of last is missing in it.
func doubtful(last, next []discovery.Member) bool {
	return len(next) == 0 || 2*missing(last, next) > len(last)
}

// missing returns how many of last are not in next, by ID.
func missing(last, next []discovery.Member) (n int) {
	stay := make(map[string]bool, len(next))
	for _, m := range next {
		stay[m.ID] = true
	}
	for _, m := range last {
		if !stay[m.ID] {
			n++
		}
	}
	return n
}
