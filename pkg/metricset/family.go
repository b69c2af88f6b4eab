package metricset

import (
	"bytes"
	_ "embed"
	"io"
	"maps"
	"slices"
	"strings"
)

// help says what each metric means, a line each: NAME TEXT. The table of the manual
// is made of it, by make docs, in this order.
//
//go:embed help.txt
var help string

// Describe writes text, metrics in Prometheus' text format, with the series of
// each metric together behind its HELP and TYPE, as the format asks. Metrics
// that say these themselves are left as they are.
func Describe(w io.Writer, text []byte) {
	families := make(map[string]*family)
	kinds := kindsOf(text)
	for line := range bytes.Lines(text) {
		name, comment := nameOf(line)
		if !comment {
			name = base(name, kinds)
		}
		f := families[name]
		if f == nil {
			f = &family{}
			families[name] = f
		}
		if comment {
			f.comments = append(f.comments, line)
		} else {
			f.series = append(f.series, line)
		}
	}
	known := Help()
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		lines := f.comments
		if len(lines) == 0 {
			lines = [][]byte{[]byte("# HELP " + name + " " + helpOf(name, known) + "\n"), []byte("# TYPE " + name + " " + kindOf(name, kinds) + "\n")}
		}
		for _, line := range append(lines, f.series...) {
			if _, err := w.Write(line); err != nil {
				return // the reader is gone
			}
		}
	}
}

// family is a metric with all its series.
type family struct{ comments, series [][]byte }

// nameOf returns the metric that a line is about, and whether it is a comment.
func nameOf(line []byte) (name string, comment bool) {
	if rest, ok := bytes.CutPrefix(line, []byte("# ")); ok {
		_, rest, _ = bytes.Cut(rest, []byte(" "))
		line, comment = rest, true
	}
	if n := bytes.IndexAny(line, "{ \n"); n >= 0 {
		line = line[:n]
	}
	return string(line), comment
}

// kindsOf returns the metrics that have several names: histograms, summaries,
// and, as untyped, histograms that are not Prometheus'.
func kindsOf(text []byte) map[string]string {
	kinds := make(map[string]string)
	for line := range bytes.Lines(text) {
		name, comment := nameOf(line)
		if comment {
			continue
		}
		if b, ok := strings.CutSuffix(name, "_bucket"); ok {
			if bytes.Contains(line, []byte(`le="`)) {
				kinds[b] = "histogram"
			} else {
				kinds[b] = "untyped"
			}
		} else if bytes.Contains(line, []byte(`quantile="`)) {
			kinds[name] = "summary"
		}
	}
	return kinds
}

// base returns the metric of a series by the name of the series.
func base(name string, kinds map[string]string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if b, ok := strings.CutSuffix(name, suffix); ok && kinds[b] != "" {
			return b
		}
	}
	return name
}

func kindOf(name string, kinds map[string]string) string {
	switch {
	case kinds[name] != "":
		return kinds[name]
	case strings.HasSuffix(name, "_total"):
		return "counter"
	}
	return "gauge"
}

// Help returns what each metric of sluice's own means, by its name.
func Help() map[string]string {
	m := make(map[string]string)
	for line := range strings.Lines(help) {
		name, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		m[name] = text
	}
	return m
}

func helpOf(name string, known map[string]string) string {
	switch {
	case known[name] != "":
		return strings.ReplaceAll(known[name], `\`, `\\`)
	case strings.HasPrefix(name, "go_"):
		return "Of Go's runtime, as runtime/metrics or runtime.MemStats tell it."
	case strings.HasPrefix(name, "process_"):
		return "Of the process, as the system tells it."
	}
	return "See docs/metrics.md."
}
