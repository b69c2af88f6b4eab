package consul

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"sluice/discovery"
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

// targetsOf returns the targets of membersOf.
func targetsOf(entries []*api.ServiceEntry, tag string) ([]backend.Target, []badEntry) {
	members, bad, _ := membersOf(entries, tag, "")
	return discovery.Targets(members), bad
}

func TestMembersOfSuccess(t *testing.T) {
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

func TestMembersOfBadEntries(t *testing.T) {
	t.Parallel()
	const portReason = "is not within 1 and 65535: the service must be registered with the port it listens on"
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

	f(entry("n1", "x", "10.0.0.1", 0), badEntry{id: "n1/x", reason: "port 0 " + portReason})
	f(entry("n1", "x", "10.0.0.1", -1), badEntry{id: "n1/x", reason: "port -1 " + portReason})
	f(entry("n1", "x", "10.0.0.1", 70000), badEntry{id: "n1/x", reason: "port 70000 " + portReason})
	f(entry("n1", "x", "10.0.0.1:80", 80), badEntry{id: "n1/x", reason: `address "10.0.0.1:80" is neither an IP address nor a host name`})
	f(entry("n1", "x", "a b", 80), badEntry{id: "n1/x", reason: `address "a b" is neither an IP address nor a host name`})
	f(entry("n1", "x", "0.0.0.0", 80), badEntry{id: "n1/x", reason: `address "0.0.0.0" stands for any address`})
	f(entry("n1", "x", "::", 80), badEntry{id: "n1/x", reason: `address "::" stands for any address`})
	nowhere := entry("n1", "x", "", 80)
	nowhere.Node.Address = ""
	f(nowhere, badEntry{id: "n1/x", reason: "neither the service nor its node has an address"})
	f(nil, badEntry{id: "", reason: "it lacks its node or its service"})
	f(&api.ServiceEntry{}, badEntry{id: "", reason: "it lacks its node or its service"})
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
func members(ids string) []discovery.Member {
	var ms []discovery.Member
	for _, id := range ids {
		ms = append(ms, discovery.Member{Target: target(string(id), "10.0.0."+string(id)+":80")})
	}
	return ms
}

func TestApplyMeta(t *testing.T) {
	t.Parallel()
	f := func(meta map[string]string, weights api.AgentWeights, status string, want discovery.Member, wantBad ...string) {
		t.Helper()
		e := entry("n1", "x", "10.0.0.1", 80)
		e.Service.Meta, e.Service.Weights, e.Checks = meta, weights, checks(status)
		got, bad, _ := membersOf([]*api.ServiceEntry{e}, "", "")
		want.ID, want.Address = "n1/x", "10.0.0.1:80"
		if len(got) != 1 || !got[0].Equal(want) {
			t.Fatalf("unexpected members with %v; got %+v; want %+v", meta, got, want)
		}
		if len(bad) != len(wantBad) {
			t.Fatalf("unexpected complaints about %v; got %+v; want %q", meta, bad, wantBad)
		}
		for i, b := range bad {
			if !b.used || b.id != "n1/x" || !strings.Contains(b.reason, wantBad[i]) {
				t.Fatalf("unexpected complaint about %v; got %+v; want one with %q", meta, b, wantBad[i])
			}
		}
	}
	weight := func(n int, s backend.Status) discovery.Member {
		return discovery.Member{Target: backend.Target{Weight: n, Status: s}}
	}
	one := api.AgentWeights{Passing: 1, Warning: 1}

	front := weight(1, backend.Passing)
	front.Balances = "x"
	f(map[string]string{"version": "3", "sluice": "x", "sluices-weight": "3"}, one, "passing", front)
	all := weight(7, backend.Passing)
	all.Zone, all.Protocol, all.Check = "b", "http", "http:/up"
	f(map[string]string{"sluice-weight": "7", "sluice_zone": "b", "sluice.protocol": "http", "sluice-check": "http:/up"}, one, "passing", all)
	f(map[string]string{"sluice.weight": "0"}, one, "passing", weight(0, backend.Passing))
	// In warning, Consul's weights say how much of it is left.
	f(map[string]string{"sluice.weight": "100"}, api.AgentWeights{Passing: 10, Warning: 3}, "warning", weight(30, backend.Warning))
	spare := weight(0, backend.Warning)
	spare.Spare = 100
	f(map[string]string{"sluice.weight": "100"}, api.AgentWeights{Passing: 10}, "warning", spare)
	f(map[string]string{"sluice.weight": "2"}, api.AgentWeights{Passing: 10, Warning: 1}, "warning", weight(1, backend.Warning))
	f(map[string]string{"sluice.weight": "2"}, one, "warning", weight(2, backend.Warning))
	f(map[string]string{"sluice.weight": "0"}, one, "warning", weight(0, backend.Warning))
	// What means nothing is said, and holds up nothing.
	f(map[string]string{"sluice.weight": "heavy", "sluice.protocol": "gopher", "sluice.check": "ping", "sluice.colour": "red"}, one, "passing",
		weight(1, backend.Passing), `metadata key "sluice.colour"`, `sluice.check="ping"`, `sluice.protocol="gopher"`, `sluice.weight="heavy"`)
	f(map[string]string{"sluice.weight": "65536"}, one, "passing", weight(1, backend.Passing), "from 0 to 65535")
}

func TestZoneOf(t *testing.T) {
	t.Parallel()
	f := func(service, node *api.Locality, meta, want string) {
		t.Helper()
		e := entry("n1", "x", "10.0.0.1", 80)
		e.Service.Locality, e.Node.Locality = service, node
		if meta != "" {
			e.Service.Meta = map[string]string{"sluice-zone": meta}
		}
		got, _, _ := membersOf([]*api.ServiceEntry{e}, "", "")
		if got[0].Zone != want {
			t.Fatalf("unexpected zone; got %q; want %q", got[0].Zone, want)
		}
	}
	f(nil, nil, "", "")
	f(nil, &api.Locality{Zone: "n"}, "", "n")
	f(&api.Locality{Zone: "s"}, &api.Locality{Zone: "n"}, "", "s")
	f(&api.Locality{Region: "r"}, &api.Locality{Zone: "n"}, "", "n")
	f(&api.Locality{Zone: "s"}, nil, "m", "m")
	byNode := entry("n1", "x", "10.0.0.1", 80)
	byNode.Node.Meta, byNode.Node.Locality = map[string]string{ZoneMeta: "m"}, &api.Locality{Zone: "n"}
	if got := zoneOf(byNode); got != "m" {
		t.Fatalf("unexpected zone by the node's metadata; got %q; want m", got)
	}
}

func TestSpareOf(t *testing.T) {
	t.Parallel()
	f := func(passing, warning int, status backend.Status, want int) {
		t.Helper()
		if got := spareOf(api.AgentWeights{Passing: passing, Warning: warning}, status); got != want {
			t.Fatalf("unexpected spare weight of {%d %d} when %s; got %d; want %d", passing, warning, status, got, want)
		}
	}
	f(10, 0, backend.Warning, 10)
	f(70000, 0, backend.Warning, 65535)
	f(10, 3, backend.Warning, 0)
	f(0, 0, backend.Warning, 0) // which is 1 and 1
	f(10, 0, backend.Passing, 0)
	f(10, 0, backend.Critical, 0)
}

func TestPortOf(t *testing.T) {
	t.Parallel()
	several := &api.AgentService{Ports: api.ServicePorts{{Name: "http", Port: 8080, Default: true}, {Name: "admin", Port: 9000}}}
	single := &api.AgentService{Port: 80}
	meta := &api.AgentService{Ports: several.Ports, Meta: map[string]string{"sluice-port": "admin"}}
	f := func(s *api.AgentService, name string, want int, wantErr string) {
		t.Helper()
		got, err := portOf(s, name)
		if got != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Fatalf("unexpected port %q; got %d, %v; want %d, %q", name, got, err, want, wantErr)
		}
	}
	f(single, "", 80, "")
	f(single, "8443", 8443, "")
	f(single, "admin", 0, "its registration names none")
	f(several, "", 8080, "")
	f(several, "admin", 9000, "")
	f(several, "grpc", 0, "it has http, admin")
	f(meta, "", 9000, "")
	f(meta, "http", 8080, "") // the operator's word goes before
}

func TestMembersOfNoServers(t *testing.T) {
	t.Parallel()
	good := entry("n1", "web", "10.0.0.9", 80)
	for _, kind := range []api.ServiceKind{api.ServiceKindConnectProxy, api.ServiceKindMeshGateway, api.ServiceKindTerminatingGateway, api.ServiceKindIngressGateway, api.ServiceKindAPIGateway} {
		e := entry("n1", "proxy", "10.0.0.1", 80)
		e.Service.Kind = kind
		members, bad, _ := membersOf([]*api.ServiceEntry{e, good}, "", "")
		if len(members) != 1 || members[0].ID != "n1/web" || len(bad) != 1 || bad[0].kind != string(kind) || bad[0].used {
			t.Fatalf("unexpected members with a %s; got %+v, left out %+v", kind, members, bad)
		}
	}
}
