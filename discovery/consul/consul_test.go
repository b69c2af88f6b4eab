package consul

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"sluice/discovery"
	"sluice/discovery/consul/consultest"
	"sluice/pkg/backend"
)

// The tests in this file watch a real Consul.

func realWatch(t *testing.T, a *consultest.Agent, config Config, tag string) (*watched, *logs) {
	t.Helper()
	l := &logs{}
	config.Address, config.Logger = a.Addr(), l.logger()
	return start(t, newClient(t, config).Service(Query{Service: "web", Tag: tag})), l
}

func TestConsulMembership(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	w, l := realWatch(t, a, Config{}, "")
	one := target(a.Node()+"/web-1", "10.0.0.1:80")
	two := target(a.Node()+"/web-2", "127.0.0.1:81") // at its node's address

	w.until(t)
	a.Register(t, "web-1", "web", "10.0.0.1", 80)
	a.Register(t, "other-1", "other", "10.0.0.1", 80)
	w.until(t, one)
	a.Register(t, "web-2", "web", "", 81)
	w.until(t, one, two)
	a.Deregister(t, "web-1")
	w.until(t, two)
	a.Deregister(t, "web-2")
	w.until(t)
	l.expect(t, 0)
}

func TestConsulStatusAndWeights(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	a.Register(t, "web-1", "web", "10.0.0.1", 80, consultest.WithWeights(10, 3))
	a.Register(t, "web-2", "web", "10.0.0.2", 80, consultest.WithWeights(10, 0))
	w, _ := realWatch(t, a, Config{}, "")
	expect := func(weight1 int, status1 backend.Status, weight2 int, status2 backend.Status) {
		t.Helper()
		spare := 0
		if status2 == backend.Warning {
			spare = 10 // by which it serves if nobody else is left
		}
		w.until(t,
			backend.Target{ID: a.Node() + "/web-1", Address: "10.0.0.1:80", Weight: weight1, Status: status1},
			backend.Target{ID: a.Node() + "/web-2", Address: "10.0.0.2:80", Weight: weight2, Spare: spare, Status: status2})
	}

	expect(10, backend.Passing, 10, backend.Passing)
	a.SetStatus(t, "web-1", api.HealthCritical)
	expect(10, backend.Critical, 10, backend.Passing)
	a.SetStatus(t, "web-1", api.HealthWarning)
	expect(3, backend.Warning, 10, backend.Passing)
	a.SetStatus(t, "web-2", api.HealthWarning)
	expect(3, backend.Warning, 0, backend.Warning)
	a.Maintenance(t, "web-1", true)
	expect(10, backend.Maintenance, 0, backend.Warning)
	a.Maintenance(t, "web-1", false)
	expect(3, backend.Warning, 0, backend.Warning)
	a.SetStatus(t, "web-1", api.HealthPassing)
	expect(10, backend.Passing, 0, backend.Warning)
	if err := a.API().Agent().EnableNodeMaintenance("set by a test"); err != nil {
		t.Fatal(err)
	}
	expect(10, backend.Maintenance, 10, backend.Maintenance)
}

func TestConsulTags(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	w, _ := realWatch(t, a, Config{}, "v2")
	a.Register(t, "web-1", "web", "10.0.0.1", 80, consultest.WithTags("v1"))
	a.Register(t, "web-2", "web", "10.0.0.2", 80, consultest.WithTags("v2", "canary"))
	w.until(t, target(a.Node()+"/web-2", "10.0.0.2:80"))
	a.Register(t, "web-1", "web", "10.0.0.1", 80, consultest.WithTags("v2"))
	w.until(t, target(a.Node()+"/web-1", "10.0.0.1:80"), target(a.Node()+"/web-2", "10.0.0.2:80"))
}

func TestConsulForeignNodes(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	// Past the agent, the catalogue takes almost anything.
	put := func(node, address string, port int) {
		t.Helper()
		_, err := a.API().Catalog().Register(&api.CatalogRegistration{
			Node: node, Address: "192.0.2.1",
			Service: &api.AgentService{ID: "web", Service: "web", Address: address, Port: port},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	put("foreign-1", "10.0.0.1", 80)
	put("foreign-2", "", 80)
	put("foreign-3", "10.0.0.3", 0)
	put("foreign-4", "10.0.0.4", 70000)
	put("foreign-5", "10.0.0.5", -1)
	w, l := realWatch(t, a, Config{}, "")
	w.until(t, target("foreign-1/web", "10.0.0.1:80"), target("foreign-2/web", "192.0.2.1:80"))

	// The bad ones do not hold up what comes later.
	put("foreign-6", "2001:db8::6", 80)
	put("foreign-4", "10.0.0.4", 8080)
	w.until(t,
		target("foreign-1/web", "10.0.0.1:80"),
		target("foreign-2/web", "192.0.2.1:80"),
		target("foreign-4/web", "10.0.0.4:8080"),
		target("foreign-6/web", "[2001:db8::6]:80"))
	l.expect(t, 1, "entry=foreign-3/web", "port 0 ")
	l.expect(t, 1, "entry=foreign-4/web", "port 70000 ")
	l.expect(t, 1, "entry=foreign-5/web", "port -1 ")
	l.expect(t, 3)
	if got := w.metrics.skipped.Get(); got < 5 {
		t.Fatalf("unexpected skipped entries; got %d; want 3 and 2 more at least", got)
	}
}

func TestConsulOutage(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	a.Register(t, "web-1", "web", "10.0.0.1", 80)
	w, l := realWatch(t, a, Config{}, "")
	w.until(t, target(a.Node()+"/web-1", "10.0.0.1:80"))

	a.Stop()
	for deadline := time.Now().Add(patience); w.metrics.errors.Get() < 4; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("unexpected errors in %s; got %d; want 4", patience, w.metrics.errors.Get())
		}
	}
	w.expectNone(t)
	l.expect(t, 1, lostLine, "kept_members=1")
	l.expect(t, 0, regainedLine)

	a.Restart()
	a.Register(t, "web-1", "web", "10.0.0.7", 80)
	restarted := time.Now()
	w.until(t, target(a.Node()+"/web-1", "10.0.0.7:80"))
	t.Logf("followed %s after the restart, after %d errors", time.Since(restarted), w.metrics.errors.Get())
	if len(l.lines(regainedLine)) == 0 {
		t.Fatalf("unexpected log; got %s; want a line about regained contact", l.lines())
	}
}

func TestConsulIdleCost(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	a.Register(t, "web-1", "web", "10.0.0.1", 80)
	const wait = time.Second
	w, _ := realWatch(t, a, Config{Wait: wait}, "")
	w.until(t, target(a.Node()+"/web-1", "10.0.0.1:80"))
	before, began := w.metrics.sent(), time.Now()
	// The fourth query from now is sent when three have waited.
	for deadline := began.Add(patience); w.metrics.sent() < before+4; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("unexpected queries in %s; got %d; want 4", patience, w.metrics.sent()-before)
		}
	}
	// One may be under way already when counting begins.
	if took := time.Since(began); took < 2*wait {
		t.Fatalf("unexpected idle cost: 4 queries in %s with a wait of %s", took, wait)
	}
	w.expectNone(t)
	if got := w.metrics.errors.Get(); got != 0 {
		t.Fatalf("unexpected errors; got %d; want 0", got)
	}
}

// TestConsulConnections checks that many services that rest cost a connection
// each, which is kept, and a bounded number of queries.
func TestConsulConnections(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	const services, rounds, wait = 30, 3, time.Second
	c := newClient(t, Config{Address: a.Addr(), Wait: wait})
	var dials atomic.Int64
	dial := c.agents[0].transport.DialContext
	c.agents[0].transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return dial(ctx, network, addr)
	}
	began := time.Now()
	var watches []*watched
	for i := range services {
		name := fmt.Sprintf("web-%d", i)
		a.Register(t, name, name, "10.0.0.1", 80)
		watches = append(watches, start(t, c.Service(Query{Service: name})))
	}
	deadline := time.Now().Add(patience)
	for _, w := range watches {
		for w.metrics.unchanged.Get() < rounds {
			if time.Now().After(deadline) {
				t.Fatalf("unexpected queries in %s; got %d; want %d that bring nothing", patience, w.metrics.sent(), rounds)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	// A query may come before the connection of the one before is free again.
	if n := dials.Load(); n > services+services/2 {
		t.Errorf("unexpected connections of %d services in %d queries each; got %d; want about one each", services, rounds+1, n)
	}
	for _, w := range watches {
		// Two at the start, one more if registration is seen in steps, and then
		// one each wait.
		if got, most := w.metrics.sent(), uint64(time.Since(began)/wait)+4; got > most {
			t.Errorf("unexpected queries in %s; got %d; want at most %d", time.Since(began), got, most)
		}
	}
}

// TestConsulSameIDOnTwoNodes checks that an ID, which is unique on its node
// alone, makes two members, of which each has its own fate.
func TestConsulSameIDOnTwoNodes(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	put := func(node, address, status string) {
		t.Helper()
		_, err := a.API().Catalog().Register(&api.CatalogRegistration{
			Node: node, Address: "192.0.2.1",
			Service: &api.AgentService{ID: "web", Service: "web", Address: address, Port: 80},
			Check:   &api.AgentCheck{CheckID: "service:web", ServiceID: "web", Name: "web", Status: status},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	put("one", "10.0.0.1", api.HealthPassing)
	put("two", "2001:db8::2", api.HealthPassing)
	w, l := realWatch(t, a, Config{}, "")
	w.until(t, target("one/web", "10.0.0.1:80"), target("two/web", "[2001:db8::2]:80"))
	put("two", "2001:db8::2", api.HealthCritical)
	critical := target("two/web", "[2001:db8::2]:80")
	critical.Status = backend.Critical
	w.until(t, target("one/web", "10.0.0.1:80"), critical)
	if _, err := a.API().Catalog().Deregister(&api.CatalogDeregistration{Node: "one", ServiceID: "web"}, nil); err != nil {
		t.Fatal(err)
	}
	w.until(t, critical)
	l.expect(t, 0)
}

// TestConsulPorts follows instances with several ports, and those that are no
// servers, in a real Consul.
func TestConsulPorts(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	several := func(r *api.AgentServiceRegistration) {
		r.Port = 0
		r.Ports = api.ServicePorts{{Name: "http", Port: 8080, Default: true}, {Name: "admin", Port: 9000}}
	}
	a.Register(t, "web-1", "web", "10.0.0.1", 0, several)
	a.Register(t, "web-2", "web", "10.0.0.2", 0, several, consultest.WithMeta(map[string]string{"sluice-port": "admin"}))
	a.Register(t, "web-3", "web", "10.0.0.3", 80)
	a.Register(t, "proxy", "web", "10.0.0.4", 80, func(r *api.AgentServiceRegistration) {
		r.Kind = api.ServiceKindConnectProxy
		r.Proxy = &api.AgentServiceConnectProxyConfig{DestinationServiceName: "web"}
	})
	l := &logs{}
	c := newClient(t, Config{Address: a.Addr(), Logger: l.logger()})
	w := start(t, c.Service(Query{Service: "web"}))
	w.until(t, target(a.Node()+"/web-1", "10.0.0.1:8080"), target(a.Node()+"/web-2", "10.0.0.2:9000"), target(a.Node()+"/web-3", "10.0.0.3:80"))
	l.expect(t, 1, "no servers", "kind=connect-proxy", "entries=1")
	w = start(t, c.Service(Query{Service: "web", Port: "admin"}))
	w.until(t, target(a.Node()+"/web-1", "10.0.0.1:9000"), target(a.Node()+"/web-2", "10.0.0.2:9000"))
	l.expect(t, 1, "entry="+a.Node()+"/web-3", "no port named")
}

// TestConsulLeave has a node with most of the instances leave, whose own checks
// pass, and then as many be deregistered one by one while their nodes stay.
func TestConsulLeave(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	put := func(node, id string) {
		t.Helper()
		_, err := a.API().Catalog().Register(&api.CatalogRegistration{Node: node, Address: "192.0.2.1", Service: &api.AgentService{ID: id, Service: "web", Address: "10.0.0." + id, Port: 80}}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"1", "2", "3"} {
		put("big", id)
	}
	put("small", "4")
	c := newClient(t, Config{Address: a.Addr(), Keep: time.Hour})
	w := start(t, c.Service(Query{Service: "web", Up: func(string) bool { return true }}))
	four := target("small/4", "10.0.0.4:80")
	w.until(t, target("big/1", "10.0.0.1:80"), target("big/2", "10.0.0.2:80"), target("big/3", "10.0.0.3:80"), four)
	// As the leader does for a node that leaves.
	if _, err := a.API().Catalog().Deregister(&api.CatalogDeregistration{Node: "big"}, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-w.updates:
		if len(got) != 1 || got[0] != four {
			t.Fatalf("unexpected members after the node had left; got %+v; want %+v alone", got, four)
		}
	case <-time.After(patience):
		t.Fatal("no update after the node had left")
	}
}

// TestConsulTagMoves checks that a member that loses its tag is told apart from
// one that is deregistered.
func TestConsulTagMoves(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	a.Register(t, "db-1", "db", "10.0.0.1", 80, consultest.WithTags("primary"))
	a.Register(t, "db-2", "db", "10.0.0.2", 80, consultest.WithTags("primary"))
	a.Register(t, "db-3", "db", "10.0.0.3", 80, consultest.WithTags("primary"))
	updates := make(chan []discovery.Member, 100)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = newClient(t, Config{Address: a.Addr()}).Service(Query{Service: "db", Tag: "primary"}).Watch(ctx, func(ms []discovery.Member) { updates <- ms }) // its error is ctx's
	}()
	t.Cleanup(func() { cancel(); <-ended })
	await := func(want string) {
		t.Helper()
		last := ""
		for timeout := time.After(patience); last != want; {
			select {
			case ms := <-updates:
				staying, withdrawn := discovery.Split(ms)
				last = fmt.Sprint(len(staying), withdrawn)
			case <-timeout:
				t.Fatalf("unexpected members; got %q; want %q", last, want)
			}
		}
	}
	await("3 []")
	a.Register(t, "db-1", "db", "10.0.0.1", 80, consultest.WithTags("replica"))
	await("2 [10.0.0.1:80]")
	a.Deregister(t, "db-2")
	await("1 [10.0.0.1:80]")
	a.Deregister(t, "db-1")
	await("1 []")
	a.Register(t, "db-1", "db", "10.0.0.1", 80, consultest.WithTags("primary"))
	await("2 []")
}
