package ctl

import (
	"context"
	"net/url"
	"strings"
)

// orderFlag is a flag that becomes a parameter of a call.
type orderFlag struct {
	name, about string
	toggle      bool
}

// orderFlags are those of changes and questions.
func orderFlags() []orderFlag {
	return []orderFlag{
		{"reason", "why, for the journal", false},
		{"by", "who, for the journal", false},
		{"for", "after this time a change undoes itself, such as 10m", false},
		{"dry-run", "say what would change, and change nothing", true},
		{"force", "also if that leaves a service without any backend", true},
		{"local", "change this sluice alone if the fleet's store is away", true},
		{"when-back", "merge or drop such a change once it is back", false},
		{"if-match", "the version that the changes in force must have", false},
		{"deadline", "drain: when open connections are closed, such as 5m", false},
		{"weight", "add: share relative to others", false},
		{"zone", "add: availability zone", false},
		{"priority", "add: tier", false},
		{"service", "explain, connections, events: only this one", false},
		{"backend", "connections, events: only this one", false},
		{"listener", "explain, connections: only this one", false},
		{"client", "explain, connections: address, or network", false},
		{"host", "explain: of the request", false},
		{"path", "explain: of the request", false},
		{"method", "explain: of the request", false},
		{"request-id", "explain: what became of the last requests with this ID instead", false},
		{"fleet", "rate, set max-requests: for all sluices of the fleet together", true},
		{"burst", "rate: requests at once", false},
		{"sample", "access-log: one line for so many requests", false},
		{"kind", "events: change, transition, reload, contact, note", false},
		{"limit", "lists: entries at most", false},
	}
}

// params returns the parameters that were given of some flags.
func (r *run) params(flags ...string) url.Values {
	v := url.Values{}
	for _, name := range flags {
		if r.flags.Changed(name) {
			v.Set(strings.ReplaceAll(name, "-", "_"), *r.query[name])
		}
	}
	return v
}

// order returns the parameters of a change.
func (r *run) order() url.Values {
	return r.params("reason", "by", "for", "dry-run", "force", "local", "when-back", "if-match")
}

// commands are all there are, in the order of the help.
func commands() []command {
	const backend = "[SERVICE] BACKEND"
	return []command{
		{"services", "", "every service", nil, 0, 0, list("/admin/services", "services", services)},
		{"backends", "[SERVICE]", "every backend and why it is in or out", nil, 0, 1, backends},
		{"routes", "", "the HTTP routes", nil, 0, 0, list("/admin/routes", "routes", routes)},
		{"listeners", "", "the listeners", nil, 0, 0, list("/admin/listeners", "listeners", listeners)},
		{"connections", "", "open connections (--service --backend --listener --client)", nil, 0, 0, list("/admin/connections", "connections", connections, "service", "backend", "listener", "client", "limit")},
		{"end", "CONNECTION", "close a connection", nil, 1, 1, end},
		{"outliers", "", "backends that live traffic has ejected", nil, 0, 0, list("/admin/outliers", "outliers", outliers)},
		{"explain", "[HOST/PATH]", "what would become of a request (--client --method --header --service), or became of one (--request-id)", nil, 0, 1, explain},
		{"drain", backend, "stop new connections to a backend (--for --deadline)", nil, 1, 2, flat("/admin/drain", "", "deadline")},
		{"undrain", backend, "undo that", nil, 1, 2, flat("/admin/undrain", "")},
		{"weight", backend + " N|0.5x|50%", "change a weight", nil, 2, 3, flat("/admin/weight", "weight")},
		{"force", backend + " up|down", "take health's place", nil, 2, 3, flat("/admin/force", "value")},
		{"eject", backend, "take a backend out (--for)", nil, 1, 2, flat("/admin/eject", "")},
		{"readmit", backend, "end an ejection", nil, 1, 2, flat("/admin/readmit", "")},
		{"reset", backend + " breaker|ewma|warmup|all", "have what is known of a backend forgotten", nil, 2, 3, flat("/admin/reset", "value")},
		{"add", backend, "add a backend (--weight --zone --priority)", nil, 1, 2, flat("/admin/backend/add", "", "weight", "zone", "priority")},
		{"remove", backend, "remove a backend", nil, 1, 2, flat("/admin/backend/remove", "")},
		{"strategy", "[SERVICE [NAME]]", "show or switch strategies", nil, 0, 2, strategy},
		{"canary", "[[SERVICE] TARGET PERCENT | [SERVICE] off]", "show, set or clear canaries", nil, 0, 3, canary},
		{"maintenance", "SERVICE [TEXT|on|off]", "answer 503 for all of a service, with that text", nil, 1, 2, maintenance},
		{"limits", "", "the limits in force, and what part of the fleet's is taken (--service)", nil, 0, 0, list("/admin/limits", "limits", limits, "service", "limit")},
		{"rate", "SERVICE RATE|off", "bound the requests of each client (--fleet --burst)", nil, 2, 2, rate},
		{"set", "SERVICE SETTING VALUE", "change a setting of a service (--fleet)", nil, 3, 3, set},
		{"unset", "SERVICE SETTING", "undo that", nil, 2, 2, unset},
		{"route", "add SPEC | remove KEY", "add or remove a route", nil, 2, 2, item("route")},
		{"listener", `add "l4|l7 SPEC" | remove KEY`, "add or remove a listener", nil, 2, 2, item("listener")},
		{"log-level", "[LEVEL]", "show or change the level of the log", nil, 0, 1, logLevel},
		{"access-log", "on|off", "turn the access log on or off (--sample)", nil, 1, 1, accessLog},
		{"changes", "", "what operators have changed", nil, 0, 0, list("/admin/changes", "changes", changes)},
		{"undo", "ID | --all", "undo a change, or all", nil, 0, 1, undo},
		{"events", "[-f]", "what happened (--kind --service --backend), and -f what comes", nil, 0, 0, events},
		{"top", "", "services and backends, live", nil, 0, 0, top},
		{"reload", "", "read the configuration again (--dry-run)", nil, 0, 0, reload},
		{"fleet", "[--wait]", "the sluices of the fleet, and wait until all are up to date", nil, 0, 0, fleet},
		{"selftest", "", "try everything out", nil, 0, 0, selftest},
		{"advice", "", "what to look at", nil, 0, 0, list("/admin/advice", "advice", advice)},
		{"cost", "", "what the task has cost", nil, 0, 0, cost},
		{"config", "", "the effective settings", nil, 0, 0, raw("/admin/config")},
		{"completion", "bash|zsh", "a script for the shell", nil, 1, 1, completion},
	}
}

// flat is a command that changes a backend: [SERVICE] BACKEND, and a value for a
// parameter if there is a name of one.
func flat(path, value string, flags ...string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		params, args := r.order(), r.args
		for k, v := range r.params(flags...) {
			params[k] = v
		}
		if value != "" {
			params.Set(value, args[len(args)-1])
			args = args[:len(args)-1]
		}
		if len(args) == 0 {
			return usageError("which backend?")
		}
		if len(args) == 2 {
			params.Set("service", args[0])
		}
		params.Set("backend", args[len(args)-1])
		return r.change(ctx, "POST", path, params)
	}
}

func strategy(ctx context.Context, r *run) error {
	switch len(r.args) {
	case 0:
		return list("/admin/strategy", "services", strategies)(ctx, r)
	case 1:
		r.query["service"] = &r.args[0]
		_ = r.flags.Set("service", r.args[0]) // it is a flag
		return list("/admin/strategy", "services", strategies, "service")(ctx, r)
	}
	params := r.order()
	params.Set("value", r.args[1])
	return r.change(ctx, "PUT", servicePath(r.args[0], "strategy"), params)
}

func servicePath(service, what string) string {
	return "/admin/services/" + url.PathEscape(service) + "/" + url.PathEscape(what)
}

func canary(ctx context.Context, r *run) error {
	params, args := r.order(), r.args
	switch {
	case len(args) == 0:
		return list("/admin/canary", "canaries", canaries)(ctx, r)
	case args[len(args)-1] == "off":
		if len(args) == 2 {
			params.Set("service", args[0])
		}
		return r.change(ctx, "POST", "/admin/canary/clear", params)
	case len(args) == 1:
		return usageError("want sluice ctl canary [SERVICE] TARGET PERCENT")
	}
	if len(args) == 3 {
		params.Set("service", args[0])
	}
	params.Set("target", args[len(args)-2])
	params.Set("percent", strings.TrimSuffix(args[len(args)-1], "%"))
	return r.change(ctx, "POST", "/admin/canary/set", params)
}

func maintenance(ctx context.Context, r *run) error {
	params := r.order()
	switch {
	case len(r.args) == 1:
		params.Set("value", "on")
	case r.args[1] == "off":
		return r.change(ctx, "DELETE", servicePath(r.args[0], "maintenance"), params)
	default:
		params.Set("value", r.args[1])
	}
	return r.change(ctx, "PUT", servicePath(r.args[0], "maintenance"), params)
}

func rate(ctx context.Context, r *run) error {
	params := r.order()
	params.Set("value", r.args[1])
	for k, v := range r.params("fleet") {
		params[k] = v
	}
	if r.flags.Changed("burst") {
		params.Set("rate_burst", *r.query["burst"])
	}
	return r.change(ctx, "PUT", servicePath(r.args[0], "rate"), params)
}

func set(ctx context.Context, r *run) error {
	params := r.order()
	for k, v := range r.params("fleet") {
		params[k] = v
	}
	params.Set("value", r.args[2])
	return r.change(ctx, "PUT", servicePath(r.args[0], r.args[1]), params)
}

func unset(ctx context.Context, r *run) error {
	return r.change(ctx, "DELETE", servicePath(r.args[0], r.args[1]), r.order())
}

// item adds or removes a route or a listener.
func item(what string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		params := r.order()
		params.Set(what, r.args[1])
		switch r.args[0] {
		case "add", "set":
			return r.change(ctx, "POST", "/admin/"+what+"s", params)
		case "remove", "delete":
			return r.change(ctx, "DELETE", "/admin/"+what+"s", params)
		}
		return usageError("want sluice ctl " + what + " add SPEC, or remove KEY")
	}
}

func logLevel(ctx context.Context, r *run) error {
	if len(r.args) == 0 {
		return raw("/admin/log-level")(ctx, r)
	}
	params := r.order()
	params.Set("level", r.args[0])
	return r.change(ctx, "PUT", "/admin/log-level", params)
}

func accessLog(ctx context.Context, r *run) error {
	params := r.order()
	if r.flags.Changed("sample") {
		params.Set("value", *r.query["sample"])
		if err := r.change(ctx, "PUT", "/admin/process/access_log_sample", params); err != nil {
			return err
		}
	}
	params.Set("value", r.args[0])
	return r.change(ctx, "PUT", "/admin/process/access_log", params)
}

func undo(ctx context.Context, r *run) error {
	params := r.order()
	switch {
	case r.all == (len(r.args) == 1):
		return usageError("want sluice ctl undo ID, as changes shows it, or --all")
	case !r.all:
		params.Set("id", r.args[0])
	}
	return r.change(ctx, "DELETE", "/admin/changes", params)
}

func end(ctx context.Context, r *run) error {
	body, err := r.client.call(ctx, "DELETE", "/admin/connections/"+url.PathEscape(r.args[0]), nil)
	return r.done(body, err, "closed")
}
