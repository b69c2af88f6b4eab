package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// options is how a run is to be done.
type options struct {
	name        string
	rounds      int
	duration    time.Duration
	maxTime     time.Duration
	scenarios   string
	peers       []string
	sluices     []sluiceBinary
	echo        string // path of cmd/echo
	echoBackend bool
	out         string
	profile     bool
	calls       bool
	rate        int
	idleConns   int
	root        string // of sluice's checkout
	command     string // for the report
}

// sluiceBinary is one of the things to measure.
type sluiceBinary struct {
	name, path string
	args       []string
}

// Figures that --quick and a full run differ in.
const (
	fullRounds    = 5
	fullDuration  = 2500 * time.Millisecond
	fullMaxTime   = 24 * time.Minute
	quickRounds   = 2
	quickDuration = 800 * time.Millisecond
	quickMaxTime  = 4 * time.Minute
)

// repeated is a flag that may be given several times.
type repeated []string

func (r *repeated) String() string     { return strings.Join(*r, " ") }
func (r *repeated) Set(s string) error { *r = append(*r, s); return nil }

// newFlags returns a set that writes its complaints and help to w.
func newFlags(name, usage string, w io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(w)
	fs.Usage = func() {
		fmt.Fprintln(w, usage)
		fs.VisitAll(func(f *flag.Flag) {
			kind, text := flag.UnquoteUsage(f)
			if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
				text += " (default " + f.DefValue + ")"
			}
			fmt.Fprintf(w, "  --%s\n        %s\n", strings.TrimSpace(f.Name+" "+kind), text)
		})
	}
	return fs
}

// parse reads args, where nothing but flags may be.
func parse(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("cannot use argument %q: everything is a flag; is a -- missing before it?", fs.Arg(0))
	}
	return nil
}

// common are the flags of every sub-command that starts sluice.
type common struct {
	sluices, sluiceArgs repeated
	echo, root          string
}

func (c *common) define(fs *flag.FlagSet) {
	fs.Var(&c.sluices, "sluice", "`[NAME=]PATH` of a sluice binary, default bin/sluice of the checkout; repeatable, so that several are compared in one run. The first is what the others are compared with")
	fs.Var(&c.sluiceArgs, "sluice-args", "`[NAME=]ARGS`: further flags for every sluice, or for one, separated by spaces; repeatable")
	fs.StringVar(&c.echo, "echo", "", "`path` of the echo backend, default bin/echo of the checkout")
	fs.StringVar(&c.root, "root", "", "`directory` of sluice's checkout, default the one around the current directory")
}

// resolve finds the checkout and fills in the defaults.
func (c *common) resolve(o *options) error {
	var err error
	if o.root, err = findRoot(c.root); err != nil {
		return err
	}
	o.echo = c.echo
	if o.echo == "" {
		o.echo = filepath.Join(o.root, "bin", "echo")
	}
	if len(c.sluices) == 0 {
		c.sluices = repeated{filepath.Join(o.root, "bin", "sluice")}
	}
	o.sluices, err = parseSluices(c.sluices, c.sluiceArgs)
	return err
}

// nameValue splits NAME=VALUE; a value may itself hold = and has no name if
// what is before is not one.
var nameValue = regexp.MustCompile(`^([a-zA-Z0-9][a-zA-Z0-9._-]*)=(.*)$`)

// parseSluices reads the values of --sluice and --sluice-args.
func parseSluices(values, args []string) ([]sluiceBinary, error) {
	var all []sluiceBinary
	for _, v := range values {
		s := sluiceBinary{name: "sluice", path: v}
		if m := nameValue.FindStringSubmatch(v); m != nil {
			s.name, s.path = m[1], m[2]
		}
		if slices.ContainsFunc(all, func(o sluiceBinary) bool { return o.name == s.name }) {
			return nil, fmt.Errorf("cannot use --sluice %q: %s is there already; give each a name as NAME=PATH", v, s.name)
		}
		if slices.Contains(reservedNames(), s.name) {
			return nil, fmt.Errorf("cannot use --sluice %q: %s is another's name", v, s.name)
		}
		all = append(all, s)
	}
	for _, v := range args {
		name, text := "", v
		if m := nameValue.FindStringSubmatch(v); m != nil {
			name, text = m[1], m[2]
		}
		found := false
		for i := range all {
			if name == "" || all[i].name == name {
				all[i].args = append(all[i].args, strings.Fields(text)...)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("cannot use --sluice-args %q: no --sluice has the name %s", v, name)
		}
	}
	return all, nil
}

func reservedNames() []string {
	return []string{"haproxy", "haproxy-64k", "nginx", "nginx-64k", "fabio", "traefik", "caddy", "envoy", "none", bestPeer}
}

// findRoot returns the absolute path of sluice's checkout.
func findRoot(given string) (string, error) {
	dir := given
	if dir == "" {
		dir = "."
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cannot find the directory %q: %w", given, err)
	}
	for d := dir; ; d = filepath.Dir(d) {
		data, err := os.ReadFile(filepath.Join(d, "go.mod"))
		if err == nil && slices.Contains(strings.Split(string(data), "\n"), "module sluice") {
			return d, nil
		}
		if given != "" || d == filepath.Dir(d) {
			return "", fmt.Errorf("cannot find the checkout of sluice at %q; --root says where it is", dir)
		}
	}
}

const runUsage = `bench measures what sluice costs beside HAProxy, nginx and others.

  bench [flags]               measure and write a report
  bench pgo --to FILE         collect a profile for profile-guided optimization
  bench microbench            run Go's benchmarks and compare with the last result
  bench compare A B           say whether two results agree
  bench render FILE           write the report and charts of a result again
  bench experiments           show what settings do, each with a chart
  bench plot DIR              draw what --metrics-dump=DIR has written

Flags of the first:`

// parseRun reads the flags of a run.
func parseRun(args []string, w io.Writer) (options, error) {
	var (
		o     options
		c     common
		quick bool
		peers string
	)
	fs := newFlags("bench", runUsage, w)
	fs.BoolVar(&quick, "quick", false, "two short rounds of the main scenarios, in about two minutes")
	fs.StringVar(&o.name, "name", "", "`name` of the result, default quick or full")
	fs.IntVar(&o.rounds, "rounds", 0, "`number` of rounds, default 5, or 2 if quick")
	fs.DurationVar(&o.duration, "duration", 0, "`time` of one measurement, default 2.5s, or 0.8s if quick")
	fs.DurationVar(&o.maxTime, "max-time", 0, "`time` that a run may take: a round that would pass it is not begun; default 24m, or 4m if quick; negative: no limit")
	fs.StringVar(&o.scenarios, "scenarios", "", "`names` of scenarios, separated by commas, * matches any; default all, or the main ones if quick")
	fs.StringVar(&peers, "peers", "", "`names` of the peers to measure, separated by commas, such as haproxy,haproxy-64k; default all that are installed. none: no peer")
	c.define(fs)
	fs.BoolVar(&o.echoBackend, "echo-backend", false, "use cmd/echo as the backend even if nginx is there")
	fs.StringVar(&o.out, "out", "", "`directory` for results, default bench/results of the checkout")
	fs.BoolVar(&o.profile, "profile", false, "after the rounds, take profiles of sluice in each scenario and write their tops beside the result")
	fs.BoolVar(&o.calls, "calls", false, "after the rounds, count the system calls of a request in the keep-alive and connection scenarios, with strace")
	fs.IntVar(&o.rate, "rate", 15000, "`requests` a second in the scenarios with a fixed rate")
	fs.IntVar(&o.idleConns, "idle-conns", idleConnCount, "`number` of connections in the memory scenarios")
	if err := parse(fs, args); err != nil {
		return o, err
	}

	var errs []error
	if o.rounds < 0 {
		errs = append(errs, fmt.Errorf("cannot use --rounds %d: it is at least 1", o.rounds))
	}
	if o.duration < 0 || o.duration > time.Minute {
		errs = append(errs, fmt.Errorf("cannot use --duration %s: it is more than 0 and at most 1m", o.duration))
	}
	if o.rate < 1 || o.rate > 1_000_000 {
		errs = append(errs, fmt.Errorf("cannot use --rate %d: it is from 1 to 1000000", o.rate))
	}
	if o.idleConns < 1 {
		errs = append(errs, fmt.Errorf("cannot use --idle-conns %d: it is at least 1", o.idleConns))
	}
	if strings.ContainsAny(o.name, `/\`) {
		errs = append(errs, fmt.Errorf("cannot use --name %q: it is a file's name without a directory; see --out", o.name))
	}
	if peers != "" {
		for name := range strings.SplitSeq(peers, ",") {
			o.peers = append(o.peers, strings.TrimSpace(name))
		}
	}
	errs = append(errs, c.resolve(&o))
	if err := errors.Join(errs...); err != nil {
		return o, err
	}
	o.defaults(quick)
	o.command = neutralCommand(args, o.root)
	return o, nil
}

func (o *options) defaults(quick bool) {
	name, rounds, duration, maxTime := "full", fullRounds, fullDuration, fullMaxTime
	if quick {
		name, rounds, duration, maxTime = "quick", quickRounds, quickDuration, quickMaxTime
	}
	if o.scenarios == "" {
		var names []string
		for _, s := range scenarios(o.idleConns) {
			if s.quick || !quick && !s.named {
				names = append(names, s.name)
			}
		}
		o.scenarios = strings.Join(names, ",")
	}
	if o.name == "" {
		o.name = name
	}
	if o.rounds == 0 {
		o.rounds = rounds
	}
	if o.duration == 0 {
		o.duration = duration
	}
	if o.maxTime == 0 {
		o.maxTime = maxTime
	}
	if o.out == "" {
		o.out = filepath.Join(o.root, "bench", "results")
	}
}
