package consul

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/hashicorp/consul/api"

	"sluice/discovery/consul/consultest"
	"sluice/pkg/backend"
)

// until waits until ok, which is polled, reports true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in %s: %s", patience, what)
		}
	}
}

// owners returns which of the services have a query of their own.
func owners(c *Client) map[string]bool {
	c.seats.mu.Lock()
	defer c.seats.mu.Unlock()
	own := make(map[string]bool)
	for s := range c.seats.all {
		if s.own {
			own[s.service] = true
		}
	}
	return own
}

// TestConsulSharing watches more services than there are connections, and
// changes all that can change.
func TestConsulSharing(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	const services, conns = 60, 24
	l := &logs{}
	c := newClient(t, Config{Address: a.Addr(), MaxConns: conns, Logger: l.logger()})
	var most atomic.Int64
	go func() {
		for t.Context().Err() == nil {
			most.Store(max(most.Load(), c.agents[0].open.Load()))
			time.Sleep(time.Millisecond)
		}
	}()
	var traffic atomic.Uint64
	put := func(r api.CatalogRegistration) {
		t.Helper()
		r.Address = "192.0.2.1"
		if _, err := a.API().Catalog().Register(&r, nil); err != nil {
			t.Fatal(err)
		}
	}
	name := func(i int) string { return fmt.Sprintf("Web-%d", i) }
	node := func(i int) string { return fmt.Sprintf("node-%d", i%3) }
	instance := func(i int, id string, weight int) *api.AgentService {
		return &api.AgentService{ID: id, Service: name(i), Address: "10.0.0.1", Port: 1000 + i, Weights: api.AgentWeights{Passing: weight, Warning: weight}}
	}
	want := func(i int, id string, weight int) backend.Target {
		return backend.Target{ID: node(i) + "/" + id, Address: fmt.Sprintf("10.0.0.1:%d", 1000+i), Weight: weight}
	}
	var watches []*watched
	for i := range services {
		put(api.CatalogRegistration{Node: node(i), Service: instance(i, "a", 1), Check: &api.AgentCheck{CheckID: "c" + name(i), ServiceID: "a", Name: "c", Status: api.HealthPassing}})
		put(api.CatalogRegistration{Node: node(i), Service: instance(i, name(i), 1), Check: &api.AgentCheck{CheckID: "c" + name(i), ServiceID: name(i), Name: "c", Status: api.HealthPassing}})
		q := Query{Service: strings.ToLower(name(i))}
		if i == 7 {
			q.Traffic = func() uint64 { return traffic.Add(1) }
		}
		watches = append(watches, start(t, c.Service(q)))
	}
	t.Run("changes", func(t *testing.T) {
		until(t, "the service with traffic alone has a query of its own", func() bool {
			own := owners(c)
			return len(own) == 1 && own["web-7"]
		})
		for i, w := range watches {
			switch i {
			case 7, 20: // Health
				put(api.CatalogRegistration{Node: node(i), SkipNodeUpdate: true, Check: &api.AgentCheck{CheckID: "c" + name(i), ServiceID: name(i), Name: "c", Status: api.HealthCritical}})
				w.untilStatus(t, name(i), backend.Critical)
				put(api.CatalogRegistration{Node: node(i), SkipNodeUpdate: true, Check: &api.AgentCheck{CheckID: "c" + name(i), ServiceID: name(i), Name: "c", Status: api.HealthWarning}})
				w.untilStatus(t, name(i), backend.Warning)
				put(api.CatalogRegistration{Node: node(i), SkipNodeUpdate: true, Check: &api.AgentCheck{CheckID: "c" + name(i), ServiceID: name(i), Name: "c", Status: api.HealthPassing}})
				w.untilStatus(t, name(i), backend.Passing)
			case 21: // a weight
				put(api.CatalogRegistration{Node: node(i), SkipNodeUpdate: true, Service: instance(i, name(i), 7)})
				w.untilHas(t, want(i, name(i), 7))
			case 22: // one more, without a check
				put(api.CatalogRegistration{Node: node(i), SkipNodeUpdate: true, Service: instance(i, "z", 3)})
				w.untilHas(t, want(i, "z", 3))
			case 23: // one less
				if _, err := a.API().Catalog().Deregister(&api.CatalogDeregistration{Node: node(i), ServiceID: name(i)}, nil); err != nil {
					t.Fatal(err)
				}
				w.untilLacks(t, node(i)+"/"+name(i))
			}
		}
		put(api.CatalogRegistration{Node: "node-1", Check: &api.AgentCheck{CheckID: "serfHealth", Name: "node", Status: api.HealthCritical}})
		watches[40].untilStatus(t, name(40), backend.Critical) // 40 % 3 == 1
		// A service that is on a node that nobody knew.
		put(api.CatalogRegistration{Node: "new", Service: instance(41, "n", 2)})
		watches[41].untilHas(t, backend.Target{ID: "new/n", Address: "10.0.0.1:1041", Weight: 2})
		if n := most.Load(); n > conns {
			t.Errorf("unexpected connections; got %d; want %d at most", n, conns)
		}
		l.expect(t, 0)
	})

	// Who comes back after an outage is followed, and one line speaks for all.
	a.Stop()
	until(t, "all are said to be without contact", func() bool {
		for _, w := range watches {
			if w.metrics.connected.Get() != 0 {
				return false
			}
		}
		return true
	})
	a.Restart()
	put(api.CatalogRegistration{Node: node(30), Service: instance(30, "a", 9)})
	watches[30].untilHas(t, want(30, "a", 9))
	until(t, "all are said to have contact", func() bool {
		for _, w := range watches {
			if w.metrics.connected.Get() != 1 {
				return false
			}
		}
		return true
	})
	if n := len(l.lines(lostLine)); n > 10 {
		t.Errorf("unexpected lines about the outage; got %d; want a few:\n%s", n, l.lines(lostLine))
	}
}

func (w *watched) untilHas(t *testing.T, want backend.Target) {
	t.Helper()
	w.untilMatch(t, fmt.Sprintf("%+v", want), func(all []backend.Target) bool {
		for _, got := range all {
			if got == want {
				return true
			}
		}
		return false
	})
}

func (w *watched) untilLacks(t *testing.T, id string) {
	t.Helper()
	w.untilMatch(t, "none called "+id, func(all []backend.Target) bool {
		for _, got := range all {
			if got.ID == id {
				return false
			}
		}
		return true
	})
}

// untilStatus waits until the instance that is called as its service has the
// status.
func (w *watched) untilStatus(t *testing.T, name string, want backend.Status) {
	t.Helper()
	w.untilMatch(t, name+" "+want.String(), func(all []backend.Target) bool {
		for _, got := range all {
			if strings.HasSuffix(got.ID, "/"+name) && got.Status == want {
				return true
			}
		}
		return false
	})
}

func (w *watched) untilMatch(t *testing.T, what string, match func([]backend.Target) bool) {
	t.Helper()
	timeout := time.After(patience)
	var last []backend.Target
	for {
		select {
		case last = <-w.updates:
			if match(last) {
				return
			}
		case <-timeout:
			t.Fatalf("no such update in %s; last %+v; want %s", patience, last, what)
		}
	}
}

// gate is a proxy in front of an agent that can be shut and hang.
type gate struct {
	*httptest.Server
	hangs  func(path string) bool
	served atomic.Int64
	shut   atomic.Bool
}

func newGate(t *testing.T, agent string, hangs func(path string) bool) *gate {
	t.Helper()
	g := &gate{hangs: hangs}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: agent})
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 100}
	proxy.ErrorLog = nil
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.shut.Load() {
			panic(http.ErrAbortHandler)
		}
		if g.hangs != nil && g.hangs(r.URL.Path) {
			<-r.Context().Done()
			return
		}
		g.served.Add(1)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { g.CloseClientConnections(); g.Close() })
	return g
}

// close cuts what is under way and what is to come.
func (g *gate) close() {
	g.shut.Store(true)
	g.CloseClientConnections()
}

// TestNulls follows more services than there are connections in a Consul that
// lists null, which once ended the process, and loses most members of each.
func TestNulls(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := make(map[string]int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, name, of := strings.TrimPrefix(r.URL.Path, "/v1/"), "", false
		if name, of = strings.CutPrefix(path, "health/service/"); of {
			path = "health/service"
		}
		mu.Lock()
		asked[path]++
		asked[path+"/"+name]++
		n := asked[path+"/"+name]
		mu.Unlock()
		time.Sleep(10 * time.Millisecond) // it answers at once, whatever the index
		body := "[null]"
		switch {
		case path == "catalog/services":
			body = `{"web":null}`
		case strings.HasPrefix(path, "catalog/node-services"):
			body = `{"Services":[null]}`
		case of && n == 1:
			var entries []string
			for id := range 4 {
				entries = append(entries, fmt.Sprintf(`{"Node":{"Node":"n","Address":"10.0.0.1"},"Service":{"ID":"%d","Service":%q,"Port":%[1]d},"Checks":[null]}`, id+1, name))
			}
			body = "[null," + strings.Join(entries, ",") + "]"
		}
		reply(w, answered{index: uint64(n), leader: true, body: body})
	}))
	t.Cleanup(s.Close)
	c := newClient(t, Config{Address: s.Listener.Addr().String(), MaxConns: 16, Keep: time.Hour})
	for i := range 2 * 16 {
		start(t, c.Service(Query{Service: fmt.Sprintf("web-%d", i)}))
	}
	for _, path := range []string{"health/state/critical", "health/state/warning", "catalog/nodes", "health/service"} {
		until(t, path+" is asked for again", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return asked[path] > 4
		})
	}
}

// TestSilentServices checks that services that are never answered hold up
// nobody.
func TestSilentServices(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	const services, silent = 60, 15
	g := newGate(t, a.Addr(), func(path string) bool { return strings.Contains(path, "/silent-") })
	c := newClient(t, Config{Address: g.URL, MaxConns: MinMaxConns})
	c.firstTimeout = 400 * time.Millisecond
	var watches []*watched
	for i := range silent {
		start(t, c.Service(Query{Service: fmt.Sprintf("silent-%d", i)}))
	}
	for i := range services {
		a.Register(t, fmt.Sprintf("s%d", i), fmt.Sprintf("s%d", i), "10.0.0.1", 80)
		watches = append(watches, start(t, c.Service(Query{Service: fmt.Sprintf("s%d", i)})))
	}
	for i, w := range watches {
		w.until(t, target(fmt.Sprintf("%s/s%d", a.Node(), i), "10.0.0.1:80"))
	}
	a.Register(t, "s5", "s5", "10.0.0.2", 80)
	watches[5].until(t, target(a.Node()+"/s5", "10.0.0.2:80"))
}

// TestSeveralAgents checks that agents share the load, that one stands in for
// another, and that it is asked again when it is back.
func TestSeveralAgents(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	one, two := newGate(t, a.Addr(), nil), newGate(t, a.Addr(), nil)
	l := &logs{}
	c := newClient(t, Config{Address: one.URL + ", " + two.URL, Wait: time.Second, Logger: l.logger()})
	var watches []*watched
	const services = 8
	check := func(round int) {
		t.Helper()
		for i, w := range watches {
			addr := fmt.Sprintf("10.0.%d.%d", round, i)
			a.Register(t, fmt.Sprintf("s%d", i), fmt.Sprintf("s%d", i), addr, 80)
			w.until(t, target(fmt.Sprintf("%s/s%d", a.Node(), i), addr+":80"))
		}
	}
	for i := range services {
		watches = append(watches, start(t, c.Service(Query{Service: fmt.Sprintf("s%d", i)})))
	}
	check(1)
	if one.served.Load() == 0 || two.served.Load() == 0 {
		t.Fatalf("unexpected shares; got %d and %d queries; want some each", one.served.Load(), two.served.Load())
	}
	one.close()
	check(2)
	until(t, "the lost agent is told of", func() bool { return len(l.lines("a Consul agent does not answer", one.URL)) == 1 })
	l.expect(t, 0, lostLine)
	for _, w := range watches {
		if w.metrics.errors.Get() != 0 {
			t.Errorf("unexpected errors of a service; got %d; want 0", w.metrics.errors.Get())
		}
	}
	served := one.served.Load()
	one.shut.Store(false)
	until(t, "the lost agent is asked again", func() bool { return one.served.Load() > served+2 })
	check(3)
	l.expect(t, 1, "a Consul agent answers again")
}

// TestHTTP2 checks that many queries share a connection where TLS allows it.
// It changes the environment, so it is not parallel.
func TestHTTP2(t *testing.T) {
	var conns atomic.Int64
	var once sync.Once
	two := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			once.Do(func() { close(two) })
		}
		if r.URL.Query().Get("index") != "" {
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
			}
		}
		reply(w, answered{index: 5, leader: true, body: idsJSON(t, "a")})
	}))
	s.EnableHTTP2 = true
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONSUL_CACERT", ca)
	c := newClient(t, Config{Address: s.URL})
	t.Cleanup(s.CloseClientConnections)
	for i := range 40 {
		w := start(t, c.Service(Query{Service: fmt.Sprintf("s%d", i)}))
		w.expect(t, "a")
	}
	select {
	case <-two:
	default:
		t.Fatal("nothing came by HTTP/2")
	}
	if n := conns.Load(); n > 4 {
		t.Errorf("unexpected connections; got %d; want one or two", n)
	}
}

// TestRegistrationHasRoom checks that a registration is looked after while all
// other connections are in use and the agent takes no more.
func TestRegistrationHasRoom(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t, "-hcl", "limits { http_max_conns_per_client = 18 }")
	set := metrics.NewSet()
	c := newClient(t, Config{Address: a.Addr(), MaxConns: MinMaxConns, Metrics: set})
	for i := range 100 {
		start(t, c.Service(Query{Service: fmt.Sprintf("s%d", i), Traffic: func() uint64 { return uint64(time.Now().UnixNano()) }}))
	}
	until(t, "all that may have a query of their own have one", func() bool { return len(owners(c)) == divide(MinMaxConns, 1).own })
	g := c.Register(Registration{ID: "lb", Service: "lb", Port: 80, Ready: func() (bool, string) { return true, "" }})
	defer func() { _ = g.Deregister(context.Background()) }()
	until(t, "it is registered", func() bool {
		why, _ := g.Trouble()
		_, _, err := a.API().Agent().Service("lb", nil)
		return why == "" && err == nil
	})
	if why, _ := g.Trouble(); why != "" {
		t.Errorf("unexpected trouble: %s", why)
	}
	// Whoever else is there still gets an answer.
	resp, err := http.Get("http://" + a.Addr() + "/v1/status/leader")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Errorf("unexpected answer to another program; got %d %q", resp.StatusCode, body)
	}
}
