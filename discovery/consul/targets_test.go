package consul

import (
	"slices"
	"testing"

	"github.com/hashicorp/consul/api"

	"sluice/pkg/backend"
)

// entry returns an entry with the given identity and address, passing.
func entry(node, id, address string, port int) *api.ServiceEntry {
	return &api.ServiceEntry{
		Node: &api.Node{Node: node, Address: "192.0.2.1"},
		Service: &api.AgentService{
			ID: id, Service: "web", Address: address, Port: port,
			Weights: api.AgentWeights{Passing: 1, Warning: 1},
		},
		Checks: checks(api.HealthPassing),
	}
}

func checks(statuses ...string) api.HealthChecks {
	var hc api.HealthChecks
	for _, s := range statuses {
		hc = append(hc, &api.HealthCheck{CheckID: "check", Status: s})
	}
	return hc
}

func target(id, address string) backend.Target {
	return backend.Target{ID: id, Address: address, Weight: 1}
}

func TestTargetsOfSuccess(t *testing.T) {
	t.Parallel()
	f := func(entries []*api.ServiceEntry, tag string, want ...backend.Target) {
		t.Helper()
		got, bad := targetsOf(entries, tag)
		if !slices.Equal(got, want) || len(bad) != 0 {
			t.Fatalf("unexpected targets; got %+v and bad entries %+v; want %+v", got, bad, want)
		}
	}
	list := func(entries ...*api.ServiceEntry) []*api.ServiceEntry { return entries }

	f(nil, "")
	f(list(entry("n1", "web-1", "10.0.0.1", 80)), "", target("n1/web-1", "10.0.0.1:80"))
	// The node's address stands in for the service's.
	f(list(entry("n1", "web-1", "", 65535)), "", target("n1/web-1", "192.0.2.1:65535"))
	f(list(entry("n1", "web-1", "2001:db8::1", 1)), "", target("n1/web-1", "[2001:db8::1]:1"))
	f(list(entry("n1", "web-1", "fe80::1%eth0", 80)), "", target("n1/web-1", "[fe80::1%eth0]:80"))
	f(list(entry("n1", "web-1", "web_1.example-host.internal", 80)), "", target("n1/web-1", "web_1.example-host.internal:80"))
	// The same service ID on two nodes makes two targets; the order is by ID.
	f(list(entry("n2", "web", "10.0.0.2", 80), entry("n1", "web", "10.0.0.1", 80)), "",
		target("n1/web", "10.0.0.1:80"), target("n2/web", "10.0.0.2:80"))

	tagged := entry("n1", "web-1", "10.0.0.1", 80)
	tagged.Service.Tags = []string{"line\nbreak", "v2"}
	plain := entry("n1", "web-2", "10.0.0.2", 80)
	badOther := entry("n1", "web-3", "10.0.0.3", 0)
	f(list(plain, tagged), "v2", target("n1/web-1", "10.0.0.1:80"))
	f(list(plain, tagged), "line\nbreak", target("n1/web-1", "10.0.0.1:80"))
	f(list(plain, tagged), "v", []backend.Target{}...)
	f(list(badOther, tagged), "v2", target("n1/web-1", "10.0.0.1:80"))
}

func TestTargetsOfBadEntries(t *testing.T) {
	t.Parallel()
	good := entry("n1", "good", "10.0.0.9", 80)
	f := func(e *api.ServiceEntry, want badEntry) {
		t.Helper()
		got, bad := targetsOf([]*api.ServiceEntry{e, good}, "")
		if !slices.Equal(got, []backend.Target{target("n1/good", "10.0.0.9:80")}) {
			t.Fatalf("unexpected targets; got %+v; want the good one", got)
		}
		if !slices.Equal(bad, []badEntry{want}) {
			t.Fatalf("unexpected bad entries; got %+v; want %+v", bad, want)
		}
	}

	f(entry("n1", "x", "10.0.0.1", 0), badEntry{"n1/x", "port 0 is not within 1 and 65535"})
	f(entry("n1", "x", "10.0.0.1", -1), badEntry{"n1/x", "port -1 is not within 1 and 65535"})
	f(entry("n1", "x", "10.0.0.1", 70000), badEntry{"n1/x", "port 70000 is not within 1 and 65535"})
	f(entry("n1", "x", "10.0.0.1:80", 80), badEntry{"n1/x", `address "10.0.0.1:80" is neither an IP address nor a host name`})
	f(entry("n1", "x", "a b", 80), badEntry{"n1/x", `address "a b" is neither an IP address nor a host name`})
	f(entry("n1", "x", "0.0.0.0", 80), badEntry{"n1/x", `address "0.0.0.0" stands for any address`})
	f(entry("n1", "x", "::", 80), badEntry{"n1/x", `address "::" stands for any address`})
	nowhere := entry("n1", "x", "", 80)
	nowhere.Node.Address = ""
	f(nowhere, badEntry{"n1/x", "neither the service nor its node has an address"})
	f(nil, badEntry{"", "it lacks its node or its service"})
	f(&api.ServiceEntry{}, badEntry{"", "it lacks its node or its service"})
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	f := func(hc api.HealthChecks, want backend.Status) {
		t.Helper()
		if got := statusOf(hc); got != want {
			t.Fatalf("unexpected status; got %s; want %s", got, want)
		}
	}
	maintenance := func(id string) *api.HealthCheck {
		return &api.HealthCheck{CheckID: id, Status: api.HealthCritical}
	}

	f(nil, backend.Passing)
	f(checks("passing", "passing"), backend.Passing)
	f(checks("warning", "passing"), backend.Warning)
	f(checks("warning", "critical", "passing"), backend.Critical)
	f(append(checks("critical"), maintenance("_service_maintenance:web-1")), backend.Maintenance)
	f(append(checks("passing"), maintenance("_node_maintenance")), backend.Maintenance)
	f(checks("passing", "bogus"), backend.Critical)
}

func TestWeightOf(t *testing.T) {
	t.Parallel()
	f := func(passing, warning int, status backend.Status, want int) {
		t.Helper()
		got := weightOf(api.AgentWeights{Passing: passing, Warning: warning}, status)
		if got != want {
			t.Fatalf("unexpected weight of {%d %d} when %s; got %d; want %d", passing, warning, status, got, want)
		}
	}

	f(10, 3, backend.Passing, 10)
	f(10, 3, backend.Warning, 3)
	f(10, 3, backend.Critical, 10)
	f(10, 3, backend.Maintenance, 10)
	f(10, 0, backend.Warning, 0)
	f(0, 0, backend.Passing, 1)
	f(0, 0, backend.Warning, 1)
	f(0, 5, backend.Warning, 5)
	f(-1, -1, backend.Passing, 0)
	f(70000, 65536, backend.Passing, 65535)
	f(70000, 65536, backend.Warning, 65535)
}

func TestDoubtful(t *testing.T) {
	t.Parallel()
	f := func(last, next string, want bool) {
		t.Helper()
		if got := doubtful(members(last), members(next)); got != want {
			t.Fatalf("unexpected doubt of %q after %q; got %v; want %v", next, last, got, want)
		}
	}

	f("", "a", false)
	f("a", "a", false)
	f("ab", "a", false) // half, not more
	f("abcd", "cdxy", false)
	f("abc", "abcd", false)
	f("", "", true)
	f("a", "", true)
	f("abc", "", true)
	f("abc", "a", true)
	f("abc", "cxyz", true)
	f("a", "b", true)
}

// members returns one target for each letter of ids.
func members(ids string) []backend.Target {
	var ts []backend.Target
	for _, id := range ids {
		ts = append(ts, target(string(id), "10.0.0.1:80"))
	}
	return ts
}
