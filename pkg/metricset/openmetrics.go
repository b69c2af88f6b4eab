package metricset

import (
	"bytes"
	"io"
	"strconv"
	"strings"
)

// Exemplar returns the exemplar of a histogram's bucket as OpenMetrics has it,
// {labels} value time, or nothing. The histogram is known by its name with labels;
// the bucket has the values above over and up to most.
type Exemplar func(histogram string, over, most float64) string

// OpenMetrics writes text, metrics in Prometheus' text format as Describe leaves
// them, in the format of OpenMetrics 1.0, with exemplars where there are some.
func OpenMetrics(w io.Writer, text []byte, exemplar Exemplar) {
	var b bytes.Buffer
	o := openMetrics{out: &b, gauges: gaugesOf(text), exemplar: exemplar}
	for line := range bytes.Lines(text) {
		o.line(string(bytes.TrimSuffix(line, []byte("\n"))))
	}
	b.WriteString("# EOF\n")
	_, _ = w.Write(b.Bytes()) // the reader is gone
}

// gaugesOf returns the metrics whose series have their name alone.
func gaugesOf(text []byte) map[string]bool {
	all := make(map[string]bool)
	for line := range bytes.Lines(text) {
		if rest, ok := strings.CutPrefix(string(line), "# TYPE "); ok {
			name, kind, _ := strings.Cut(strings.TrimSpace(rest), " ")
			all[name] = kind != "counter" && kind != "histogram" && kind != "summary"
		}
	}
	return all
}

// openMetrics is the text so far.
type openMetrics struct {
	out      *bytes.Buffer
	gauges   map[string]bool
	exemplar Exemplar
	help     string // of the metric whose type is next
	histo    bool   // the present metric is a histogram
	of       string // the present histogram, with labels
	over     float64
}

func (o *openMetrics) line(line string) {
	switch {
	case strings.HasPrefix(line, "# HELP "):
		_, o.help, _ = strings.Cut(line[len("# HELP "):], " ")
	case strings.HasPrefix(line, "# TYPE "):
		name, kind, _ := strings.Cut(line[len("# TYPE "):], " ")
		o.kind(name, kind)
	case line == "", line[0] == '#':
	default:
		o.sample(line)
	}
}

// kind begins a metric. A counter is called by its name without _total, unless a
// gauge has that: it is of no known kind then.
func (o *openMetrics) kind(name, kind string) {
	switch kind {
	case "counter":
		if short, ok := strings.CutSuffix(name, "_total"); ok && !o.gauges[short] {
			name = short
		} else {
			kind = "unknown"
		}
	case "untyped":
		kind = "unknown"
	}
	o.histo, o.of = kind == "histogram", ""
	o.out.WriteString("# TYPE " + name + " " + kind + "\n")
	if o.help != "" {
		o.out.WriteString("# HELP " + name + " " + strings.ReplaceAll(o.help, `"`, `\"`) + "\n")
	}
	o.help = ""
}

// sample writes a series; the bounds of buckets and quantiles have a point.
func (o *openMetrics) sample(line string) {
	for _, label := range []string{`le="`, `quantile="`} {
		i := strings.LastIndex(line, label)
		if i < 1 || line[i-1] != '{' && line[i-1] != ',' {
			continue
		}
		start := i + len(label)
		n := strings.IndexByte(line[start:], '"')
		if n < 0 {
			continue
		}
		bound := line[start : start+n]
		if !strings.ContainsAny(bound, ".eIN") {
			line = line[:start] + bound + ".0" + line[start+n:]
		}
		o.out.WriteString(line)
		if o.histo && label == `le="` {
			o.bucket(line[:i], bound)
		}
		o.out.WriteByte('\n')
		return
	}
	o.out.WriteString(line)
	o.out.WriteByte('\n')
}

// bucket writes the exemplar of a bucket, whose series begins with head and whose
// bound is most. Buckets come in order.
func (o *openMetrics) bucket(head, most string) {
	bound, err := strconv.ParseFloat(most, 64)
	if err != nil || o.exemplar == nil {
		return
	}
	name, labels, _ := strings.Cut(head, "{")
	of := strings.TrimSuffix(name, "_bucket")
	if labels = strings.TrimSuffix(labels, ","); labels != "" {
		of += "{" + labels + "}"
	}
	if of != o.of {
		o.of, o.over = of, -1
	}
	if x := o.exemplar(of, o.over, bound); x != "" {
		o.out.WriteString(" # " + x)
	}
	o.over = bound
}
