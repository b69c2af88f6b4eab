package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"sluice/pkg/config"
)

// updateVariable has the parts of the manual written that are made of what the
// program says of itself; `make docs` sets it.
const updateVariable = "SLUICE_UPDATE_DOCS"

// more says on which page of the manual there is more about a flag.
func more(flag string) string {
	switch flag {
	case "l7", "route":
		return "[HTTP](http.md#http-policy)"
	case "l4":
		return "[TCP](tcp.md)"
	case "auth":
		return "[HTTP policy](http.md#http-policy)"
	case "consul", "consul-max-conns":
		return "[Consul](consul.md#consul)"
	case "l7-driver":
		return "[HTTP drivers](http.md#http-drivers)"
	case "l7-backend-idle-timeout":
		return "[Connections to backends](http.md#connections-to-backends)"
	case "target", "task-definition":
		return "[ECS](deployment.md#ecs)"
	case "access-log", "access-log-file", "access-log-syslog", "access-log-format":
		return "[Logs](logs.md#the-access-log)"
	case "otlp", "otlp-sample":
		return "[Tracing](tracing.md)"
	case "metrics-dump":
		return "[Dumps](metrics.md#dumps)"
	case "admin":
		return "[Control plane](control-plane.md)"
	}
	return ""
}

// inTable returns a text of the help as a cell of a table of Markdown.
func inTable(text string) string {
	text = strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(text)
	return regexp.MustCompile(`--[a-z][a-z0-9-]+(=[^\s,;.:)]+)?|\b[A-Z]+(_[A-Z]+)+\b`).ReplaceAllStringFunc(text, func(s string) string {
		return "`" + strings.ReplaceAll(s, `\*`, "*") + "`"
	})
}

// tables returns the tables of all flags and of their keys.
func tables() string {
	var flags, keys strings.Builder
	told := make(map[key]bool)
	flags.WriteString("| flag | default | meaning |\n|---|---|---|\n")
	newReader(config.Default()).flags.VisitAll(func(f *pflag.Flag) {
		name, value := "--"+f.Name, shortened(f)
		if kind := f.Value.Type(); strings.ContainsAny(kind, "=[:") {
			name += " " + strings.ReplaceAll(kind, "|", `\|`)
		}
		if f.Name == "consul" {
			value = "CONSUL_HTTP_ADDR"
		}
		if value != "" {
			value = "`" + value + "` "
		}
		usage := inTable(f.Usage)
		if page := more(f.Name); page != "" {
			usage += ". See " + page
		}
		flags.WriteString("| `" + name + "` | " + value + "| " + usage + " |\n")
		if len(keysOf(f.Name)) == 0 {
			return
		}
		keys.WriteString("\nKeys of `--" + f.Name + "`:\n\n| key of " + f.Name + " | meaning |\n|---|---|\n")
		var again []string
		for _, k := range keysOf(f.Name) {
			if told[k] {
				again = append(again, "`"+k.form+"`")
				continue
			}
			told[k] = true
			keys.WriteString("| `" + strings.ReplaceAll(k.form, "|", `\|`) + "` | " + inTable(k.usage) + " |\n")
		}
		if len(again) > 0 {
			keys.WriteString("\nAnd of `--" + f.Name + "`, as above: " + strings.Join(again, ", ") + ".\n")
		}
	})
	return flags.String() + keys.String()
}

// shortened returns the default of a flag without the zeros that Go adds, as in
// 10m0s and 1h0m0s.
func shortened(f *pflag.Flag) string {
	v := f.DefValue
	if f.Value.Type() == "duration" {
		if strings.HasSuffix(v, "m0s") {
			v = strings.TrimSuffix(v, "0s")
		}
		if strings.HasSuffix(v, "h0m") {
			v = strings.TrimSuffix(v, "0m")
		}
	}
	if v == "[]" {
		return ""
	}
	return v
}

// metricsTable returns the table of all metrics.
func metricsTable(t *testing.T) string {
	t.Helper()
	help, err := os.ReadFile("../../pkg/metricset/help.txt")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| metric | meaning |\n|---|---|\n")
	for line := range strings.Lines(string(help)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		b.WriteString("| `" + name + "` | " + inTable(text) + " |\n")
	}
	return b.String()
}

// wantPart wants a page to have the part that is made of what the program says.
func wantPart(t *testing.T, path, part string) {
	t.Helper()
	const begin, end = "<!-- made by make docs: -->\n", "<!-- to here -->\n"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	has, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s does not say where the part goes", path)
	}
	want := "\n" + part + "\n"
	if has == want {
		return
	}
	if os.Getenv(updateVariable) == "" {
		t.Fatalf("%s does not say what the program says: run make docs", path)
	}
	if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestReadmeParts wants the manual to have what the flags' help and the metrics' HELP say
// now.
func TestReadmeParts(t *testing.T) {
	wantPart(t, "../../docs/configuration.md", tables())
	wantPart(t, "../../docs/metrics.md", metricsTable(t))
}
