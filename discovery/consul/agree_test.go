package consul

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"sluice/discovery/consul/consultest"
	"sluice/pkg/backend"
)

func TestAgrees(t *testing.T) {
	t.Parallel()
	check := func(node, id, service, status string) *api.HealthCheck {
		return &api.HealthCheck{Node: node, CheckID: id, ServiceID: service, ServiceName: "web", Status: status}
	}
	entry := func(node, id string, checks ...*api.HealthCheck) *api.ServiceEntry {
		return &api.ServiceEntry{Node: &api.Node{Node: node}, Service: &api.AgentService{ID: id}, Checks: checks}
	}
	type list = map[checkKey]string
	one, two, node := checkKey{"n1", "c", "1"}, checkKey{"n1", "c", "2"}, checkKey{"n1", "serfHealth", ""}
	f := func(want bool, critical, warning list, entries ...*api.ServiceEntry) {
		t.Helper()
		bad := newBadChecks(map[string]list{api.HealthCritical: critical, api.HealthWarning: warning})
		if got := bad.agrees(checksOf(entries)); got != want {
			t.Errorf("unexpected agreement; got %v; want %v", got, want)
		}
	}
	passes := entry("n1", "1", check("n1", "c", "1", api.HealthPassing), check("n1", "serfHealth", "", api.HealthPassing))
	warns := entry("n1", "1", check("n1", "c", "1", api.HealthWarning))
	f(true, nil, nil)
	f(true, nil, nil, nil, passes)
	f(true, list{two: "db"}, list{two: "db"}, passes) // nobody's here
	f(false, nil, list{one: "web"}, passes)
	f(false, list{node: ""}, nil, passes)
	f(false, nil, nil, warns)
	f(false, list{one: "web"}, nil, warns) // another status
	f(true, nil, list{one: "web"}, warns)
	f(false, list{node: ""}, list{one: "web"}, warns)
	f(false, list{node: ""}, nil, warns) // as many, but others
	// A node's check is one, whoever shows it.
	sick := check("n1", "serfHealth", "", api.HealthCritical)
	f(true, list{node: ""}, nil, entry("n1", "1", sick), entry("n1", "2", sick))
}

// TestPassingNewsOfStatus has a service that shares be in warning for less time
// than it takes to ask who is, but long enough to be read in between: the list
// of those in warning never has news of it, and yet it is seen to pass.
func TestPassingNewsOfStatus(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: a.Addr()})
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 100}
	held, release := make(chan struct{}, 1000), make(chan struct{})
	g := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/state/warning") && r.URL.Query().Get("index") != "" {
			held <- struct{}{}
			select {
			case <-release:
			case <-r.Context().Done():
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { g.CloseClientConnections(); g.Close() })
	c := newClient(t, Config{Address: g.URL, MaxConns: MinMaxConns})
	const services = 10
	put := func(i int, status string) {
		t.Helper()
		name := fmt.Sprintf("s%d", i)
		_, err := a.API().Catalog().Register(&api.CatalogRegistration{
			Node: "n", Address: "192.0.2.1",
			Service: &api.AgentService{ID: name, Service: name, Address: "10.0.0.1", Port: 80},
			Check:   &api.AgentCheck{CheckID: "c" + name, ServiceID: name, Name: "c", Status: status},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	var watches []*watched
	for i := range services {
		put(i, api.HealthPassing)
	}
	for i := range services {
		watches = append(watches, start(t, c.Service(Query{Service: fmt.Sprintf("s%d", i)})))
	}
	until(t, "all share, and all that there is has been read", func() bool {
		c.seats.mu.Lock()
		defer c.seats.mu.Unlock()
		o := c.seats.overviews[""]
		quiet := len(c.seats.all) == services && o != nil && o.checks() != nil
		for s := range c.seats.all {
			quiet = quiet && !s.own && !s.dirty && !s.read.IsZero()
		}
		return quiet
	})
	<-held
	w := watches[3]
	put(3, api.HealthCritical)
	w.untilStatus(t, "s3", backend.Critical)
	put(3, api.HealthWarning)
	w.untilStatus(t, "s3", backend.Warning)
	put(3, api.HealthPassing)
	close(release)
	w.untilStatus(t, "s3", backend.Passing)
}
