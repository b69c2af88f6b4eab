package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const experimentsUsage = `bench experiments shows what sluice's settings do, each against what there was
before it: real backends whose conduct an experiment changes, sluice itself, and
clients that send whether or not answers come. It writes experiments.md and a
chart for each figure.

Flags:`

// maxRuns bounds the runs of a variant.
const maxRuns = 100

// experimentOptions is how experiments are to be done.
type experimentOptions struct {
	chosen  []experiment
	runs    int
	tools   []loadTool
	out     string
	sluice  string
	root    string
	command string
}

func parseExperiments(args []string, w io.Writer) (experimentOptions, error) {
	var (
		o    experimentOptions
		c    common
		only string
		by   string
	)
	fs := newFlags("bench experiments", experimentsUsage, w)
	fs.StringVar(&only, "only", "", "`names` of experiments, separated by commas, default all: "+strings.Join(experimentNames(), ", "))
	fs.IntVar(&o.runs, "runs", 5, "`number` of runs of each variant; the bands are made of them")
	fs.StringVar(&o.out, "out", "", "`directory` for the report and its charts, default bench/results of the checkout")
	fs.StringVar(&by, "by", "", "`names` of load generators of others that look at the chosen experiments, too, once each variant: wrk, hey, ab, k6")
	c.define(fs)
	if err := parse(fs, args); err != nil {
		return o, err
	}
	var errs []error
	if o.runs < 1 || o.runs > maxRuns {
		errs = append(errs, fmt.Errorf("cannot use --runs %d: it is from 1 to %d", o.runs, maxRuns))
	}
	var err error
	if o.chosen, err = chooseExperiments(only); err != nil {
		errs = append(errs, err)
	}
	if o.tools, err = chooseTools(by); err != nil {
		errs = append(errs, err)
	}
	var run options
	if err := c.resolve(&run); err != nil {
		errs = append(errs, err)
	} else {
		o.root, o.sluice = run.root, run.sluices[0].path
		if len(run.sluices) > 1 {
			errs = append(errs, errors.New("cannot use more than one --sluice: experiments compare settings, not binaries"))
		}
	}
	if o.out == "" {
		o.out = filepath.Join(o.root, "bench", "results")
	}
	o.command = neutralCommand(append([]string{"experiments"}, args...), o.root)
	return o, errors.Join(errs...)
}

func experimentNames() (names []string) {
	for _, e := range experiments() {
		names = append(names, e.name)
	}
	return names
}

// chooseExperiments returns those with the names, all for none.
func chooseExperiments(names string) (chosen []experiment, err error) {
	if names == "" {
		return experiments(), nil
	}
	var errs []error
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		found := false
		for _, e := range experiments() {
			if e.name == name {
				chosen, found = append(chosen, e), true
			}
		}
		if !found {
			errs = append(errs, fmt.Errorf("cannot use --only %q: experiments are %s", name, strings.Join(experimentNames(), ", ")))
		}
	}
	return chosen, errors.Join(errs...)
}

// runExperiments is the command "experiments".
func runExperiments(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseExperiments(args, stderr)
	if err != nil {
		return asUsage(err)
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return fmt.Errorf("cannot write results: %w", err)
	}
	f := newFamily()
	defer f.close()
	version, err := output(ctx, o.sluice, "--version")
	if err != nil {
		return err
	}
	var report bytes.Buffer
	fmt.Fprintf(&report, "# Experiments\n\nWhat settings of sluice do, each against what there was before it: `%s`, %s, on %d cores, %s. "+
		"Clients send whether or not answers come; the time of a request counts from when it was due. "+
		"Figures are means over %d runs with their 95 %% confidence intervals, and so are the bands of the charts.\n", o.command, strings.TrimSpace(version), runtime.NumCPU(), time.Now().UTC().Format("2006-01-02"), o.runs)
	for _, e := range o.chosen {
		found, err := e.perform(ctx, f, o.sluice, o.runs)
		if err != nil {
			return err
		}
		if err := found.drawCharts(o.out); err != nil {
			return err
		}
		text := found.markdown()
		if len(o.tools) > 0 {
			table, err := e.byTools(ctx, f, o.sluice, o.tools)
			if err != nil {
				return err
			}
			text += table
		}
		fmt.Fprintf(stdout, "%s\nafter %s\n", text, took(found.took))
		report.WriteString(text)
	}
	path := filepath.Join(o.out, "experiments.md")
	if err := writeFile(path, report.Bytes()); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nwritten to %s and charts beside it\n", path)
	return nil
}

func (f findings) drawCharts(dir string) error {
	for _, c := range f.experiment.charts {
		svg, err := c.draw(f.lines(c))
		if err != nil {
			return fmt.Errorf("cannot draw chart %q: %w", c.file, err)
		}
		if err := writeFile(filepath.Join(dir, c.file), svg); err != nil {
			return err
		}
	}
	return nil
}

// markdown returns the experiment's part of the report.
func (f findings) markdown() string {
	var b strings.Builder
	e := f.experiment
	fmt.Fprintf(&b, "\n## %s\n\n%s\n\n`bench experiments --only=%s`\n\n", e.title, e.about, e.name)
	fmt.Fprintf(&b, "| | %s |\n|---%s|\n", strings.Join(e.figures, " | "), strings.Repeat("|---", len(e.figures)))
	for i, v := range e.variants {
		fmt.Fprintf(&b, "| %s", v.name)
		for j := range e.figures {
			fmt.Fprintf(&b, " | %s", f.figure(i, j))
		}
		b.WriteString(" |\n")
	}
	for _, c := range e.charts {
		fmt.Fprintf(&b, "\n![%s](%s)\n", c.title, c.file)
	}
	return b.String()
}

func (e estimate) String() string {
	if math.IsNaN(e.mean) {
		return "–"
	}
	figure := func(v float64) string {
		switch {
		case v >= 100:
			return fmt.Sprintf("%.0f", v)
		case v >= 10:
			return fmt.Sprintf("%.1f", v)
		}
		return fmt.Sprintf("%.2f", v)
	}
	if e.n < 2 {
		return figure(e.mean)
	}
	return figure(e.mean) + " ± " + figure(e.half)
}
