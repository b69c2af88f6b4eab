package consul

import (
	"github.com/hashicorp/consul/api"
)

// instanceKey identifies an instance.
type instanceKey struct{ node, id string }

// checkKey identifies a check; service is the ID of its instance, empty for a
// node's.
type checkKey struct{ node, id, service string }

// seenChecks is what was seen of a service's checks when it was read last.
type seenChecks struct {
	nodes     map[string]bool      // on which it has instances
	instances map[instanceKey]bool // all of them
	bad       map[checkKey]string  // the status of each check that does not pass
}

// checksOf collects what entries of a service say of its checks.
func checksOf(entries []*api.ServiceEntry) seenChecks {
	s := seenChecks{nodes: make(map[string]bool), instances: make(map[instanceKey]bool), bad: make(map[checkKey]string)}
	for _, e := range entries {
		if e == nil || e.Node == nil {
			continue
		}
		s.nodes[e.Node.Node] = true
		if e.Service != nil {
			s.instances[instanceKey{e.Node.Node, e.Service.ID}] = true
		}
		for _, c := range e.Checks {
			if c != nil && (c.Status == api.HealthCritical || c.Status == api.HealthWarning) {
				s.bad[checkKey{c.Node, c.CheckID, c.ServiceID}] = c.Status
			}
		}
	}
	return s
}

// badChecks is what an overview knows of the checks that do not pass. It is not
// modified.
type badChecks struct {
	status     map[checkKey]string
	byInstance map[instanceKey]int // how many
	byNode     map[string]int      // how many that are a node's own
}

// newBadChecks adds up the lists of checks, which are by status.
func newBadChecks(lists map[string]map[checkKey]string) *badChecks {
	b := &badChecks{status: make(map[checkKey]string), byInstance: make(map[instanceKey]int), byNode: make(map[string]int)}
	for status, list := range lists {
		for key := range list {
			if _, twice := b.status[key]; !twice { // the lists are of different moments
				if key.service == "" {
					b.byNode[key.node]++
				} else {
					b.byInstance[instanceKey{key.node, key.service}]++
				}
			}
			b.status[key] = status
		}
	}
	return b
}

// agrees reports whether the checks of a service are as it was read last. News
// alone do not tell: a check that was bad in the eyes of whoever read the
// service, and only between two looks at the lists, was never news.
func (b *badChecks) agrees(s seenChecks) bool {
	n := 0
	for i := range s.instances {
		n += b.byInstance[i]
	}
	for node := range s.nodes {
		n += b.byNode[node]
	}
	if n != len(s.bad) {
		return false
	}
	for key, status := range s.bad {
		if b.status[key] != status {
			return false
		}
	}
	return true
}
