package consul

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"sluice/pkg/backend"
)

// badEntry is an entry of an answer that cannot be a target, and why.
type badEntry struct {
	id     string
	reason string
}

// targetsOf returns the targets that entries describe, ordered by ID, and the
// entries that describe none. If tag is not empty, entries that do not carry
// it are neither.
func targetsOf(entries []*api.ServiceEntry, tag string) (targets []backend.Target, bad []badEntry) {
	for _, e := range entries {
		if e == nil || e.Service == nil || e.Node == nil {
			bad = append(bad, badEntry{reason: "it lacks its node or its service"})
			continue
		}
		if tag != "" && !slices.Contains(e.Service.Tags, tag) {
			continue
		}
		// A service ID is unique on its node alone.
		id := e.Node.Node + "/" + e.Service.ID
		address, err := addressOf(e)
		if err != nil {
			bad = append(bad, badEntry{id: id, reason: err.Error()})
			continue
		}
		status := statusOf(e.Checks)
		targets = append(targets, backend.Target{
			ID:      id,
			Address: address,
			Weight:  weightOf(e.Service.Weights, status),
			Status:  status,
		})
	}
	slices.SortFunc(targets, func(a, b backend.Target) int { return strings.Compare(a.ID, b.ID) })
	return targets, bad
}

// addressOf returns the host:port to which connections for e are made.
func addressOf(e *api.ServiceEntry) (string, error) {
	host, port := e.Service.Address, e.Service.Port
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
		return "", fmt.Errorf("port %d is not within 1 and 65535", port)
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
// not know is taken for critical: nothing vouches for such a member.
func statusOf(checks api.HealthChecks) backend.Status {
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

// weightOf returns the weight that applies to a member in the given status.
// Consul turns away a passing weight of 0 where services are registered, so
// 0 there means that no weights were given at all, and Consul's default of 1
// holds; a warning weight of 0 is a choice: no new connections.
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

// doubtful reports whether the step from the last list reported to next is
// one to have confirmed before it is believed: next is empty, or more than
// half of last is missing in it.
func doubtful(last, next []backend.Target) bool {
	if len(next) == 0 {
		return true
	}
	stay := make(map[string]bool, len(next))
	for _, t := range next {
		stay[t.ID] = true
	}
	missing := 0
	for _, t := range last {
		if !stay[t.ID] {
			missing++
		}
	}
	return 2*missing > len(last)
}
