package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"sluice/engine"
	"sluice/pkg/config"
	"sluice/pkg/zone"
)

// envPrefix begins the environment variable of every flag.
const envPrefix = "SLUICE_"

// command is a command line once read.
type command struct {
	config  config.Config
	flags   *pflag.FlagSet // as set, for the log and the metrics
	file    string         // that was read; empty for none
	watch   bool           // it is to be read again when it changes
	dryRun  bool
	target  *target // of --dry-run; nil for none
	version bool
	ecs     string   // address of the task's metadata on ECS, or empty
	unknown []string // environment variables with our prefix that are no flag's

	args, environ []string // what all that was read from
}

// parseCommand reads the configuration file, the environment and the command
// line, each winning over the one before. Its error joins all that is wrong;
// pflag.ErrHelp alone means that help was asked for.
func parseCommand(args, environ []string) (*command, error) {
	against, args, environ, targetErr := targetOf(args, environ)
	env := variables(environ)

	// A first reading finds the file; its complaints come again in the second.
	probe := newReader(config.Default())
	probe.environment(env)
	probe.arguments(args)
	if probe.help {
		return nil, pflag.ErrHelp
	}
	base := config.Default()
	var fileErr error
	var inFile []string
	if probe.file != "" {
		inFile, fileErr = base.Load(probe.file)
	}

	r := newReader(base)
	r.demo = probe.config.Demo || base.Demo
	unknown := r.environment(env)
	r.arguments(args)
	for _, name := range inFile {
		if f := r.flags.Lookup(name); f != nil {
			f.Changed = true // it was set, wherever
		}
	}
	cmd := &command{config: *r.config, flags: r.flags, file: r.file, watch: r.watch, dryRun: r.dryRun, target: against, version: r.version, ecs: env[zone.ECSVariable], unknown: unknown, args: args, environ: environ}
	if cmd.version {
		return cmd, nil
	}
	if cmd.config.Consul == "" {
		cmd.config.Consul = env["CONSUL_HTTP_ADDR"]
	}
	if c := &cmd.config; !r.flags.Changed("access-log") && (c.AccessLogFile != "" || c.AccessLogSyslog != "") {
		c.AccessLog = true // why else say where to
	}
	if r.watch && r.file == "" {
		r.add("--watch-config: there is no file to watch without --config")
	}
	unread := errors.Join(append([]error{fileErr, targetErr}, r.problems...)...)
	problems := cmd.config.Validate()
	if unread != nil {
		// What could not be read may be what seems to be missing.
		problems = withoutLists(problems)
	}
	return cmd, errors.Join(unread, problems, engine.Check(&cmd.config))
}

// variables returns an environment, "KEY=value" each, by key; the last one counts.
func variables(environ []string) map[string]string {
	env := make(map[string]string)
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}
	return env
}

// withoutLists returns the problems of err that are not about a listener, a
// route, a backend or a service.
func withoutLists(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var kept []error
	for _, e := range joined.Unwrap() {
		var p config.Problem
		if errors.As(e, &p) && slices.Contains([]string{"l4", "l7", "route", "backend", "service"}, p.Setting) {
			continue
		}
		kept = append(kept, e)
	}
	return errors.Join(kept...)
}
