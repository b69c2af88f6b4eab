// Command bench measures what sluice costs compared with what people use now:
// it runs sluice, HAProxy, nginx and others before the same backend, one at a
// time and in turn, and writes what it finds as a table, JSON, Markdown and
// charts. It needs Linux.
//
// Its README says what is measured, how, and how to read the results.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// run is the command; it returns the exit code: 0 if everything was measured,
// 1 if not, 2 for wrong flags.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	command, rest := bench, args
	if len(args) > 0 {
		if c, ok := commands()[args[0]]; ok {
			command, rest = c, args[1:]
		}
	}
	err := command(ctx, rest, stdout, stderr)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "bench: %v\nSee bench --help.\n", usage.error)
		return 2
	}
	if ctx.Err() != nil {
		err = errStopped // whatever it is that this made fail
	}
	fmt.Fprintf(stderr, "bench: %v\n", err)
	return 1
}

// commandFunc is a sub-command.
type commandFunc func(ctx context.Context, args []string, stdout, stderr io.Writer) error

func commands() map[string]commandFunc {
	return map[string]commandFunc{
		"pgo":         pgo,
		"microbench":  microbench,
		"compare":     compare,
		"render":      render,
		"experiments": runExperiments,
		"plot":        plotDumps,
	}
}

// usageError is a wrong command line.
type usageError struct{ error }

func asUsage(err error) error {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return usageError{err}
}

// bench is the command without a name: it measures.
func bench(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	opts, err := parseRun(args, stderr)
	if err != nil {
		return asUsage(err)
	}
	s, err := newSuite(ctx, opts, stdout)
	defer s.close()
	if err != nil {
		return err
	}
	s.printf("%d measurements: %d scenarios, %d rounds of %s; sluice %s; backend %s", s.planned, len(s.scenarios), opts.rounds, opts.duration, s.machine.Commit, s.backend.version)

	err = s.run(ctx)
	if err == nil && opts.profile {
		err = s.profileScenarios(ctx)
	}
	if err == nil && opts.calls {
		err = s.countCalls(ctx)
	}
	s.close() // before the report, so that nothing is left whatever comes
	if err != nil {
		s.result.Incomplete = s.neutral(err.Error(), nil)
	}
	if len(s.result.Measurements) == 0 {
		return err
	}
	return errors.Join(err, s.report(stdout))
}

// report writes the result and returns an error if measurements have failed.
func (s *suite) report(stdout io.Writer) error {
	r := &s.result
	r.Took = took(time.Since(s.started))
	r.Ratios = ratios(r.Measurements, r.Proxies)
	if err := r.printTable(stdout); err != nil {
		return fmt.Errorf("cannot print the result: %w", err)
	}
	if err := r.write(s.opts.out); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nwritten to %s.md, .json and charts, after %s\n", filepath.Join(s.opts.out, r.Name), r.Took)
	if failed := r.failures(); len(failed) > 0 {
		err := fmt.Errorf("%d of %d measurements failed and do not count", len(failed), len(r.Measurements))
		for _, m := range failed {
			err = errors.Join(err, fmt.Errorf("%s, %s, round %d: %s", m.Scenario, m.Proxy, m.Round, m.Failed))
		}
		return err
	}
	return nil
}

// render writes the report and charts of a result again.
func render(_ context.Context, args []string, stdout, stderr io.Writer) error {
	fs := newFlags("bench render", "bench render FILE.json writes its report and charts again, beside it.", stderr)
	if err := fs.Parse(args); err != nil {
		return asUsage(err)
	}
	if fs.NArg() != 1 {
		return usageError{fmt.Errorf("cannot render %d results: it takes one FILE.json", fs.NArg())}
	}
	r, err := readResult(fs.Arg(0))
	if err != nil {
		return err
	}
	r.Ratios = ratios(r.Measurements, r.Proxies)
	if err := r.printTable(stdout); err != nil {
		return fmt.Errorf("cannot print the result: %w", err)
	}
	return r.write(filepath.Dir(fs.Arg(0)))
}
