package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"sluice/engine"
	"sluice/pkg/balance"
	"sluice/pkg/config"
	"sluice/pkg/handover"
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
	version bool
	ecs     string   // address of the task's metadata on ECS, or empty
	unknown []string // environment variables with our prefix that are no flag's

	args, environ []string // what all that was read from
}

// parseCommand reads the configuration file, the environment and the command
// line, each winning over the one before. Its error joins all that is wrong;
// pflag.ErrHelp alone means that help was asked for.
func parseCommand(args, environ []string) (*command, error) {
	env := make(map[string]string)
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}

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
	unknown := r.environment(env)
	r.arguments(args)
	for _, name := range inFile {
		if f := r.flags.Lookup(name); f != nil {
			f.Changed = true // it was set, wherever
		}
	}
	cmd := &command{config: *r.config, flags: r.flags, file: r.file, watch: r.watch, dryRun: r.dryRun, version: r.version, ecs: env[zone.ECSVariable], unknown: unknown, args: args, environ: environ}
	if cmd.version {
		return cmd, nil
	}
	if cmd.config.Consul == "" {
		cmd.config.Consul = env["CONSUL_HTTP_ADDR"]
	}
	if r.watch && r.file == "" {
		r.add("--watch-config: there is no file to watch without --config")
	}
	unread := errors.Join(append([]error{fileErr}, r.problems...)...)
	problems := cmd.config.Validate()
	if unread != nil {
		// What could not be read may be what seems to be missing.
		problems = withoutLists(problems)
	}
	return cmd, errors.Join(unread, problems, engine.Check(&cmd.config))
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

// reader sets a configuration from flags and collects every complaint instead
// of stopping at the first.
type reader struct {
	config   *config.Config
	flags    *pflag.FlagSet
	file     string
	watch    bool
	dryRun   bool
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

// define declares the flags in the order in which help shows them: what runs,
// where members come from, and then along the walk of a connection.
func (r *reader) define() {
	c, f := r.config, r.flags
	f.BoolVar(&c.Demo, "demo", c.Demo, "balance over three echo backends in the process: HTTP on 127.0.0.1:8080, TCP on 127.0.0.1:8081; needs nothing else")
	list(f, &c.L4, config.ParseL4, "l4", "ADDR=SERVICE[,key=value...]", "TCP listener for a service, such as :5432=postgres; repeatable. Connections beyond a limit are closed as they come")
	list(f, &c.L7, config.ParseL7, "l7", "ADDR[,key=value...]", "HTTP listener, such as :80; repeatable. Needs --route")
	list(f, &c.Routes, config.ParseRoute, "route", "[HOST]/PATH=SERVICE[,key=value...]", "HTTP route: the requests that lead to a service, by host (exact, then *.example.com, then any) and longest path; repeatable. /=web is the default route")
	list(f, &c.Backends, config.ParseBackend, "backend", "SERVICE=HOST:PORT[,weight=N,zone=Z]", "static member of a service; repeatable")
	list(f, &c.Services, config.ParseService, "service", "SERVICE[,key=value...]", "settings of one service; repeatable. Its members come from every source that is named")
	list(f, &c.Auths, config.ParseAuth, "auth", "NAME=FILE[,key=value...]", "file of users, as Apache's htpasswd writes it (bcrypt, apr1, SHA and others), that --l7 or --route asks clients for by auth=NAME; repeatable. It is read again when it changes")
	f.StringVar(&c.Strategy, "strategy", c.Strategy, "how a backend is chosen, for services that do not say: "+strings.Join(balance.Names(), ", ")+". All honour weights")
	f.StringVar(&c.Consul, "consul", c.Consul, "HTTP address of Consul, such as 127.0.0.1:8500; services without --backend are looked up there. Several, separated by commas, share the load and stand in for each other; --register goes to the first. CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_CACERT and the others work as for Consul's own tools")
	f.StringVar(&c.ConsulDatacenter, "consul-datacenter", c.ConsulDatacenter, "Consul datacenter in which services are looked up that do not say; empty means the agent's own")
	list(f, &c.Registers, config.ParseRegister, "register", "SERVICE[,key=value...]", "register this process as a service in Consul, whose agent is at --consul, once it is ready, and deregister it first thing on SIGTERM; repeatable")
	list(f, &c.DNSServers, config.ParseDNSServer, "dns-server", "IP[:PORT]", "DNS server for dns= of --service; repeatable, asked in order. None means those of /etc/resolv.conf")
	f.DurationVar(&c.DNSMinTTL, "dns-min-ttl", c.DNSMinTTL, "time for which a resolved name holds at least, whatever its records say")
	f.DurationVar(&c.DNSMaxTTL, "dns-max-ttl", c.DNSMaxTTL, "and at most")
	f.DurationVar(&c.DNSKeep, "dns-keep", c.DNSKeep, "time that answers must say that a name has no records before its members go, and for which members stay that doubtful answers leave out while their check passes; 0 means that each answer is believed")
	f.StringVar(&c.ConsulTags, "consul-tags", c.ConsulTags, "build routes and TCP listeners from the tags of instances in Consul that begin with this, in Fabio's form; Fabio's own is urlprefix-. Empty means none")
	decimalVar(f, &c.ConsulMaxConns, "consul-max-conns", c.ConsulMaxConns, "connections to each Consul agent at once, 16 at least: an agent allows 200 from one address, to all programs there together. While there are more services than connections, those with traffic have a query of their own, and the others share a few")
	f.DurationVar(&c.ConsulKeep, "consul-keep", c.ConsulKeep, "time that members stay in use when Consul loses all or most of a service at once, as after a restart without its data, while they pass sluice's own check; 0 means not at all")
	f.StringVar(&c.Zone, "zone", c.Zone, "availability zone that sluice runs in: backends of this zone are preferred as far as they can bear it, if a sluice runs in each. \"auto\" asks ECS's task metadata, or Consul's agent (node metadata sluice-zone, or the node's locality). Strategies that hash ignore zones. Empty means no preference")

	f.StringVar(&c.Admin, "admin", c.Admin, `address of the control plane (metrics, health, backends, pprof); "off" turns it off. An address that is not loopback needs --admin-token or --admin-insecure`)
	f.StringVar((*string)(&c.AdminToken), "admin-token", string(c.AdminToken), "bearer token that callers of the control plane must present; better set as "+envPrefix+"ADMIN_TOKEN, which no process list shows")
	f.BoolVar(&c.AdminInsecure, "admin-insecure", c.AdminInsecure, "allow a control plane that others can reach without a token")
	f.StringVar(&c.HealthAddr, "health-addr", c.HealthAddr, "address that answers only /healthz and /readyz, without a token, for a load balancer's probes; empty means none")

	f.DurationVar(&c.HealthInterval, "health-interval", c.HealthInterval, "time between two checks of a backend")
	f.DurationVar(&c.HealthFastInterval, "health-fast-interval", c.HealthFastInterval, "time between checks while results contradict the backend's state, and after a failed connect")
	f.DurationVar(&c.HealthDownInterval, "health-down-interval", c.HealthDownInterval, "time between checks of a backend that is down")
	f.DurationVar(&c.HealthTimeout, "health-timeout", c.HealthTimeout, "time that one check may take")
	decimalVar(f, &c.HealthRise, "health-rise", c.HealthRise, "checks in a row that must pass before a backend that is down is used again")
	decimalVar(f, &c.HealthFall, "health-fall", c.HealthFall, "checks in a row that must fail before a backend that is up is no longer used")
	percentVar(f, &c.MaxEjection, "max-ejection", c.MaxEjection, "how many of a service's backends, in percent, may be out at a time because live traffic failed on them 5 times in a row; one may always be, unless it is the last. 0 means none")
	f.DurationVar(&c.EjectionTime, "ejection-time", c.EjectionTime, "time for which such a backend is out the first time; twice that the second time, and so on, up to 5m. Checks that pass end it sooner, if they test what failed")
	percentVar(f, &c.PanicThreshold, "panic-threshold", c.PanicThreshold, "part of a service's backends, in percent, below which all of them are used, good or bad, but those that the registry takes out; 0 means never")
	f.DurationVar(&c.SlowStart, "slow-start", c.SlowStart, "time in which a backend that comes back, or joins others, goes from a tenth of its share of new connections to all of it; 0 means that it gets all at once")

	f.StringVar(&c.L4Driver, "l4-driver", c.L4Driver, "what moves the bytes of TCP connections: epoll (event loops, Linux), copy (two goroutines a connection) or auto, epoll where there is one")
	f.DurationVar(&c.L4ConnectTimeout, "l4-connect-timeout", c.L4ConnectTimeout, "time that one attempt to connect to a backend may take; another backend is tried after it")
	f.DurationVar(&c.L4ConnectDeadline, "l4-connect-deadline", c.L4ConnectDeadline, "time that all attempts of one connection may take together")
	f.DurationVar(&c.L4HedgeAfter, "l4-hedge-after", c.L4HedgeAfter, "time that a backend may take to answer a connect before a second one is tried beside it; the first to answer wins. 0 means never")
	f.DurationVar(&c.L4IdleTimeout, "l4-idle-timeout", c.L4IdleTimeout, "end a TCP connection after so long without a byte in either direction; 0 means never. A load balancer in front has a limit of its own, such as 350s for an NLB")

	f.DurationVar(&c.L4UserTimeout, "l4-user-timeout", c.L4UserTimeout, "end a TCP connection whose peer acknowledged nothing, or kept its window shut, for so long (TCP_USER_TIMEOUT); 0 means the system's limits")
	f.DurationVar(&c.L4FINTimeout, "l4-fin-timeout", c.L4FINTimeout, "the same once one side has closed its direction; 0 means as --l4-idle-timeout")
	percentVar(f, &c.RetryBudget, "retry-budget", c.RetryBudget, "retries and hedged connects that a service may make, in percent of first attempts; 10 a second are always allowed")

	f.StringVar(&c.L7Driver, "l7-driver", c.L7Driver, "what serves HTTP connections: loop (event loops), fasthttp (fasthttp's server, a goroutine for each request) or auto, loop on Linux and fasthttp elsewhere")
	f.DurationVar(&c.L7ConnectTimeout, "l7-connect-timeout", c.L7ConnectTimeout, "time that one attempt to connect to a backend may take; another backend is tried after it")
	f.DurationVar(&c.L7HeadTimeout, "l7-head-timeout", c.L7HeadTimeout, "time in which the whole head of a request must arrive, else 408")
	f.DurationVar(&c.L7BodyTimeout, "l7-body-timeout", c.L7BodyTimeout, "time without progress after which a body that is under way, either way, is given up")
	f.DurationVar(&c.L7ResponseTimeout, "l7-response-timeout", c.L7ResponseTimeout, "time from the end of a request to the head of its response, else 504")
	f.DurationVar(&c.L7IdleTimeout, "l7-idle-timeout", c.L7IdleTimeout, "time that a client's connection may wait for its next request")
	f.DurationVar(&c.L7BackendIdleTimeout, "l7-backend-idle-timeout", c.L7BackendIdleTimeout, "time that a connection to a backend is kept without a request, or less if the backend says so (Keep-Alive: timeout=); 0 means that none is kept. It should be below the backends' own limit")
	f.DurationVar(&c.L7TotalTimeout, "l7-total-timeout", c.L7TotalTimeout, "time that a request and its response may take altogether, else 408 or 504, or the response breaks off; upgraded connections are none. 0 means no limit")
	decimalVar(f, &c.L7MinBodyRate, "l7-min-body-rate", c.L7MinBodyRate, "bytes a second that a client must send or take of a body, measured over 20s in which it alone is waited for; 0 means any number")
	f.DurationVar(&c.L7UpgradeIdleTimeout, "l7-upgrade-idle-timeout", c.L7UpgradeIdleTimeout, "time without a byte, either way, after which an upgraded connection (WebSocket) is reset; 0 means never")
	f.DurationVar(&c.L7UpgradeFINTimeout, "l7-upgrade-fin-timeout", c.L7UpgradeFINTimeout, "the same once one side has closed its direction; 0 means as --l7-upgrade-idle-timeout")
	f.DurationVar(&c.L7LingerTimeout, "l7-linger-timeout", c.L7LingerTimeout, "time without a byte for which a client that goes on sending after an early answer, such as 413, is listened to, lest it loses that answer")
	f.DurationVar(&c.L7LingerTime, "l7-linger-time", c.L7LingerTime, "and altogether")
	f.DurationVar(&c.L7FINTimeout, "l7-fin-timeout", c.L7FINTimeout, "time without a byte of the response after which a client that has closed its direction is taken for gone, and its request cancelled; 0 means never")
	list(f, &c.TrustedProxies, config.ParseCIDR, "trusted-proxy", "CIDR", "network of proxies in front whose X-Forwarded-* headers are believed, such as 10.0.0.0/8; repeatable. From elsewhere they are replaced")

	f.DurationVar(&c.HandshakeTimeout, "handshake-timeout", c.HandshakeTimeout, "time for what comes before a connection can be served: the PROXY header, the TLS handshake, or its first message where sni= asks for it")
	f.DurationVar(&c.BackendDrainTimeout, "backend-drain-timeout", c.BackendDrainTimeout, "time that TCP connections, upgraded ones and HTTP responses that go on (server-sent events) live on after their backend was deregistered or put into maintenance; then they are closed, spread over a tenth of that; 0 means for ever")

	f.StringVar((*string)(&c.StickySecret), "sticky-secret", string(c.StickySecret), "secret of which the values of sticky cookies are made, the same for all sluices in front of a service; better set as "+envPrefix+"STICKY_SECRET. Without one, whoever knows a backend's ID can tell its cookie")

	f.DurationVar(&c.DrainDelay, "drain-delay", c.DrainDelay, "on SIGTERM, time during which /readyz says no but connections are still accepted, so that those in front can turn away")
	f.DurationVar(&c.DrainTimeout, "drain-timeout", c.DrainTimeout, "time that open connections then have to finish. With --drain-delay it must stay below what the supervisor grants, 30s on ECS")
	f.DurationVar(&c.HandoverTimeout, "handover-timeout", c.HandoverTimeout, "on SIGUSR2, once a new process of the same program and settings has taken the listeners over, time that the connections of the old one have to finish")

	f.StringVar(&c.LogFormat, "log-format", c.LogFormat, "json or text, on stderr")
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	f.BoolVar(&c.AccessLog, "access-log", c.AccessLog, "log every HTTP request and every TCP connection when it has ended. Nobody waits for it: what the output does not take in time is dropped and counted")
	f.StringVar((*string)(&c.AccessLogFields), "access-log-fields", string(c.AccessLogFields), "with --access-log, what the lines of requests have too, separated by commas: query, user, user-agent, referer, and request:NAME or response:NAME for any other header")
	decimalVar(f, &c.AccessLogSample, "access-log-sample", c.AccessLogSample, "with --access-log, log one in so many, and all that failed")

	f.StringVar(&r.file, "config", "", "YAML or JSON file with any of these settings, keys named like the flags. The environment wins over it, and the command line over both")
	f.BoolVar(&r.watch, "watch-config", false, "read that file, and the environment, again when the file has changed, as SIGHUP does: services, routes, listeners, members, limits and certificates become as it says, and what it does not change is not touched. A file that is wrong changes nothing")
	f.BoolVar(&r.dryRun, "dry-run", false, "check the configuration, say whether it is good, and exit")
	f.BoolVar(&r.version, "version", false, "print the version and exit")
	f.BoolVarP(&r.help, "help", "h", false, "print this help and exit")
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

// collector is a flag's value that keeps a complaint instead of returning it.
type collector struct {
	pflag.Value
	name string
	r    *reader
}

func (c *collector) Set(s string) error {
	old := ""
	_, list := c.Value.(repeatable)
	if !list { // which may be long, and takes nothing that it cannot read
		old = c.Value.String()
	}
	if err := c.Value.Set(s); err != nil {
		if !list {
			_ = c.Value.Set(old) // a number that cannot be read has become 0
		}
		var ne *strconv.NumError
		if errors.As(err, &ne) {
			err = ne.Err // the rest names functions of Go
		}
		if isSecret(c.name) {
			s = "***"
		}
		c.r.add("%s--%s: %q: %v", c.r.source, c.name, config.Shown(s), err)
	}
	return nil
}

// isSecret reports whether a flag's value must not be shown.
func isSecret(flag string) bool { return flag == "admin-token" || flag == "sticky-secret" }

// listValue is a repeatable flag. The first value from a source replaces all
// from the sources before it.
type listValue[T any] struct {
	dst      *[]T
	parse    func(string) (T, error)
	kind     string
	appended bool
}

func list[T any](f *pflag.FlagSet, dst *[]T, parse func(string) (T, error), name, kind, usage string) {
	f.Var(&listValue[T]{dst: dst, parse: parse, kind: kind}, name, usage)
}

func isList(f *pflag.Flag) bool {
	_, ok := f.Value.(*collector).Value.(repeatable)
	return ok
}

// repeatable is a flag's value that is replaced by the first value from each
// source and grows by the others.
type repeatable interface{ startOver() }

func (l *listValue[T]) startOver() { l.appended = false }

func (l *listValue[T]) Set(s string) error {
	v, err := l.parse(s)
	if err != nil {
		return err
	}
	if !l.appended {
		*l.dst = nil
		l.appended = true
	}
	*l.dst = append(*l.dst, v)
	return nil
}

func (l *listValue[T]) Type() string { return l.kind }

// String returns the list as it may be shown.
func (l *listValue[T]) String() string {
	if l.dst == nil || len(*l.dst) == 0 {
		return ""
	}
	var parts []string
	for _, v := range *l.dst {
		parts = append(parts, config.Shown(fmt.Sprint(v)))
	}
	return strings.Join(parts, ";")
}

// usage writes the help.
func usage(w io.Writer) {
	r := newReader(config.Default())
	fmt.Fprint(w, `sluice balances TCP and HTTP over services registered in Consul.

  sluice --demo
  sluice --l4 :5432=postgres --consul 127.0.0.1:8500
  sluice --l7 :80 --route /=web --backend web=10.0.0.1:8000 --backend web=10.0.0.2:8000
  sluice healthcheck      asks the sluice of this machine how it is, see its --help

Every flag is also an environment variable, --l4-idle-timeout as
`+envName("l4-idle-timeout")+`; the values of repeatable flags are separated there by
a semicolon or a new line.

`)
	told := make(map[key]bool)
	r.flags.VisitAll(func(f *pflag.Flag) {
		head := "  --" + f.Name
		if f.Shorthand != "" {
			head = "  -" + f.Shorthand + ", --" + f.Name
		}
		kind := f.Value.Type()
		if kind == "string" || kind == "int" || kind == "duration" {
			kind = strings.ToUpper(kind)
		}
		if kind != "bool" {
			head += " " + kind
			if f.DefValue != "" {
				head += "   (default " + f.DefValue + ")"
			}
		}
		fmt.Fprintf(w, "%s\n%s\n", head, wrap(f.Usage, 8, 92))
		var again []string
		for _, k := range keysOf(f.Name) {
			if told[k] {
				again = append(again, k.form)
				continue
			}
			told[k] = true
			fmt.Fprintln(w, wrap(k.form+": "+k.usage, 10, 92))
		}
		if len(again) > 0 {
			fmt.Fprintln(w, wrap("and, as above, "+strings.Join(again, ", "), 10, 92))
		}
	})
	fmt.Fprint(w, `
Exit codes: 0 stopped as asked, 1 failed while running, 2 bad configuration.
`)
}

// wrap breaks text into lines of at most width columns, each indented.
func wrap(text string, indent, width int) string {
	var lines []string
	line := strings.Repeat(" ", indent-1)
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = strings.Repeat(" ", indent-1)
		}
		line += " " + word
	}
	return strings.Join(append(lines, line), "\n")
}
