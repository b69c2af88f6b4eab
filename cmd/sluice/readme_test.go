package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"sluice/discovery/consul/consultest"
	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/config"
)

// readme returns the manual: README and the pages in docs, with their titles as
// sections.
func readme(t *testing.T) string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, page := range append([]string{"../../README.md"}, pages...) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("#" + string(data) + "\n")
	}
	return all.String()
}

// rows returns the first cells of the manual's table under a heading, by the
// words in backticks.
func rows(t *testing.T, heading string, word *regexp.Regexp) []string {
	t.Helper()
	_, section, ok := strings.Cut(readme(t), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("the manual has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var found []string
	for _, line := range strings.Split(section, "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cell, _, _ := strings.Cut(line[2:], " |")
		for _, m := range word.FindAllStringSubmatch(cell, -1) {
			found = append(found, m[1])
		}
	}
	slices.Sort(found)
	return found
}

func wantSame(t *testing.T, what string, inReadme, real []string) {
	t.Helper()
	for _, x := range real {
		if !slices.Contains(inReadme, x) {
			t.Errorf("%s %s is not in the manual (docs)", what, x)
		}
	}
	for _, x := range inReadme {
		if !slices.Contains(real, x) {
			t.Errorf("the manual has %s %s, which there is not", what, x)
		}
	}
}

func TestReadmeFlags(t *testing.T) {
	t.Parallel()
	var flags []string
	newReader(config.Default()).flags.VisitAll(func(f *pflag.Flag) { flags = append(flags, f.Name) })
	wantSame(t, "flag", rows(t, "Flags", regexp.MustCompile(`--([a-z0-9-]+)`)), flags)

	// The defaults, too.
	text := readme(t)
	newReader(config.Default()).flags.VisitAll(func(f *pflag.Flag) {
		kind := f.Value.Type()
		if kind != "duration" && kind != "int" && (kind != "string" || f.DefValue == "") {
			return
		}
		short := f.DefValue // without the zeros that Go adds, as in 10m0s and 1h0m0s
		if kind == "duration" && strings.HasSuffix(short, "m0s") {
			short = strings.TrimSuffix(short, "0s")
		}
		if kind == "duration" && strings.HasSuffix(short, "h0m") {
			short = strings.TrimSuffix(short, "0m")
		}
		if !strings.Contains(text, "| `--"+f.Name+"` | `"+short+"` |") {
			t.Errorf("docs/configuration.md does not give --%s the default %s", f.Name, short)
		}
	})
}

// TestReadmeMetrics compares README with what a running sluice exposes that
// uses everything.
func TestReadmeMetrics(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	_, addrs := startEchos(t, 1)
	cert, key := certificatetest.NewAuthority(t).Write(t, "a.example")
	s := startSluice(t, "--consul="+agent.Addr(), "--consul-tags=urlprefix-",
		"--route=/static=static,mirror=static", "--service=static,file=/nonexistent.yaml,dns=static.invalid:80,max-requests=100,rate=1000,breaker=50", "--dns-server=127.0.0.1:1", "--register=lb,port=1", "--l4=127.0.0.1:0=static", "--backend=static="+addrs[0], "--access-log", "--otlp=127.0.0.1:1", "--metrics-dump="+t.TempDir(), "--l7=127.0.0.1:0,rate=1000,tls-cert="+cert+",tls-key="+key)
	eventually(t, "all parts are there", func() bool { return metric(s.addr("admin"), `sluice_consul_registered{service="lb"}`) >= 0 })
	status, body := get("http://" + s.addr("admin") + "/metrics")
	if status != http.StatusOK {
		t.Fatalf("unexpected status of /metrics: %d", status)
	}
	var real []string
	for _, m := range regexp.MustCompile(`(?m)^(sluice_[a-z0-9_]+)`).FindAllString(body, -1) {
		for _, suffix := range []string{"_seconds_bucket", "_seconds_sum", "_seconds_count"} {
			if base, ok := strings.CutSuffix(m, suffix); ok {
				m = base + "_seconds"
			}
		}
		if !slices.Contains(real, m) {
			real = append(real, m)
		}
	}
	for _, line := range strings.Split(body, "\n") {
		if strings.HasPrefix(line, "# HELP sluice_") && strings.HasSuffix(line, " See docs/metrics.md.") {
			t.Errorf("a metric has no text in pkg/metricset/help.txt: %s", line)
		}
	}
	real = append(real, "sluice_l7_grpc_calls_total") // which is there once there was a call
	wantSame(t, "metric", rows(t, "Metrics", regexp.MustCompile("`(sluice_[a-z0-9_]+)`")), real)
}

// TestReadmeOnce fails if README says anything twice.
func TestReadmeOnce(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, line := range strings.Split(readme(t), "\n") {
		if seen[line] && len(line) > 30 {
			t.Errorf("the manual has this twice: %s", line)
		}
		seen[line] = true
	}
}

func TestReadmePaths(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	agent := consultest.Start(t)
	s := startSluice(t, append(backendArgs(addrs), "--consul="+agent.Addr(), "--fleet=readme")...)
	s.addr("l7")
	base := "http://" + s.addr("admin")
	status, index := get(base + "/")
	if status != http.StatusOK {
		t.Fatalf("unexpected status of the index: %d", status)
	}
	paths := rows(t, "Control plane", regexp.MustCompile("`(/[a-z/{}._-]+)`"))
	real := regexp.MustCompile(`(?m)^/[a-z/{}._-]+`).FindAllString(index, -1)
	slices.Sort(real)
	wantSame(t, "path", paths, append(slices.Compact(real), "/admin/canary/status", "/admin/lb-metrics", "/debug/config")) // which are other names
	for _, path := range regexp.MustCompile(`(?m)^(/[a-z/._-]+) +GET `).FindAllStringSubmatch(index, -1) {
		path := path[1]
		eventually(t, path+" answers with 200", func() bool { status, _ := get(base + path); return status == http.StatusOK })
	}
}

// TestReadmeExamples checks that the command lines that README shows are good
// ones, and its YAML too.
func TestReadmeExamples(t *testing.T) {
	t.Parallel()
	text := readme(t)
	lines := regexp.MustCompile(`(?m)^bin/sluice (.*)$`).FindAllStringSubmatch(text, -1)
	if len(lines) < 2 {
		t.Fatalf("unexpected number of command lines in the manual: %d", len(lines))
	}
	for _, l := range lines {
		if _, err := parseCommand(strings.Fields(l[1]), nil); err != nil {
			t.Errorf("the manual's %q: %v", l[0], err)
		}
	}
	_, yaml, ok := strings.Cut(text, "```yaml\n")
	if !ok {
		t.Fatal("the manual has no YAML")
	}
	yaml, _, _ = strings.Cut(yaml, "```")
	path := t.TempDir() + "/sluice.yaml"
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := parseCommand([]string{"--config", path}, nil); err != nil {
		t.Errorf("the manual's YAML: %v", err)
	}
}
