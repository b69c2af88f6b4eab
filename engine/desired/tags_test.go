package desired

import (
	"strings"
	"testing"

	"sluice/discovery/fabio"
	"sluice/pkg/config"
)

// TestTagSpellings tries that tags whose routes differ in their spelling alone
// hold nothing up: one of them counts, the others are told of.
func TestTagSpellings(t *testing.T) {
	t.Parallel()
	route, err := config.ParseRoute("/fixed=web")
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.L7, c.Routes = []config.L7{{Addr: ":0"}}, []config.Route{route}
	table := &fabio.Table{Pools: []fabio.Pool{{Name: "web", Services: []string{"web"}}}}
	for _, path := range []string{"/a", "/%61", "//a", "/b", "/%zz", "/%66ixed", "/a%2Fb", "/a/b"} {
		table.Routes = append(table.Routes, fabio.Route{Path: path, Pool: "web"})
	}
	state, problems := Merge(Sources{Config: &c, Tags: table})
	var left []string
	for _, r := range state.Routes {
		if r.Tags {
			left = append(left, r.Path)
		}
	}
	if got := strings.Join(left, " "); got != "/a /b /a%2Fb /a/b" {
		t.Errorf("unexpected routes that are left: %s", got)
	}
	told := make(map[string]string)
	for _, p := range problems {
		told[p.Tag] = p.Reason
	}
	for tag, want := range map[string]string{"/%61": "another spelling", "//a": "another spelling", "/%zz": "no path of a request", "/%66ixed": "--route has the same"} {
		if !strings.Contains(told[tag], want) {
			t.Errorf("unexpected word on %s; got %q; want %q", tag, told[tag], want)
		}
	}
}

// TestTagNames has services of tags called by their own names as long as nobody
// else is, and keep them.
func TestTagNames(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.L7 = []config.L7{{Addr: ":0"}}
	c.Routes = []config.Route{{Path: "/", Service: "web"}}
	pools := []fabio.Pool{{Name: "web", Services: []string{"web"}}, {Name: "api", Services: []string{"api"}}}
	table := &fabio.Table{
		Pools:     pools,
		Routes:    []fabio.Route{{Path: "/w", Pool: "web"}, {Path: "/a", Pool: "api"}},
		Listeners: []fabio.Listener{{Addr: ":5432", Pool: "api", ProxyProto: true}},
	}
	names := func(s State) (all []string) {
		for _, x := range s.Services {
			all = append(all, x.ID+"="+x.Settings.Name)
		}
		return all
	}
	f := func(called map[string]string, want string) {
		t.Helper()
		state, problems := Merge(Sources{Config: &c, Tags: table, Called: called})
		if got := strings.Join(names(state), ", "); got != want || len(problems) > 0 {
			t.Errorf("unexpected names; got %s; want %s; problems %v", got, want, problems)
		}
	}
	f(nil, "web=web, tags web=web@tags, tags api=api, tags api :5432=api@:5432")
	f(map[string]string{"tags web": "web", "tags api :5432": "api"}, "web=web@config, tags web=web, tags api=api@tags, tags api :5432=api")
	state, _ := Merge(Sources{Config: &c, Tags: table})
	if s, ok := state.Service("tags api :5432"); !ok || s.Settings.ProxyOut != 1 || !state.LeadsHTTP("tags api") || state.LeadsHTTP("tags api :5432") {
		t.Errorf("unexpected state:\n%s", state)
	}
}
