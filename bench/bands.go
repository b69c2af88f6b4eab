package main

import (
	"bytes"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// estimate is a mean over runs and half the width of its 95 % confidence
// interval.
type estimate struct {
	mean, half float64
	n          int
}

// estimateOf returns the estimate from the values that are numbers.
func estimateOf(values []float64) estimate {
	values = slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	e := estimate{n: len(values)}
	if e.n == 0 {
		return estimate{mean: math.NaN()}
	}
	for _, v := range values {
		e.mean += v / float64(e.n)
	}
	if e.n < 2 {
		return e
	}
	variance := 0.0
	for _, v := range values {
		variance += (v - e.mean) * (v - e.mean) / float64(e.n-1)
	}
	e.half = student95(e.n-1) * math.Sqrt(variance/float64(e.n))
	return e
}

// student95 returns the two-sided 95 % quantile of Student's t distribution.
func student95(freedom int) float64 {
	table := []float64{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228}
	if freedom <= len(table) {
		return table[freedom-1]
	}
	// Cornish-Fisher's expansion, good to two thousandths from here on.
	const z = 1.959964
	n := float64(freedom)
	return z + (z*z*z+z)/(4*n) + (5*z*z*z*z*z+16*z*z*z+3*z)/(96*n*n)
}

// line is a line of a chart with its band: for each x, an estimate of y.
type line struct {
	name string
	x    []float64
	y    []estimate
}

// newLine makes a line of runs, each of which has a y for each x.
func newLine(name string, x []float64, runs [][]float64) line {
	l := line{name: name, x: x}
	for i := range x {
		var at []float64
		for _, run := range runs {
			if i < len(run) {
				at = append(at, run[i])
			}
		}
		l.y = append(l.y, estimateOf(at))
	}
	return l
}

// lineChart is a chart of lines with their bands.
type lineChart struct {
	file, title    string
	xLabel, yLabel string
	ticks          []plot.Tick // of x; none: as they come
	logarithmic    bool        // y
}

func bandColors() []color.RGBA {
	return []color.RGBA{{0x57, 0x60, 0x6a, 255}, {0x1f, 0x6f, 0xeb, 255}, {0xb0, 0x7d, 0x48, 255}, {0x5f, 0x8f, 0x6b, 255}, {0x93, 0x78, 0xa8, 255}, {0xb5, 0x65, 0x6b, 255}, {0x3e, 0x8e, 0x98, 255}, {0xdc, 0xbc, 0x94, 255}}
}

// draw returns the chart as SVG.
func (c lineChart) draw(lines []line) ([]byte, error) {
	p := plot.New()
	ink := color.Gray{0x33}
	sans := func(size float64) font.Font {
		return font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(size)}
	}
	p.Title.Text, p.Title.TextStyle.Font, p.Title.TextStyle.Color = c.title, sans(13), ink
	p.Title.Padding = vg.Points(10)
	p.X.Label.Text, p.Y.Label.Text = c.xLabel, c.yLabel
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle.Width, axis.Tick.LineStyle.Width = 0, 0
		axis.Tick.Label.Font, axis.Tick.Label.Color = sans(10), ink
		axis.Label.TextStyle.Font, axis.Label.TextStyle.Color = sans(10), ink
	}
	p.Legend.Top, p.Legend.TextStyle.Font, p.Legend.TextStyle.Color = true, sans(10), ink
	p.Legend.ThumbnailWidth, p.Legend.Padding = vg.Points(16), vg.Points(4)
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color, grid.Horizontal.Width = color.Gray{0xe4}, vg.Points(0.5)
	p.Add(grid)
	if len(c.ticks) > 0 {
		p.X.Tick.Marker = plot.ConstantTicks(c.ticks)
	}
	floor := 0.0
	if c.logarithmic {
		p.Y.Scale, p.Y.Tick.Marker, floor = plot.LogScale{}, plot.LogTicks{Prec: -1}, lowest(lines)
	}
	colors, top := bandColors(), floor
	for i, l := range lines {
		hue := colors[i%len(colors)]
		named := false
		for _, piece := range l.pieces(floor) {
			for _, xy := range piece.upper {
				top = max(top, xy.Y)
			}
			slices.Reverse(piece.lower)
			band, err := plotter.NewPolygon(append(piece.upper, piece.lower...))
			if err != nil {
				return nil, err
			}
			band.Color, band.LineStyle.Width = color.NRGBA{hue.R, hue.G, hue.B, 0x38}, 0
			drawn, err := plotter.NewLine(piece.middle)
			if err != nil {
				return nil, err
			}
			drawn.Color, drawn.Width = hue, vg.Points(1.5)
			p.Add(band, drawn)
			if !named && l.name != "" {
				p.Legend.Add(l.name+"   ", drawn)
				named = true
			}
		}
	}
	p.Y.Min, p.Y.Max = floor, top*1.25 // room for the legend
	if c.logarithmic {
		p.Y.Max = top * 4
	}
	if p.Y.Max <= p.Y.Min {
		p.Y.Max = p.Y.Min + 1
	}
	canvas := vgsvg.New(vg.Points(640), vg.Points(300))
	page := draw.New(canvas)
	page.SetColor(color.White)
	page.Fill(page.Rectangle.Path())
	p.Draw(draw.Crop(page, vg.Points(12), -vg.Points(16), vg.Points(10), -vg.Points(12)))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return nil, err
	}
	return svg.Bytes(), nil
}

// piece is a part of a line without a gap.
type piece struct{ upper, lower, middle plotter.XYs }

// pieces returns the parts of a line between values that are none, nothing of
// which is below floor.
func (l line) pieces(floor float64) (all []piece) {
	gap := true
	for j, e := range l.y {
		if math.IsNaN(e.mean) {
			gap = true
			continue
		}
		if gap {
			all, gap = append(all, piece{}), false
		}
		p, x := &all[len(all)-1], l.x[j]
		p.upper = append(p.upper, plotter.XY{X: x, Y: max(floor, e.mean+e.half)})
		p.lower = append(p.lower, plotter.XY{X: x, Y: max(floor, e.mean-e.half)})
		p.middle = append(p.middle, plotter.XY{X: x, Y: max(floor, e.mean)})
	}
	return all
}

// lowest returns the least mean above 0, or 1.
func lowest(lines []line) float64 {
	least := math.Inf(1)
	for _, l := range lines {
		for _, e := range l.y {
			if e.mean > 0 {
				least = min(least, e.mean)
			}
		}
	}
	if math.IsInf(least, 1) {
		return 1
	}
	return least / 2
}
