package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/discovery/consul/consultest"
)

// TestReload changes everything that can be changed while there is load, by
// turns with files that are wrong: no request fails, and no connection is cut.
func TestReload(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 3)
	at := freeAddrs(t, 3)
	l4, l7, extra := at[0], at[1], at[2]
	// base is what stays, and has a place for more of each kind.
	base := func(strategy, l4Keys, l7Keys, listeners, routes, backends string) string {
		return fmt.Sprintf(`
admin: 127.0.0.1:0
strategy: %s
l4: ["%s=echo%s"%s]
l7: ["%s%s"]
route: ["/=echo"%s]
backend: ["echo=%s"%s]
`, strategy, l4, l4Keys, listeners, l7, l7Keys, routes, addrs[0], backends)
	}
	file := newSettings(t, base("p2c", "", "", "", "", ""))
	s := start(t, "sluice", nil, "--config="+file.path)
	admin := s.addr("admin")
	s.addr("l7")
	eventually(t, "it is ready", func() bool { status, _ := get("http://" + admin + "/readyz"); return status == http.StatusOK })
	stays := openEchoes(t, l4)
	l := startLoad(100, l4, l7)
	eventually(t, "the load runs", func() bool { return l.count("tcp") > 20 && l.count("get") > 20 })

	second := fmt.Sprintf(`, "echo=%s,weight=2"`, addrs[1])
	other := fmt.Sprintf(`, "%s=other"`, extra)
	third := fmt.Sprintf(`, "other=%s"`, addrs[2])
	for i, text := range []string{
		base("least_conn", "", "", "", "", ""),
		base("least_conn", "", "", "", "", second),
		base("maglev", "", "", "", `, "/other=other"`, second+third),
		base("maglev", "", "", other, `, "/other=other"`, second+third),
		base("maglev", ",max-conns=500", "", other, `, "/other=other"`, second+third),
		base("maglev", ",max-conns=500", ",max-head=16k", other, `, "/other=other"`, second+third),
		base("maglev", ",max-conns=500,idle-timeout=10m", ",rate=100000", "", "", second),
		base("round_robin", "", "", "", "", ""),
	} {
		file.set(text)
		s.reload("changed")
		stays.want(fmt.Sprintf("line %d", i))
		if name := strings.Fields(text)[3]; metric(admin, fmt.Sprintf(`sluice_flag{name="strategy",value=%q,is_set="true"}`, name)) != 1 {
			t.Errorf("sluice_flag does not say that the strategy is %s", name)
		}
		switch i {
		case 3:
			if err := exchangeTCP(extra); err != nil {
				t.Errorf("the listener that was added does not serve: %v", err)
			}
			if status, body := get("http://" + l7 + "/other"); status != http.StatusOK || !strings.HasPrefix(body, "echo-3 ") {
				t.Errorf("unexpected answer of the route that was added; got %d: %s", status, body)
			}
		case 6:
			eventually(t, "the listener that was removed is closed", func() bool {
				c, err := net.Dial("tcp", extra)
				if err == nil {
					c.Close()
				}
				return err != nil
			})
		}
		s.reload("unchanged")
		for _, wrong := range []string{"l4: [", base("no_such", "", "", "", "", ""), base("p2c", "", "", fmt.Sprintf(`, "%s=echo"`, addrs[0]), "", "")} {
			file.set(wrong)
			s.reload("error")
		}
		if status, body := get("http://" + admin + "/readyz"); status != http.StatusOK || !strings.Contains(body, "the configuration could not be reloaded") {
			t.Errorf("unexpected readiness after a file that is wrong: %d %s", status, body)
		}
		if metric(admin, "sluice_config_last_reload_successful") != 0 {
			t.Error("unexpected metric after a file that is wrong")
		}
	}
	file.set(base("round_robin", "", "", "", "", ""))
	s.reload("unchanged")
	if _, body := get("http://" + admin + "/readyz"); strings.Contains(body, "reload") {
		t.Errorf("unexpected details after all was mended: %s", body)
	}
	stays.want("still there")
	if all := backends(t, admin); len(all) != 1 || all[addrs[0]].Connections < 20 {
		t.Errorf("unexpected backends in the end: %v", all)
	}
	l.wantClean(t, 100)
}

// TestReloadNames has what cannot change while it runs named, and nothing come of
// it.
func TestReloadNames(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	text := "admin: 127.0.0.1:0\nl4: [\"127.0.0.1:0=echo\"]\nbackend: [\"echo=" + addrs[0] + "\"]\n"
	file := newSettings(t, text)
	s := start(t, "sluice", nil, "--config="+file.path)
	admin := s.addr("admin")
	file.set(text + "health-addr: 127.0.0.1:0\nl4-driver: copy\nlog-level: debug\n")
	s.reload("changed")
	if !strings.Contains(s.text(), `"settings":["health-addr","l4-driver"]`) {
		t.Errorf("what counts from the next start on is not named:\n%s", s.text())
	}
	if err := exchangeTCP(s.addr("l4")); err != nil {
		t.Error(err)
	}
	if got := metric(admin, "sluice_config_last_reload_successful"); got != 1 {
		t.Errorf("unexpected metric: %v", got)
	}
}

// TestWatchConfig changes the file in the ways in which it is changed: written,
// renamed, and by a link of a directory as Kubernetes has it.
func TestWatchConfig(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	dir := t.TempDir()
	text := func(strategy string) []byte {
		return []byte("admin: 127.0.0.1:0\nl4: [\"127.0.0.1:0=echo\"]\nbackend: [\"echo=" + addrs[0] + "\"]\nstrategy: " + strategy + "\n")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	version := func(n int, strategy string) {
		t.Helper()
		v := filepath.Join(dir, fmt.Sprintf("..%d", n))
		must(os.Mkdir(v, 0o700))
		must(os.WriteFile(filepath.Join(v, "sluice.yaml"), text(strategy), 0o600))
		must(os.Symlink(v, filepath.Join(dir, "..data.new")))
		must(os.Rename(filepath.Join(dir, "..data.new"), filepath.Join(dir, "..data")))
	}
	version(1, "p2c")
	path := filepath.Join(dir, "sluice.yaml")
	must(os.Symlink("..data/sluice.yaml", path))
	s := start(t, "sluice", nil, "--config="+path, "--watch-config")
	admin := s.addr("admin")
	want := func(strategy string) {
		t.Helper()
		eventually(t, "the strategy is "+strategy, func() bool {
			_, body := get("http://" + admin + "/admin/backends")
			return strings.Contains(body, `"strategy": "`+strategy+`"`)
		})
	}
	want("p2c")
	version(2, "maglev")
	want("maglev")
	must(os.WriteFile(filepath.Join(dir, "..2", "sluice.yaml"), text("least_conn"), 0o600))
	want("least_conn")
	must(os.WriteFile(filepath.Join(dir, "..2", "sluice.yaml"), []byte("l4: ["), 0o600))
	eventually(t, "a broken file is told of", func() bool { return metric(admin, "sluice_config_last_reload_successful") == 0 })
	must(os.Remove(path))
	must(os.WriteFile(path+".new", text("random"), 0o600))
	must(os.Rename(path+".new", path))
	want("random")
}

// TestReloadWithConsul reloads while members come from Consul and routes from tags
// there: what a reload does not concern is served throughout, and a service that
// is to be found otherwise there is.
func TestReloadWithConsul(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 3)
	register(t, agent, "db-1", "db", addrs[0])
	register(t, agent, "db-2", "db", addrs[1], consultest.WithTags("primary"))
	register(t, agent, "web-1", "web", addrs[2], consultest.WithTags("urlprefix-/load"))
	at := freeAddrs(t, 3)
	text := func(l4, more string) string {
		return fmt.Sprintf("admin: 127.0.0.1:0\nconsul: %s\nconsul-tags: urlprefix-\nl4: [%s]\nl7: [%q]\n%s\n", agent.Addr(), l4, at[1], more)
	}
	db := fmt.Sprintf("%q", at[0]+"=db")
	file := newSettings(t, text(db, ""))
	s := start(t, "sluice", nil, "--config="+file.path)
	admin := s.addr("admin")
	s.addr("l7")
	eventually(t, "it is ready", func() bool { status, _ := get("http://" + admin + "/readyz"); return status == http.StatusOK })
	who := func(addr string) map[string]bool {
		names := make(map[string]bool)
		for range 10 {
			name, _, _ := strings.Cut(said(addr), " ")
			names[name] = true
		}
		return names
	}
	eventually(t, "both members serve", func() bool { n := who(at[0]); return n["echo-1"] && n["echo-2"] })
	stays := openEchoes(t, at[0])
	l := startLoad(50, at[0], at[1])
	reload := func(text string) {
		t.Helper()
		file.set(text)
		s.reload("changed")
		stays.want("still")
	}
	reload(text(db, `service: ["db,strategy=maglev"]`))
	reload(text(db, `service: ["db,strategy=maglev,tag=primary"]`))
	eventually(t, "only the primary serves", func() bool { n := who(at[0]); return len(n) == 1 && n["echo-2"] })
	reload(text(db, "route: [\"/more=db\"]"))
	eventually(t, "both serve, by a route too", func() bool {
		_, body := get("http://" + at[1] + "/more")
		n := who(at[0])
		return n["echo-1"] && n["echo-2"] && strings.HasPrefix(body, "echo-")
	})
	reload(text(db+fmt.Sprintf(", %q", at[2]+"=web"), ""))
	if name, _, _ := strings.Cut(said(at[2]), " "); name != "echo-3" {
		t.Errorf("unexpected backend of a service that is new and in Consul: %s", name)
	}
	reload(text(db, ""))
	eventually(t, "there was some load", func() bool { return l.count("tcp") > 50 && l.count("get") > 50 })
	l.wantClean(t, 50)
}
