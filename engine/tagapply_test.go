package engine

import (
	"log/slog"
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
	x := &tags{
		config: &config.Config{L7: []config.L7{{Addr: ":0"}}, Routes: []config.Route{route}},
		logger: slog.New(slog.DiscardHandler),
	}
	table := &fabio.Table{}
	for _, path := range []string{"/a", "/%61", "//a", "/b", "/%zz", "/%66ixed", "/a%2Fb", "/a/b"} {
		table.Routes = append(table.Routes, fabio.Route{Path: path, Pool: "web"})
	}
	x.tell(table)
	var left []string
	for _, r := range table.Routes {
		left = append(left, r.Path)
	}
	if got := strings.Join(left, " "); got != "/a /b /a%2Fb /a/b" {
		t.Errorf("unexpected routes that are left: %s", got)
	}
	told := make(map[string]string)
	for _, p := range table.Problems {
		told[p.Tag] = p.Reason
	}
	for tag, want := range map[string]string{"/%61": "another spelling", "//a": "another spelling", "/%zz": "no path of a request", "/%66ixed": "--route has the same"} {
		if !strings.Contains(told[tag], want) {
			t.Errorf("unexpected word on %s; got %q; want %q", tag, told[tag], want)
		}
	}
}
