package fabio

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/discovery"
	"sluice/pkg/backend"
)

// member returns a member with tags.
func member(id string, tags ...string) discovery.Member {
	return discovery.Member{Target: backend.Target{ID: id, Address: id + ":80", Weight: 1}, Tags: tags}
}

// text returns t in lines, for comparison.
func (t Table) text() string {
	var lines []string
	for _, p := range t.Pools {
		line := "pool " + p.Name + " ="
		for _, m := range p.Members {
			line += fmt.Sprintf(" %s*%d", m.ID, m.Weight)
		}
		lines = append(lines, line)
	}
	for _, r := range t.Routes {
		line := "route " + r.Host + r.Path + " -> " + r.Pool
		if r.Strip != "" {
			line += " strip " + r.Strip
		}
		if r.RedirectCode != 0 {
			line += fmt.Sprintf("redirect %d %s", r.RedirectCode, r.RedirectTo)
		}
		lines = append(lines, line)
	}
	for _, l := range t.Listeners {
		lines = append(lines, "listen "+l.Addr+" -> "+l.Pool)
	}
	for _, p := range t.Problems {
		lines = append(lines, fmt.Sprintf("problem %s %s %q used=%v: %s", p.Service, p.ID, p.Tag, p.Used, p.Reason))
	}
	return strings.Join(lines, "\n")
}

func TestBuild(t *testing.T) {
	t.Parallel()
	f := func(services map[string][]discovery.Member, want ...string) {
		t.Helper()
		if got := NewReader(prefix, dc()).Build(services).text(); got != strings.Join(want, "\n") {
			t.Fatalf("unexpected table; got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
	}
	type services = map[string][]discovery.Member
	f(nil)
	// One service, several routes: one pool.
	f(services{"web": {member("a", "urlprefix-/", "urlprefix-h/x strip=/x", "v1"), member("b", "urlprefix-h/x strip=/x", "urlprefix-/")}},
		"pool web = a*1 b*1", "route / -> web", "route h/x -> web strip /x")
	// Members that do not ask for the route do not get it.
	f(services{"web": {member("a", "urlprefix-/"), member("b", "urlprefix-/", "urlprefix-/new"), member("c")}},
		"pool web@/ = a*1 b*1", "pool web@/new = b*1", "route / -> web@/", "route /new -> web@/new")
	// Several services for one route share it, by Fabio's weights.
	f(services{"web": {member("a", "urlprefix-/"), member("b", "urlprefix-/")}, "next": {member("a", "urlprefix-/ weight=.05")}},
		"pool next+web@/ = next/a*500 web/a*4750 web/b*4750", "route / -> next+web@/")
	f(services{"db": {member("a", "urlprefix-:3306 proto=tcp")}, "web": {member("b", "urlprefix-/")}},
		"pool db = a*1", "pool web = b*1", "route / -> web", "listen :3306 -> db")
	f(services{"old": {member("a", "urlprefix-/old redirect=301,/new")}}, "route /old -> redirect 301 /new")
	// Fabio's way from HTTP to HTTPS: the port tells the routes apart.
	f(services{"web": {member("a", "urlprefix-h:80/ redirect=301,https://h$path", "urlprefix-h/")}},
		"pool web = a*1", "route h/ -> web", "route h:80/ -> redirect 301 https://h$path")
	// What cannot be used holds up nothing.
	f(services{"web": {member("a", "urlprefix-/", "urlprefix-/ weight=2", "urlprefix-no:path/", "urlprefix-/s proto=https+tcp+sni", "urlprefix-/z register=z")}},
		"pool web = a*1", "route / -> web", "route /z -> web",
		`problem web a "urlprefix-/ weight=2" used=false: the instance has another tag for the same route`,
		`problem web a "urlprefix-/s proto=https+tcp+sni" used=false: option "proto=https+tcp+sni" is not supported`,
		`problem web a "urlprefix-/z register=z" used=true: option "register=z" has no effect`,
		`problem web a "urlprefix-no:path/" used=false: port "path" of host "no:path" is not within 1 and 65535`)
	// The majority says what happens to requests.
	f(services{"web": {member("a", "urlprefix-/x strip=/x"), member("b", "urlprefix-/x"), member("c", "urlprefix-/x")}},
		"pool web@/x = b*1 c*1", "route /x -> web@/x",
		`problem web a "urlprefix-/x strip=/x" used=false: most instances of the same route have other options`)
	tcp := member("a", "urlprefix-/", "urlprefix-:1 proto=tcp")
	tcp.Protocol = "tcp"
	f(services{"web": {tcp}}, "pool web = a*1", "listen :1 -> web",
		`problem web a "urlprefix-/" used=false: the instance says that it speaks tcp, not http`)
}

func TestShare(t *testing.T) {
	t.Parallel()
	// A member is written as weight/fixed share in percent; "!" marks one that
	// is critical.
	f := func(want string, list ...string) {
		t.Helper()
		var members []discovery.Member
		var fixed []float64
		for _, s := range list {
			var weight, percent int
			critical := strings.HasPrefix(s, "!")
			if _, err := fmt.Sscanf(strings.TrimPrefix(s, "!"), "%d/%d", &weight, &percent); err != nil {
				t.Fatal(err)
			}
			m := discovery.Member{Target: backend.Target{Weight: weight}}
			if critical {
				m.Status = backend.Critical
			}
			members = append(members, m)
			fixed = append(fixed, float64(percent)/100)
		}
		shared := share(members, fixed)
		got := fmt.Sprint(shared)
		for _, m := range members {
			got += fmt.Sprintf(" %d", m.Weight)
		}
		if got != want {
			t.Fatalf("unexpected weights of %q; got %s; want %s", list, got, want)
		}
	}
	f("false 1 2", "1/0", "2/0")
	f("true 500 9500", "1/5", "1/0")
	f("true 500 4750 4750", "1/5", "1/0", "1/0")
	f("true 500 7125 2375", "1/5", "3/0", "1/0") // the others by their weights
	f("true 5000 10000", "1/50", "1/100")        // all fixed: relative
	f("true 10000 0", "1/100", "1/0")            // nothing is left
	f("true 6000 6000 0", "1/60", "1/60", "1/0")
	f("true 0 9500 500", "0/50", "1/0", "1/5") // who wants no connections gets none
	f("true 9500 500 9500", "!1/0", "1/5", "1/0")
	f("true 10000 500", "1/0", "!1/5")
}

func TestTableIsStable(t *testing.T) {
	t.Parallel()
	services := make(map[string][]discovery.Member)
	for i := range 20 {
		name := fmt.Sprintf("s%d", i)
		services[name] = []discovery.Member{member("a", "urlprefix-/"+name, "urlprefix-/", "urlprefix-b:ad"), member("b", "urlprefix-/"+name)}
	}
	r := NewReader(prefix, nil)
	first := r.Build(services)
	for range 10 {
		next := r.Build(services)
		if !slices.EqualFunc(first.Pools, next.Pools, Pool.Equal) || !slices.EqualFunc(first.Routes, next.Routes, Route.Equal) ||
			!slices.Equal(first.Problems, next.Problems) || len(first.Pools) == 0 {
			t.Fatalf("unexpected difference between equal tables:\n%s\n---\n%s", first.text(), next.text())
		}
	}
	if r.Build(nil); len(r.known) != 0 {
		t.Fatalf("unexpected tags that nobody has any more: %d", len(r.known))
	}
}
