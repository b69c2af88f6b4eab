package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"sluice/pkg/config"
	"sluice/pkg/handover"
)

// reader sets a configuration from flags and collects every complaint instead
// of stopping at the first.
type reader struct {
	config   *config.Config
	flags    *pflag.FlagSet
	file     string
	watch    bool
	dryRun   bool
	target   string // what --dry-run holds the configuration against
	task     string // file
	demo     bool   // --demo is set
	version  bool
	help     bool
	source   string // what a value comes from, for complaints
	problems []error
}

func newReader(c config.Config) *reader {
	r := &reader{config: &c, flags: pflag.NewFlagSet("sluice", pflag.ContinueOnError)}
	r.flags.SortFlags = false
	r.flags.SetOutput(io.Discard)
	r.define()
	r.flags.VisitAll(func(f *pflag.Flag) { f.Value = &collector{Value: f.Value, name: f.Name, r: r} })
	return r
}

// parseL4 reads a TCP listener. That of the demo may leave out the service, as there
// is only one.
func (r *reader) parseL4(spec string) (config.L4, error) {
	if addr, rest, more := strings.Cut(spec, ","); r.demo && !strings.Contains(addr, "=") && addr != "" {
		if spec = addr + "=" + config.DemoService; more {
			spec += "," + rest
		}
	}
	return config.ParseL4(spec)
}

// envName returns the environment variable of a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// environment sets the flags that env has, and returns the variables with our
// prefix that are no flag's, each with the one that it may have been meant for.
func (r *reader) environment(env map[string]string) (unknown []string) {
	known := map[string]bool{handover.Variable: true}
	var own []string // the same without the prefix, in order
	r.flags.VisitAll(func(f *pflag.Flag) {
		name := envName(f.Name)
		known[name] = true
		own = append(own, strings.TrimPrefix(name, envPrefix))
		value, ok := env[name]
		if !ok || f.Name == "help" || f.Name == "version" {
			return
		}
		r.source = name + ": "
		defer func() { r.source = "" }()
		values := []string{value}
		if isList(f) {
			values = splitList(value)
		}
		for _, v := range values {
			_ = r.flags.Set(f.Name, strings.TrimSpace(v)) // complaints are collected
		}
	})
	for name := range env {
		if strings.HasPrefix(name, envPrefix) && !known[name] {
			if near := nearest(strings.TrimPrefix(name, envPrefix), own); near != "" {
				name += " (" + envPrefix + near + "?)"
			}
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// arguments sets the flags that args has. An unknown flag is reported, and the
// rest read again without it.
func (r *reader) arguments(args []string) {
	args = slices.Clone(args)
	before := len(r.problems)
	var unknown []error
	for {
		r.problems = r.problems[:before]
		r.flags.VisitAll(func(f *pflag.Flag) {
			if isList(f) {
				f.Value.(*collector).Value.(repeatable).startOver()
			}
		})
		err := r.flags.Parse(args)
		var notExist *pflag.NotExistError
		if !errors.As(err, &notExist) {
			if err != nil {
				r.add("%v", err)
			}
			break
		}
		i := slices.IndexFunc(args, func(a string) bool { return isFlag(a, notExist) })
		if i < 0 {
			r.add("%v", err)
			break
		}
		unknown = append(unknown, fmt.Errorf("unknown flag %s%s", flagText(args[i]), r.suggest(notExist.GetSpecifiedName())))
		end := i + 1
		if end < len(args) && !strings.Contains(args[i], "=") && !strings.HasPrefix(args[end], "-") {
			end++ // its value
		}
		args = slices.Delete(args, i, end)
	}
	for _, a := range r.flags.Args() {
		r.add("unexpected argument %q; the value of a switch follows it as --flag=value", a)
	}
	r.problems = append(r.problems, unknown...)
}

// isFlag reports whether the argument a is the flag that err does not know.
func isFlag(a string, err *pflag.NotExistError) bool {
	name := err.GetSpecifiedName()
	if short := err.GetSpecifiedShortnames(); short != "" {
		return strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Contains(a, name)
	}
	return a == "--"+name || strings.HasPrefix(a, "--"+name+"=")
}

func flagText(a string) string {
	text, _, _ := strings.Cut(a, "=")
	return text
}

// suggest returns a hint at the flag that may have been meant.
func (r *reader) suggest(name string) string {
	if len(name) < 3 {
		return ""
	}
	var names, begun []string
	r.flags.VisitAll(func(f *pflag.Flag) {
		names = append(names, f.Name)
		if strings.HasPrefix(f.Name, name) {
			begun = append(begun, f.Name)
		}
	})
	near := nearest(name, names)
	if near == "" && len(begun) > 0 {
		near = begun[0]
	}
	if near == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean --%s?", near)
}

func (r *reader) add(format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf(format, args...))
}
