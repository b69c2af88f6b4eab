package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
)

// compare says of two results, ratio by ratio, whether they agree: whether the
// ranges over the rounds have a value in common, to within the resolution.
func compare(_ context.Context, args []string, stdout, stderr io.Writer) error {
	fs := newFlags("bench compare", "bench compare A.json B.json compares the ratios to the best peer of two results.\nTwo agree if their spreads have a value in common, to within 2 %. The exit code is 1 if any do not.", stderr)
	if err := fs.Parse(args); err != nil {
		return asUsage(err)
	}
	if fs.NArg() != 2 {
		return usageError{fmt.Errorf("cannot compare %d results: it takes two, A.json and B.json", fs.NArg())}
	}
	a, err := readResult(fs.Arg(0))
	if err != nil {
		return err
	}
	b, err := readResult(fs.Arg(1))
	if err != nil {
		return err
	}
	all, differ := compareResults(a, b)
	if len(all) == 0 {
		return fmt.Errorf("cannot compare %q and %q: they have no ratio in common", fs.Arg(0), fs.Arg(1))
	}
	t := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "scenario\tfigure\tsluice\t%s\t%s\tB/A\t\t\n", a.Name, b.Name)
	for _, c := range all {
		verdict := "agree"
		if !c.agree {
			verdict = "DIFFER"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%.2f\t%s\t\n", c.a.Scenario, c.a.Metric.title(), c.a.Subject,
			formatRatio(c.a.Spread), formatRatio(c.b.Spread), c.b.Median/c.a.Median, verdict)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("cannot print the comparison: %w", err)
	}
	if differ > 0 {
		return fmt.Errorf("%d of %d ratios differ by more than their spreads", differ, len(all))
	}
	return nil
}

// compared is a ratio in two results.
type compared struct {
	a, b  Ratio
	agree bool
}

func compareResults(a, b *Result) (all []compared, differ int) {
	for _, sc := range a.Scenarios {
		for _, k := range headline(sc.Kind) {
			for _, p := range a.Proxies {
				x, ok1 := a.ratio(sc.Name, p.Name, bestPeer, k)
				y, ok2 := b.ratio(sc.Name, p.Name, bestPeer, k)
				if !ok1 || !ok2 {
					continue
				}
				c := compared{x, y, x.overlaps(y.Spread)}
				if !c.agree {
					differ++
				}
				all = append(all, c)
			}
		}
	}
	return all, differ
}
