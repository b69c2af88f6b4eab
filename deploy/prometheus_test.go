package deploy

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"sluice/pkg/admin"
)

// ruleFile is what Prometheus reads.
type ruleFile struct {
	Groups []struct {
		Rules []struct {
			Alert, Record, Expr string
			Labels, Annotations map[string]string
		}
	}
}

func rules(t *testing.T, name string) ruleFile {
	t.Helper()
	var f ruleFile
	if err := yaml.Unmarshal([]byte(read(t, "prometheus/"+name)), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestRules has promtool check the rules, and try every alert with series that
// must make it fire and with others.
func TestRules(t *testing.T) {
	t.Parallel()
	promtool := found(t, "promtool")
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(promtool, args...)
		cmd.Dir = "prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", cmd, err, out)
		}
	}
	run("check", "config", "prometheus.yml")
	run("check", "rules", "--lint-fatal", "rules.yml", "alerts.yml")
	run("test", "rules", "alerts_test.yml")
	tests := read(t, "prometheus/alerts_test.yml")
	for _, g := range rules(t, "alerts.yml").Groups {
		for _, r := range g.Rules {
			if !strings.Contains(tests, r.Alert+" fires") || !strings.Contains(tests, r.Alert+" does not") {
				t.Errorf("%s is not tried", r.Alert)
			}
		}
	}
}

// TestRunbook wants a page for each alert, and an alert for each page.
func TestRunbook(t *testing.T) {
	t.Parallel()
	text := read(t, "../docs/runbook.md")
	var alerts []string
	for _, g := range rules(t, "alerts.yml").Groups {
		for _, r := range g.Rules {
			alerts = append(alerts, r.Alert)
			if want := "docs/runbook.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
				t.Errorf("%s: unexpected page %q", r.Alert, r.Annotations["runbook_url"])
			}
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s: unexpected severity %q", r.Alert, s)
			}
			_, page, ok := strings.Cut(text, "\n## "+r.Alert+"\n")
			page, _, _ = strings.Cut(page, "\n## ")
			if !ok || !strings.Contains(page, "**Look:**") || !strings.Contains(page, "**Do:**") {
				t.Errorf("%s has no page, or none that says where to look and what to do", r.Alert)
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(alerts, m[1]) {
			t.Errorf("there is no alert %s", m[1])
		}
	}
}

// TestNames wants every metric that rules, runbook and dashboard name to be one
// that there is.
func TestNames(t *testing.T) {
	t.Parallel()
	known := admin.MetricNames()
	for line := range strings.Lines(read(t, "../pkg/metricset/help.txt")) {
		name, _, _ := strings.Cut(line, " ")
		known = append(known, name)
	}
	for _, file := range []string{"prometheus/rules.yml", "prometheus/alerts.yml", "prometheus/alerts_test.yml", "grafana/sluice.json", "../docs/runbook.md"} {
		for _, name := range regexp.MustCompile(`\bsluice_[a-z0-9_]+`).FindAllString(read(t, file), -1) {
			if !slices.Contains(known, strings.TrimSuffix(name, "_bucket")) {
				t.Errorf("%s: there is no metric %s", file, name)
			}
		}
	}
}

// load sends requests and opens connections until the test ends.
func load(t *testing.T, l4, l7 string) {
	done := make(chan struct{})
	ended := make(chan struct{})
	t.Cleanup(func() { close(done); <-ended })
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
			for _, path := range []string{"/", "/nowhere"} {
				if resp, err := http.Get("http://" + l7 + path); err == nil {
					resp.Body.Close()
				}
			}
			if c, err := net.Dial("tcp", l4); err == nil {
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				fmt.Fprintln(c, "hello")
				_, _ = c.Read(make([]byte, 10))
				c.Close()
			}
		}
	}()
}

// observed runs sluice under load and a Prometheus with the rules that scrapes
// it, and returns a function that asks a query, and where it is.
func observed(t *testing.T) (query func(string) (results int, err error), addr string) {
	t.Helper()
	found(t, "prometheus")
	_, addrs := backends(t, 2, "--fail=0.05")
	s := start(t, os.Environ(), filepath.Join(programs, "sluice"), "--l4=127.0.0.1:0=echo", "--l7=127.0.0.1:0", "--route=/=echo",
		"--backend=echo="+addrs[0], "--backend=echo="+addrs[1], "--admin=127.0.0.1:0", "--l7-backend-idle-timeout=0s", "--otlp=127.0.0.1:1")
	load(t, s.addr("l4"), s.addr("l7"))
	addr = scraping(t, strings.NewReplacer(), s.addr("admin"))
	return func(expr string) (int, error) { return ask(addr, expr) }, addr
}

// scraping runs a Prometheus with the rules, changed, that scrapes sluices, by
// their control planes, each second, and returns where it is.
func scraping(t *testing.T, changed *strings.Replacer, admins ...string) (addr string) {
	t.Helper()
	prometheus := found(t, "prometheus")
	dir := t.TempDir()
	config := strings.NewReplacer("127.0.0.1:9900", strings.Join(admins, ", "), "15s", "1s").Replace(read(t, "prometheus/prometheus.yml"))
	for name, text := range map[string]string{"prometheus.yml": config, "rules.yml": read(t, "prometheus/rules.yml"), "alerts.yml": read(t, "prometheus/alerts.yml")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(changed.Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = free.Addr().String()
	free.Close()
	start(t, os.Environ(), prometheus, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=warn", "--enable-feature=exemplar-storage")
	return addr
}

// ask asks the Prometheus at addr a query, and returns how many results it has.
func ask(addr, expr string) (int, error) {
	resp, err := http.Get("http://" + addr + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Status != "success" {
		return 0, fmt.Errorf("%s: %s: %w", resp.Status, answer.Error, err)
	}
	n := 0
	for _, r := range answer.Data.Result {
		if r.Value[1] != "NaN" {
			n++
		}
	}
	return n, nil
}

// TestDashboard asks every query of the dashboard, and every recording rule, of a
// Prometheus that scrapes a sluice under load. All of them must return something.
func TestDashboard(t *testing.T) {
	t.Parallel()
	var d struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/sluice.json")), &d); err != nil {
		t.Fatal(err)
	}
	query, addr := observed(t)
	names := strings.NewReplacer("$instance", ".*", "$service", ".*", "$__rate_interval", "10s")
	asked := 0
	for _, p := range d.Panels {
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			asked++
			eventually(t, "panel "+p.Title+" has data: "+target.Expr, func() bool {
				n, err := query(names.Replace(target.Expr))
				return err == nil && n > 0
			})
		}
	}
	if asked < 40 {
		t.Errorf("unexpected number of queries: %d", asked)
	}
	for _, g := range rules(t, "rules.yml").Groups {
		for _, r := range g.Rules {
			eventually(t, r.Record+" has data", func() bool { n, err := query(r.Record); return err == nil && n > 0 })
		}
	}
	// Prometheus asks for OpenMetrics, and finds requests by their traces.
	eventually(t, "there are exemplars", func() bool {
		status, body := get("http://" + addr + "/api/v1/query_exemplars?query=sluice_l7_request_duration_seconds_bucket&start=0&end=9999999999")
		return status == http.StatusOK && strings.Contains(body, `"trace_id":"`)
	})
	// What is well alerts nobody, and the alerts are there.
	if n, err := query(`ALERTS{alertstate="firing",severity="critical"}`); err != nil || n != 0 {
		t.Errorf("%d alerts fire, %v", n, err)
	}
}

// TestMetricsConform has promtool look at what a sluice exposes.
func TestMetricsConform(t *testing.T) {
	t.Parallel()
	promtool := found(t, "promtool")
	_, addrs := backends(t, 1)
	s := start(t, os.Environ(), filepath.Join(programs, "sluice"), "--l4=127.0.0.1:0=echo", "--l7=127.0.0.1:0", "--route=/=echo",
		"--backend=echo="+addrs[0], "--admin=127.0.0.1:0", "--service=echo,max-requests=10,breaker=50",
		"--otlp=127.0.0.1:1", "--metrics-dump="+t.TempDir(), "--consul=127.0.0.1:1", "--consul-tags=urlprefix-", "--register=lb,port=1", "--access-log")
	s.addr("l7")
	status, body := get("http://" + s.addr("admin") + "/metrics")
	if status != http.StatusOK {
		t.Fatalf("unexpected status: %d", status)
	}
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool complains: %v\n%s", err, out)
	}
}
