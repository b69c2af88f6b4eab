package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const plotUsage = `bench plot DIR draws what sluice --metrics-dump=DIR has written: a chart for each
of the metrics that say most, or for those that are asked for. Counters are drawn
as a rate, gauges as they are, histograms as quantiles.

Flags:`

// maxLines bounds the lines of a chart; those with the largest values are drawn.
const maxLines = 8

// view is a chart to make of dumps: a line for each group of a metric's series.
type view struct {
	metric string
	by     []string // labels by which series are grouped
	title  string
}

// views are the charts that are made unless others are asked for.
func views() []view {
	return []view{
		{"sluice_l7_requests_total", []string{"service", "code"}, "HTTP requests a second"},
		{"sluice_l7_failed_total", []string{"service", "reason"}, "HTTP requests a second that failed"},
		{"sluice_l7_request_duration_seconds", []string{"service"}, "Time of HTTP requests, s"},
		{"sluice_l7_requests", []string{"service"}, "HTTP requests in flight"},
		{"sluice_l7_retries_total", []string{"service"}, "HTTP attempts a second after the first"},
		{"sluice_l4_connections_total", []string{"service", "reason"}, "TCP connections ended a second"},
		{"sluice_l4_connections", []string{"service"}, "TCP connections open"},
		{"sluice_l4_bytes_total", []string{"service", "direction"}, "TCP bytes a second"},
		{"sluice_service_eligible_backends", []string{"service"}, "Backends that get new connections"},
		{"sluice_backend_picks_total", []string{"service", "backend"}, "Connections and requests a second by backend"},
		{"sluice_backend_latency_seconds", []string{"service", "backend"}, "Average latency of backends, s"},
		{"sluice_backend_transitions_total", []string{"service", "backend", "to"}, "Changes of backends' states a second"},
		{"process_cpu_seconds_total", nil, "CPU cores used"},
		{"process_resident_memory_bytes", nil, "Resident memory, bytes"},
	}
}

// plotDumps is the command "plot".
func plotDumps(_ context.Context, args []string, stdout, stderr io.Writer) error {
	var (
		metrics repeated
		out     string
	)
	fs := newFlags("bench plot", plotUsage, stderr)
	fs.Var(&metrics, "metric", "`NAME[,by=LABEL,…]` of a metric to draw instead, with a line for each value of the labels; repeatable")
	fs.StringVar(&out, "out", "", "`directory` for charts and plots.md, default plots in DIR")
	if err := fs.Parse(args); err != nil {
		return asUsage(err)
	}
	if fs.NArg() != 1 {
		return usageError{fmt.Errorf("cannot plot %d directories: it takes one, of --metrics-dump, behind the flags", fs.NArg())}
	}
	chosen := views()
	if len(metrics) > 0 {
		chosen = nil
		for _, m := range metrics {
			v, err := parseView(m)
			if err != nil {
				return usageError{err}
			}
			chosen = append(chosen, v)
		}
	}
	dir := fs.Arg(0)
	dumps, err := readDumps(dir)
	if err != nil {
		return err
	}
	if out == "" {
		out = filepath.Join(dir, "plots")
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("cannot write charts: %w", err)
	}
	from, to := dumps[0].at, dumps[len(dumps)-1].at
	var index bytes.Buffer
	fmt.Fprintf(&index, "# Plots\n\n%d dumps of %d processes, from %s to %s.\n", len(dumps), len(processes(dumps)), from.Format(time.RFC3339), to.Format(time.RFC3339))
	drawn := 0
	var quiet []string // that are there, and 0 all the time
	for _, v := range chosen {
		lines := v.lines(dumps)
		if len(lines) == 0 {
			if len(metrics) > 0 {
				return fmt.Errorf("cannot draw %s: the dumps in %q do not have it", v.metric, dir)
			}
			continue
		}
		if len(metrics) == 0 && !slices.ContainsFunc(lines, func(l line) bool { return l.top() > 0 }) {
			quiet = append(quiet, v.metric)
			continue
		}
		unit, label := timeUnit(to.Sub(from))
		for i := range lines {
			for j := range lines[i].x {
				lines[i].x[j] /= unit.Seconds()
			}
		}
		c := lineChart{file: v.metric + ".svg", title: v.title, xLabel: label + " since " + from.Format("2006-01-02 15:04:05 UTC")}
		svg, err := c.draw(lines)
		if err != nil {
			return fmt.Errorf("cannot draw chart %q: %w", c.file, err)
		}
		if err := writeFile(filepath.Join(out, c.file), svg); err != nil {
			return err
		}
		fmt.Fprintf(&index, "\n![%s](%s)\n", v.title, c.file)
		drawn++
	}
	if len(quiet) > 0 {
		fmt.Fprintf(&index, "\n0 all the time: %s.\n", strings.Join(quiet, ", "))
	}
	if drawn == 0 {
		return fmt.Errorf("cannot draw anything: none of the dumps in %q has a metric of sluice's", dir)
	}
	path := filepath.Join(out, "plots.md")
	if err := writeFile(path, index.Bytes()); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d charts of %d dumps are in %s\n", drawn, len(dumps), path)
	return nil
}

// parseView reads a value of --metric.
func parseView(value string) (view, error) {
	name, labels, has := strings.Cut(value, ",")
	by, ok := strings.CutPrefix(labels, "by=")
	if name == "" || strings.ContainsAny(name, "{}/\\ ") || has && (!ok || by == "") {
		return view{}, fmt.Errorf("cannot use --metric %q: it is a metric's name, and may have ,by=LABEL,… behind it", value)
	}
	v := view{metric: name, title: name}
	if ok {
		v.by = strings.Split(by, ",")
	}
	return v, nil
}

// timeUnit returns the unit of a chart's time.
func timeUnit(d time.Duration) (time.Duration, string) {
	switch {
	case d < 10*time.Minute:
		return time.Second, "s"
	case d < 10*time.Hour:
		return time.Minute, "minutes"
	}
	return time.Hour, "hours"
}

// lines returns the lines of a view, x in seconds since the first dump.
func (v view) lines(dumps []dump) []line {
	kind := ""
	for _, d := range dumps {
		kind = cmp.Or(kind, d.kinds[v.metric])
	}
	points := make(map[string]*line)
	add := func(group string, x, y float64) {
		l := points[group]
		if l == nil {
			l = &line{name: group}
			points[group] = l
		}
		l.x, l.y = append(l.x, x), append(l.y, estimate{mean: y, n: 1})
	}
	for _, own := range processes(dumps) {
		var before map[string]float64
		last := time.Time{}
		for _, d := range own {
			x := d.at.Sub(dumps[0].at).Seconds()
			now := v.values(d, kind)
			switch {
			case kind == "gauge" || kind == "" || kind == "untyped":
				for _, group := range sortedKeys(now) {
					add(group, x, now[group])
				}
			case before == nil || !d.at.After(last):
			case kind == "histogram":
				addQuantiles(add, x, before, now)
			default:
				for _, group := range sortedKeys(now) {
					add(group, x, grown(before[group], now[group])/d.at.Sub(last).Seconds())
				}
			}
			before, last = now, d.at
		}
		for group := range points {
			add(group, math.NaN(), math.NaN()) // another process is another piece of the line
		}
	}
	return largest(points)
}

// grown returns by how much a counter has grown, which began again at 0 if it is
// smaller now.
func grown(before, now float64) float64 {
	if now < before {
		return now
	}
	return now - before
}

// bucketMark parts a group from a bucket's bound in the keys of values.
const bucketMark = "\x00"

// values returns the sums of the metric's samples by group; of a histogram those
// of its buckets, by group and bound.
func (v view) values(d dump, kind string) map[string]float64 {
	sums := make(map[string]float64)
	for _, s := range d.samples {
		switch {
		case kind == "histogram" && s.name == v.metric+"_bucket":
			sums[s.groupBy(v.by)+bucketMark+s.label("le")] += s.value
		case kind != "histogram" && s.name == v.metric:
			sums[s.groupBy(v.by)] += s.value
		}
	}
	return sums
}

// bucket is how many observations of an interval were at most so large.
type bucket struct{ bound, count float64 }

// addQuantiles adds a point to three lines for each group, of the observations
// between two dumps.
func addQuantiles(add func(group string, x, y float64), x float64, before, now map[string]float64) {
	groups := make(map[string][]bucket)
	for key, n := range now {
		group, le, _ := strings.Cut(key, bucketMark)
		bound, err := strconv.ParseFloat(le, 64)
		if err != nil {
			continue
		}
		groups[group] = append(groups[group], bucket{bound, grown(before[key], n)})
	}
	for _, group := range sortedKeys(groups) {
		buckets := groups[group]
		slices.SortFunc(buckets, func(a, b bucket) int { return cmp.Compare(a.bound, b.bound) })
		for _, q := range []float64{0.5, 0.95, 0.99} {
			name := strings.TrimSpace(fmt.Sprintf("%s p%g", group, 100*q))
			add(name, x, histogramQuantile(q, buckets))
		}
	}
}

// histogramQuantile estimates as Prometheus's function of that name does: by a
// straight line within the bucket. NaN means that there was nothing.
func histogramQuantile(q float64, buckets []bucket) float64 {
	if len(buckets) == 0 || buckets[len(buckets)-1].count <= 0 {
		return math.NaN()
	}
	rank := q * buckets[len(buckets)-1].count
	low := bucket{}
	for _, b := range buckets {
		if b.count >= rank {
			if math.IsInf(b.bound, 1) {
				return low.bound
			}
			if b.count == low.count {
				return b.bound
			}
			return low.bound + (b.bound-low.bound)*(rank-low.count)/(b.count-low.count)
		}
		low = b
	}
	return low.bound
}

// largest returns the lines with the largest values, in the order of their names,
// without those that are 0 all the time unless they are all.
func largest(points map[string]*line) (lines []line) {
	for _, name := range sortedKeys(points) {
		lines = append(lines, *points[name])
	}
	if some := slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return l.top() == 0 }); len(some) > 0 {
		lines = some
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(b.top(), a.top()) })
	lines = lines[:min(len(lines), maxLines)]
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.name, b.name) })
	return lines
}

// top returns the line's largest value, whatever its sign.
func (l line) top() (most float64) {
	for _, e := range l.y {
		if !math.IsNaN(e.mean) {
			most = max(most, math.Abs(e.mean))
		}
	}
	return most
}
