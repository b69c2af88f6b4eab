package main

import (
	"bytes"
	"fmt"
	"image/color"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// chart is a bar chart to draw: a group of bars for each column, a bar for
// each proxy.
type chart struct {
	suffix  string // of the file's name
	title   string
	metric  metric
	divide  float64 // of values, for the unit that the title names
	columns []chartColumn
}

// chartColumn is a group of bars.
type chartColumn struct {
	scenario string
	label    string
	metric   metric // instead of the chart's; may be empty
}

// chartFile is a chart as drawn.
type chartFile struct{ title, file string }

func allCharts() []chart {
	both := func(suffix, label string) []chartColumn {
		return []chartColumn{{scenario: "l4-" + suffix, label: "L4 " + label}, {scenario: "l7-" + suffix, label: "L7 " + label}}
	}
	join := func(groups ...[]chartColumn) (all []chartColumn) {
		for _, g := range groups {
			all = append(all, g...)
		}
		return all
	}
	backends := func(l string) (columns []chartColumn) {
		for _, n := range []string{"1", "10", "100", "1000"} {
			columns = append(columns, chartColumn{scenario: l + "-backends-" + n, label: n})
		}
		return columns
	}
	latency := func(l, label string) []chartColumn {
		return []chartColumn{
			{scenario: l + "-rate", label: label + " p50", metric: metricP50},
			{scenario: l + "-rate", label: label + " p99", metric: metricP99},
			{scenario: l + "-rate", label: label + " p99.9", metric: metricP999},
		}
	}
	return []chart{
		{"cpu-small", "Proxy CPU per small request, µs (lower is better)", metricCPU, 1,
			join(both("keepalive", "64 conns"), both("conns", "1,000 conns"))},
		{"cpu-connections", "Proxy CPU per request on a connection of its own, µs (lower is better)", metricCPU, 1,
			both("connection", "new connection")},
		{"cpu-tls", "Proxy CPU per request by TLS, µs (lower is better)", metricCPU, 1,
			join(both("tls", "kept alive"), both("tls-connection", "full handshake"), both("tls-resumed", "resumed"))},
		{"cpu-bulk", "Proxy CPU per MB, µs (lower is better)", metricCPU, 1,
			join(both("down", "1 MB down"), both("up", "1 MB up"))},
		{"cpu-backends-l4", "Proxy CPU per connection by number of backends, L4, µs (lower is better)", metricCPU, 1, backends("l4")},
		{"cpu-backends-l7", "Proxy CPU per request by number of backends, L7, µs (lower is better)", metricCPU, 1, backends("l7")},
		{"latency-l4", "Latency at a fixed rate, L4, ms (lower is better)", metricP99, 1000, latency("l4", "L4")},
		{"latency-l7", "Latency at a fixed rate, L7, ms (lower is better)", metricP99, 1000, latency("l7", "L7")},
		{"memory", "Memory per idle connection, kB (lower is better)", metricIdle, 1 << 10, both("idle", "idle")},
	}
}

// drawCharts writes those charts into dir that there are figures for.
func (r *Result) drawCharts(dir string) ([]chartFile, error) {
	var files []chartFile
	for _, c := range allCharts() {
		c.columns = r.measuredColumns(c)
		if len(c.columns) == 0 {
			continue
		}
		file := r.Name + "-" + c.suffix + ".svg"
		if err := r.draw(c, filepath.Join(dir, file)); err != nil {
			return nil, fmt.Errorf("cannot draw chart %q: %w", file, err)
		}
		files = append(files, chartFile{c.title, file})
	}
	return files, nil
}

func (c chart) of(col chartColumn) metric {
	if col.metric != "" {
		return col.metric
	}
	return c.metric
}

// measuredColumns returns the columns of c that have a figure.
func (r *Result) measuredColumns(c chart) []chartColumn {
	var kept []chartColumn
	for _, col := range c.columns {
		for _, p := range r.Proxies {
			if p.Role != roleDirect && r.spread(col.scenario, p.Name, c.of(col)).N > 0 {
				kept = append(kept, col)
				break
			}
		}
	}
	return kept
}

func (r *Result) draw(c chart, path string) error {
	p := plot.New()
	ink := color.Gray{0x33}
	sans := func(size float64) font.Font {
		return font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(size)}
	}
	p.Title.Text = c.title
	p.Title.TextStyle.Font = sans(13)
	p.Title.TextStyle.Color = ink
	p.Title.Padding = vg.Points(10)
	p.Legend.Top, p.Legend.Left = true, false
	p.Legend.TextStyle.Font, p.Legend.TextStyle.Color = sans(10), ink
	p.Legend.ThumbnailWidth = vg.Points(12)
	p.Legend.Padding = vg.Points(3)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle.Width = 0
		axis.Tick.LineStyle.Width = 0
		axis.Tick.Label.Font, axis.Tick.Label.Color = sans(10), ink
	}
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color = color.Gray{0xe4}
	grid.Horizontal.Width = vg.Points(0.5)
	p.Add(grid)

	series := r.series(c)
	const width, legend = 760, 110
	slot := (width - legend - 60) / float64(len(c.columns))
	bar := min(34, slot*0.8/float64(len(series)))
	top := 0.0
	for i, s := range series {
		offset := vg.Points(bar * (float64(i) - float64(len(series)-1)/2))
		bars, err := plotter.NewBarChart(plotter.Values(s.values), vg.Points(bar*0.92))
		if err != nil {
			return err
		}
		bars.Offset, bars.Color, bars.LineStyle.Width = offset, s.color, 0
		p.Add(bars)
		p.Legend.Add(s.name, bars)

		var at plotter.XYLabels
		for x, v := range s.values {
			top = max(top, v)
			if v > 0 {
				at.XYs = append(at.XYs, plotter.XY{X: float64(x), Y: v})
				at.Labels = append(at.Labels, formatBar(v))
			}
		}
		labels, err := plotter.NewLabels(at)
		if err != nil {
			return err
		}
		labels.Offset = vg.Point{X: offset, Y: vg.Points(3)}
		for j := range labels.TextStyle {
			labels.TextStyle[j].Font, labels.TextStyle[j].Color = sans(min(9, max(6, bar*0.32))), ink
			labels.TextStyle[j].XAlign = text.XCenter
		}
		p.Add(labels)
	}
	var names []string
	for _, col := range c.columns {
		names = append(names, col.label)
	}
	p.NominalX(names...)
	p.X.Tick.Label.YAlign = draw.YTop
	p.X.Min, p.X.Max = -0.5, float64(len(names))-0.5+float64(len(names))*legend/(width-legend-60)
	p.Y.Min, p.Y.Max = 0, top*1.12

	canvas := vgsvg.New(vg.Points(width), vg.Points(320))
	page := draw.New(canvas)
	page.SetColor(color.White)
	page.Fill(page.Rectangle.Path())
	p.Draw(draw.Crop(page, vg.Points(14), -vg.Points(14), vg.Points(10), -vg.Points(12)))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	return writeFile(path, svg.Bytes())
}

// barSeries is a proxy's bars.
type barSeries struct {
	name   string
	color  color.Color
	values []float64
}

// series returns the bars of every proxy that has one. sluice is blue, so that
// it is found at once.
func (r *Result) series(c chart) []barSeries {
	blues := []color.Color{color.RGBA{0x1f, 0x6f, 0xeb, 255}, color.RGBA{0x6c, 0xb6, 0xff, 255}, color.RGBA{0x0b, 0x3d, 0x91, 255}}
	greys := []color.Color{
		color.RGBA{0x57, 0x60, 0x6a, 255}, color.RGBA{0xa3, 0xab, 0xb5, 255},
		color.RGBA{0xb0, 0x7d, 0x48, 255}, color.RGBA{0xdc, 0xbc, 0x94, 255},
		color.RGBA{0x5f, 0x8f, 0x6b, 255}, color.RGBA{0x93, 0x78, 0xa8, 255},
		color.RGBA{0xb5, 0x65, 0x6b, 255}, color.RGBA{0x3e, 0x8e, 0x98, 255},
	}
	var all []barSeries
	blue, grey := 0, 0
	for _, p := range r.Proxies {
		s := barSeries{name: p.Name, values: make([]float64, len(c.columns))}
		switch p.Role {
		case roleSubject:
			s.color = blues[blue%len(blues)]
			blue++
		case rolePeer:
			s.color = greys[grey%len(greys)]
			grey++
		default:
			continue
		}
		any := false
		for i, col := range c.columns {
			sp := r.spread(col.scenario, p.Name, c.of(col))
			s.values[i] = sp.Median / c.divide
			any = any || sp.N > 0
		}
		if any {
			all = append(all, s)
		}
	}
	return all
}

func formatBar(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 1:
		return fmt.Sprintf("%.1f", v)
	}
	return strings.TrimPrefix(fmt.Sprintf("%.2f", v), "-")
}
