package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// experiment compares variants of sluice's settings, each in several runs that
// take turns, before actors that all behave the same in a run of each.
type experiment struct {
	name, title string
	about       string // what is done and what is measured
	variants    []variant
	charts      []chartOf
	figures     []string // names with units, in the order of the table
	trial       func(ctx context.Context, t trial) (trialResult, error)
}

// variant is what an experiment compares.
type variant struct {
	name string
	args []string // for sluice
}

// chartOf is a chart of an experiment: a line for each variant, whose values a
// trial returns by the chart's file.
type chartOf struct {
	lineChart
	x []float64
}

// trial is one run of a variant.
type trial struct {
	family  *family
	sluice  string // path
	variant variant
	seed    uint64 // the same for all variants of a run
	// instead, if set, is called when the rig is ready, and the trial ends with
	// its error.
	instead func(ctx context.Context, r *rig) error
}

// trialResult is what a trial has measured. NaN is no value.
type trialResult struct {
	lines   map[string][]float64 // by the chart's file
	figures []float64            // as experiment.figures
}

// findings is an experiment's result.
type findings struct {
	experiment experiment
	runs       int
	took       time.Duration
	trials     [][]trialResult // by variant, then run
}

// perform runs the experiment. The variants take turns, so that what changes on
// the machine meanwhile meets all of them.
func (e experiment) perform(ctx context.Context, f *family, sluice string, runs int) (findings, error) {
	found := findings{experiment: e, runs: runs, trials: make([][]trialResult, len(e.variants))}
	begun := time.Now()
	for run := range runs {
		for i, v := range e.variants {
			r, err := e.trial(ctx, trial{family: f, sluice: sluice, variant: v, seed: uint64(run) + 1})
			if err == nil {
				err = errors.Join(ctx.Err(), e.whole(r))
			}
			if err != nil {
				return found, fmt.Errorf("%s, %s, run %d: %w", e.name, v.name, run+1, err)
			}
			found.trials[i] = append(found.trials[i], r)
		}
	}
	found.took = time.Since(begun)
	return found, nil
}

// whole returns an error if a trial has not measured what the experiment shows.
func (e experiment) whole(r trialResult) error {
	if len(r.figures) != len(e.figures) || len(r.lines) != len(e.charts) {
		return fmt.Errorf("cannot use a trial with %d figures and %d lines; there are %d and %d", len(r.figures), len(r.lines), len(e.figures), len(e.charts))
	}
	for _, c := range e.charts {
		if len(r.lines[c.file]) != len(c.x) {
			return fmt.Errorf("cannot use a trial with %d values for %s; there are %d", len(r.lines[c.file]), c.file, len(c.x))
		}
	}
	return nil
}

// figure returns the estimate of a figure of a variant.
func (f findings) figure(variant, figure int) estimate {
	var values []float64
	for _, t := range f.trials[variant] {
		values = append(values, t.figures[figure])
	}
	return estimateOf(values)
}

// lines returns the lines of a chart.
func (f findings) lines(c chartOf) (lines []line) {
	for i, v := range f.experiment.variants {
		var runs [][]float64
		for _, t := range f.trials[i] {
			runs = append(runs, t.lines[c.file])
		}
		lines = append(lines, newLine(v.name, c.x, runs))
	}
	return lines
}

// The following make values of replies.

// binned returns a value for each bin of time, of the replies that were due in
// it; their times begin at 0.
func binned(replies []reply, bins int, width time.Duration, value func([]reply) float64) []float64 {
	parts := make([][]reply, bins)
	for _, r := range replies {
		if i := int(r.due / width); i < bins {
			parts[i] = append(parts[i], r)
		}
	}
	values := make([]float64, bins)
	for i, p := range parts {
		values[i] = value(p)
	}
	return values
}

// middles returns the middles of bins, in seconds.
func middles(bins int, width time.Duration) []float64 {
	x := make([]float64, bins)
	for i := range x {
		x[i] = (float64(i) + 0.5) * width.Seconds()
	}
	return x
}

// quantile returns the q-quantile of the latencies of good replies in ms, NaN if
// there is none.
func quantile(replies []reply, q float64) float64 {
	var took []time.Duration
	for _, r := range replies {
		if r.status == 200 {
			took = append(took, r.took)
		}
	}
	if len(took) == 0 {
		return math.NaN()
	}
	slices.Sort(took)
	i := int(math.Ceil(q*float64(len(took)))) - 1
	return float64(took[max(0, i)].Microseconds()) / 1000
}

// percentFailed returns how many of the replies are not 200, in percent, NaN for
// no replies.
func percentFailed(replies []reply) float64 {
	return 100 * float64(failed(replies)) / float64(len(replies))
}

func failed(replies []reply) (n int) {
	for _, r := range replies {
		if r.status != 200 {
			n++
		}
	}
	return n
}

// after returns the replies that were due at t or later.
func after(replies []reply, t time.Duration) []reply {
	return slices.DeleteFunc(slices.Clone(replies), func(r reply) bool { return r.due < t })
}

// within decides whether at is in [from, to).
func within(at, from, to time.Duration) bool { return at >= from && at < to }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// mean returns the mean of the values that are numbers, NaN for none.
func mean(values []float64) float64 { return estimateOf(values).mean }
