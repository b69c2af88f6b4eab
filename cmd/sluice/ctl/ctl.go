package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
)

// The exit codes, which scripts depend on.
const (
	OK       = 0
	Failed   = 1 // no answer, an error of the server, or a self-test that fails
	Usage    = 2 // wrong arguments, or a value that is refused as such (400)
	Conflict = 3 // it cannot be done as things are (409); --force may
	Stale    = 4 // somebody else has changed something (412)
	Denied   = 5 // no token, or one that may not (401, 403)
	NotFound = 6 // there is no such thing (404)
	TimedOut = 7 // what was waited for did not come about in time
)

// Place is where to ask, as far as others have said so.
type Place struct {
	Addr, Token, TokenFile string
	// Cert is the file of the certificate that is shown there; empty for none.
	Cert string
}

// Env is what a run is given.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string
	// Default is where to ask if nothing else says so.
	Default Place
}

// run is one run of a command.
type run struct {
	env    Env
	flags  *pflag.FlagSet
	client *client
	args   []string

	json   bool
	follow bool
	wait   bool
	all    bool
	query  map[string]*string
}

// command is a command.
type command struct {
	name, args, about string
	flags             []string // beside those that all have
	least, most       int      // arguments
	do                func(context.Context, *run) error
}

// Run runs a command and returns its exit code.
func Run(args []string, env Env) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := start(ctx, args, env)
	var refused *refusal
	var wrong usageError
	switch {
	case err == nil, errors.Is(err, pflag.ErrHelp):
		return OK
	case errors.As(err, &wrong):
		fmt.Fprintf(env.Stderr, "sluice ctl: %v\nsluice ctl: see sluice ctl --help\n", err)
		return Usage
	case errors.As(err, &refused):
		fmt.Fprintf(env.Stderr, "sluice ctl: %v\n", err)
		return refused.exit()
	case errors.Is(err, errTimedOut):
		fmt.Fprintf(env.Stderr, "sluice ctl: %v\n", err)
		return TimedOut
	case errors.Is(err, errUnwell):
		return Failed
	case errors.Is(err, context.Canceled):
		return OK // who follows something ends it so
	}
	fmt.Fprintf(env.Stderr, "sluice ctl: %v\n", err)
	return Failed
}

var (
	errTimedOut = errors.New("it did not come about in time")
	errUnwell   = errors.New("not well")
)

// usageError is a mistake of the caller's.
type usageError string

func (e usageError) Error() string { return string(e) }

func start(ctx context.Context, args []string, env Env) error {
	r := &run{env: env, query: make(map[string]*string)}
	r.flags = pflag.NewFlagSet("sluice ctl", pflag.ContinueOnError)
	r.flags.SetOutput(io.Discard)
	r.flags.SortFlags = false
	var place connection
	var output string
	f := r.flags
	f.StringVar(&place.addr, "addr", "", "where the control plane is: HOST:PORT, https://HOST:PORT or unix:PATH")
	f.StringVar(&place.token, "token", "", "its token; better by SLUICE_CTL_TOKEN or --token-file")
	f.StringVar(&place.tokenFile, "token-file", "", "file with the token")
	f.StringVar(&place.file, "file", "", "YAML file with addr, token, token-file, ca, cert, key")
	f.StringVar(&place.ca, "ca", "", "file with the authorities that are believed, for https")
	f.StringVar(&place.cert, "cert", "", "file with a client's certificate, for https")
	f.StringVar(&place.key, "key", "", "file with its key, unless it is in the same")
	f.DurationVar(&place.timeout, "timeout", defaultTimeout, "time that an answer, or what is waited for, may take")
	f.StringVarP(&output, "output", "o", "table", "table or json")
	for _, p := range orderFlags() {
		r.query[p.name] = f.String(p.name, "", p.about)
		if p.toggle {
			f.Lookup(p.name).NoOptDefVal = "true"
		}
	}
	f.BoolVarP(&r.follow, "follow", "f", false, "events: go on with what comes")
	f.BoolVar(&r.wait, "wait", false, "fleet: until all have applied the latest changes")
	f.BoolVar(&r.all, "all", false, "undo: everything")
	headers := f.StringArray("header", nil, "explain: NAME:VALUE, repeatable")
	err := f.Parse(args)
	if errors.Is(err, pflag.ErrHelp) || err == nil && f.NArg() == 0 {
		help(env.Stdout, f)
		if err == nil {
			return usageError("no command")
		}
		return err
	}
	if err != nil {
		return usageError(err.Error())
	}
	r.args = f.Args()[1:]
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == f.Arg(0) })
	switch {
	case i < 0 && elsewhere(f.Arg(0)) != "":
		return usageError(fmt.Sprintf("unknown command %q; here it is %s", f.Arg(0), elsewhere(f.Arg(0))))
	case i < 0:
		return usageError(fmt.Sprintf("unknown command %q; known are %s", f.Arg(0), strings.Join(names(all), ", ")))
	case len(r.args) < all[i].least || len(r.args) > all[i].most:
		return usageError(fmt.Sprintf("want sluice ctl %s %s", all[i].name, all[i].args))
	case output != "table" && output != "json":
		return usageError(fmt.Sprintf("--output: %q is neither table nor json", output))
	}
	r.json = output == "json"
	for _, h := range *headers {
		r.client = nil
		if !strings.Contains(h, ":") {
			return usageError(fmt.Sprintf("--header: %q is not NAME:VALUE", h))
		}
	}
	if all[i].name == "completion" {
		return all[i].do(ctx, r)
	}
	if r.client, err = place.open(env); err != nil {
		return err
	}
	r.client.headers = *headers
	return all[i].do(ctx, r)
}

// elsewhere returns what is here what other balancers have a word for.
func elsewhere(word string) string {
	switch word {
	case "disable", "maint", "cordon":
		return "drain for one backend, or maintenance for a service"
	case "enable", "ready", "uncordon":
		return "undrain"
	case "show", "stat", "stats", "status", "info", "clusters", "servers":
		return "backends, services, connections or top"
	case "shutdown", "kill":
		return "end CONNECTION"
	case "clear":
		return "undo, readmit or reset"
	case "get":
		return "backends, limits or config"
	case "logging":
		return "log-level"
	case "health", "ping":
		return "selftest, or sluice healthcheck"
	}
	return ""
}

func names(all []command) (names []string) {
	for _, c := range all {
		names = append(names, c.name)
	}
	return names
}

// help writes what there is.
func help(w io.Writer, f *pflag.FlagSet) {
	fmt.Fprintf(w, "sluice ctl asks and changes a sluice that runs.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-46s %s\n", strings.TrimSpace(c.name+" "+c.args), c.about)
	}
	fmt.Fprintf(w, `
SERVICE may be left out where one alone can be meant. Where to ask, and with which
token: the flags, then SLUICE_CTL_ADDR, SLUICE_CTL_TOKEN, SLUICE_CTL_TOKEN_FILE, then
the file (SLUICE_CTL_FILE, or ctl.yaml in the user's directory for sluice's settings),
then what SLUICE_ADMIN, SLUICE_ADMIN_TOKEN and the file of SLUICE_CONFIG say, as for
the sluice of this machine.

%s
Exit codes: 0 done, 1 failed, 2 wrong arguments or values, 3 refused as things are
(--force may help), 4 somebody else has changed something, 5 not allowed, 6 there is
no such thing, 7 not in time.
`, f.FlagUsagesWrapped(92))
}
