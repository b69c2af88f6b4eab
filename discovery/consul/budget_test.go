package consul

import (
	"slices"
	"testing"
	"time"
)

func TestDivide(t *testing.T) {
	t.Parallel()
	for _, conns := range []int{MinMaxConns, 20, 64, defaultMaxConns, 1000} {
		for datacenters := range 4 {
			s := divide(conns, datacenters)
			if sum := s.own + s.readers + registerConns + singleConns + (overviewConns+scanConns)*max(datacenters, 1); sum > conns && s.own > 0 {
				t.Errorf("unexpected shares of %d connections and %d datacenters: %+v, %d together", conns, datacenters, s, sum)
			}
			if s.retries < 1 || s.readers <= s.retries || s.own < 0 || datacenters < 2 && s.own == 0 {
				t.Errorf("unexpected shares of %d connections and %d datacenters: %+v", conns, datacenters, s)
			}
		}
	}
}

func TestAssign(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	f := func(n int, services []demand, want ...bool) {
		t.Helper()
		if got := assign(now, services, n); !slices.Equal(got, want) {
			t.Fatalf("unexpected queries of their own; got %v; want %v", got, want)
		}
	}
	never := demand{}
	hot := func(d time.Duration) demand { return demand{active: ago(d)} }
	holder := func(d time.Duration) demand { return demand{active: ago(d), own: true} }

	f(2, nil)
	f(2, []demand{never, never}, true, true)                                            // few have one each, traffic or not
	f(2, []demand{never, hot(time.Second), never}, false, true, false)                  // else who has traffic
	f(2, []demand{hot(hotFor), holder(2 * hotFor), never}, false, false, false)         // or had lately
	f(2, []demand{hot(3), hot(1), hot(2)}, false, true, true)                           // and of too many the latest
	f(2, []demand{hot(0), holder(time.Second), holder(time.Second)}, false, true, true) // but nobody is pushed out
	f(2, []demand{hot(0), holder(2 * hotFor), holder(time.Second)}, true, false, true)  // by traffic, unless its own has ended
	f(0, []demand{hot(0)}, false)
}

func TestCheckChanges(t *testing.T) {
	t.Parallel()
	type list = map[checkKey]string
	f := func(last, next list, services, nodes string) {
		t.Helper()
		s, n := checkChanges(last, next)
		if got := joined(s); got != services {
			t.Fatalf("unexpected services; got %q; want %q", got, services)
		}
		if got := joined(n); got != nodes {
			t.Fatalf("unexpected nodes; got %q; want %q", got, nodes)
		}
	}
	a, b, node := checkKey{"n1", "a", "1"}, checkKey{"n1", "b", "2"}, checkKey{"n2", "serfHealth", ""}
	f(nil, nil, "", "")
	f(list{a: "web"}, list{a: "web"}, "", "")
	f(list{}, list{a: "Web", node: ""}, "web", "n2")
	f(list{a: "web", node: ""}, list{b: "db"}, "db web", "n2")
	f(list{a: "web"}, list{a: "db"}, "db web", "")
}

func TestInstanceChanges(t *testing.T) {
	t.Parallel()
	type lists = map[string]map[string]instance
	f := func(last, next lists, want string) {
		t.Helper()
		if got := joined(instanceChanges(last, next)); got != want {
			t.Fatalf("unexpected services; got %q; want %q", got, want)
		}
	}
	old := lists{"n1": {"a": {"web", 5}, "b": {"db", 6}}, "n2": {"a": {"web", 7}}}
	f(old, old, "")
	f(nil, old, "db web")
	f(old, lists{"n1": {"a": {"web", 5}, "b": {"db", 9}}, "n2": {"a": {"web", 7}}}, "db")      // another
	f(old, lists{"n1": {"a": {"web", 5}, "b": {"db", 6}}}, "web")                              // a node is gone
	f(old, lists{"n1": {"a": {"web", 5}, "b": {"api", 6}}, "n2": {"a": {"web", 7}}}, "api db") // an ID has moved
}

func joined(set map[string]bool) string {
	var names []string
	for n := range set {
		names = append(names, n)
	}
	slices.Sort(names)
	s := ""
	for i, n := range names {
		if i > 0 {
			s += " "
		}
		s += n
	}
	return s
}
