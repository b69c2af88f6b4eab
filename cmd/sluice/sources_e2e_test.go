package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSources has members from flags and from a file that is replaced under
// load.
func TestSources(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 3)
	path := filepath.Join(t.TempDir(), "echo.yaml")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write("- " + addrs[1])
	s := startSluice(t, "--backend=echo="+addrs[0], "--service=echo,file="+path, "--health-interval=100ms")
	admin := s.addr("admin")
	up(t, admin, 2)
	l := startLoad(100, s.addr("l4"), s.addr("l7"))
	used := func(i int) func() bool {
		before := backends(t, admin)[addrs[i]].Connections
		return func() bool { return backends(t, admin)[addrs[i]].Connections > before+10 }
	}
	eventually(t, "the one in the file is used", used(1))
	eventually(t, "and the one of the flags", used(0))
	write("- {addr: '" + addrs[2] + "', weight: 3}")
	eventually(t, "the new one is used", used(2))
	if _, there := backends(t, admin)[addrs[1]]; there {
		t.Error("the old one is still there")
	}
	write("- {addr: '" + addrs[2] + "', wieght: 3}")
	eventually(t, "a broken file is told", func() bool {
		status, body := get("http://" + admin + "/readyz")
		return status == http.StatusOK && strings.Contains(body, `unknown key \"wieght\"`)
	})
	if b := backends(t, admin)[addrs[2]]; !b.Eligible || b.ID != "file/"+addrs[2] {
		t.Errorf("unexpected backend with a broken file: %+v", b)
	}
	l.wantClean(t, 50)
}
