package ctl

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// change makes a call that changes something, and shows what it did.
func (r *run) change(ctx context.Context, method, path string, params url.Values) error {
	body, err := r.client.call(ctx, method, path, params)
	if err != nil || r.json {
		return r.done(body, err, "")
	}
	o, err := decode(body)
	if err != nil {
		return err
	}
	would := ""
	if o["dry_run"] == true {
		would = "would be "
	}
	if o["changed"] != true {
		fmt.Fprintln(r.env.Stdout, "it is so already")
		return nil
	}
	for _, e := range o.objects("effects") {
		before, after := e["before"] != nil, e["after"] != nil
		what := map[bool]map[bool]string{true: {true: "changed", false: "undone"}, false: {true: "in force", false: "not in force"}}[before][after]
		line := clean(e.text("id")) + ": " + would + what
		if c, ok := e["after"].(map[string]any); ok {
			if v := object(c).text("value"); v != "-" {
				line += ": " + clean(v)
			}
			if until := object(c).text("expires"); until != "-" {
				line += ", until " + until
			}
		}
		fmt.Fprintln(r.env.Stdout, line)
	}
	warnings, _ := o["warnings"].([]any)
	for _, w := range warnings {
		fmt.Fprintf(r.env.Stderr, "sluice ctl: %s\n", clean(fmt.Sprint(w)))
	}
	if o["local"] == true {
		fmt.Fprintln(r.env.Stderr, "sluice ctl: on this sluice alone: "+clean(o.text("kept")))
	}
	return nil
}

// done shows what was answered to scripts, an error as well, or a word to people.
func (r *run) done(body []byte, err error, word string) error {
	var refused *refusal
	if r.json && (err == nil || errors.As(err, &refused)) {
		_, _ = r.env.Stdout.Write(body) // nobody is left to tell
		return err
	}
	if err == nil {
		fmt.Fprintln(r.env.Stdout, word)
	}
	return err
}

func reload(ctx context.Context, r *run) error {
	body, err := r.client.call(ctx, "POST", "/admin/reload", r.params("dry-run", "reason", "by"))
	if err != nil || r.json {
		return r.done(body, err, "")
	}
	o, err := decode(body)
	if err != nil {
		return err
	}
	all := o.objects("differences")
	var rows [][]string
	for _, d := range all {
		rows = append(rows, []string{d.text("what"), d.text("before"), d.text("after")})
	}
	if len(rows) == 0 {
		fmt.Fprintln(r.env.Stdout, "nothing is otherwise")
	} else if err := table(r.env.Stdout, "WHAT BEFORE AFTER", rows); err != nil {
		return err
	}
	if restart := o.text("need_restart"); restart != "-" {
		fmt.Fprintln(r.env.Stderr, "sluice ctl: these count from the next start on: "+clean(restart))
	}
	return nil
}

// waitEvery is how often a fleet is looked at that is waited for.
const waitEvery = 200 * time.Millisecond

func fleet(ctx context.Context, r *run) error {
	end := time.Now().Add(r.client.timeout)
	for {
		o, body, err := r.get(ctx, "/admin/fleet", "tasks", nil)
		switch {
		case err != nil:
			return err
		case r.wait && o["applied"] != true && time.Now().Before(end):
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(waitEvery):
			}
			continue
		}
		if r.json {
			_, err = r.env.Stdout.Write(body)
		} else {
			err = showFleet(r, o)
		}
		if err == nil && r.wait && o["applied"] != true {
			return errTimedOut
		}
		return err
	}
}

func showFleet(r *run, o object) error {
	var rows [][]string
	for _, t := range o.objects("tasks") {
		f := object{}
		if m, ok := t["figures"].(map[string]any); ok {
			f = m
		}
		id := t.text("id")
		if t["self"] == true {
			id += " *"
		}
		state := map[bool]string{true: "ready", false: "not ready"}[t["ready"] == true]
		if t["silent"] == true {
			state = "silent"
		}
		rows = append(rows, []string{id, t.text("admin_address"), t.text("zone"), t.text("version"), t.age("started"), state, t.text("applied_version"), t.text("up_to_date"),
			t.text("local_changes"), f.text("open_connections"), f.text("requests_per_second"), f.text("backends_usable") + "/" + f.text("backends")})
	}
	err := table(r.env.Stdout, "TASK ADMIN ZONE VERSION UP STATE APPLIED UP_TO_DATE LOCAL OPEN REQ/S BACKENDS", rows)
	if o.text("fleet") == "-" {
		fmt.Fprintln(r.env.Stdout, "this sluice is in no fleet (--fleet); it has applied version "+o.text("version")+": "+o.text("applied"))
		return err
	}
	fmt.Fprintf(r.env.Stdout, "fleet %s, version %s, applied by all: %s\n", clean(o.text("fleet")), o.text("version"), o.text("applied"))
	if trouble := o.text("trouble"); trouble != "-" {
		fmt.Fprintln(r.env.Stderr, "sluice ctl: "+clean(trouble))
	}
	return err
}

func selftest(ctx context.Context, r *run) error {
	body, err := r.client.call(ctx, "POST", "/admin/selftest", nil)
	var refused *refusal
	if errors.As(err, &refused) && refused.status == 503 && refused.detail == "" {
		err = nil // it is an answer as well
	}
	if err != nil {
		return err
	}
	o, err := decode(body)
	if err != nil {
		return err
	}
	if r.json {
		_, err = r.env.Stdout.Write(body)
	} else {
		err = table(r.env.Stdout, "OK WHAT DETAIL SECONDS", rowsOf(o.objects("checks"), fields("", "ok", "name", "detail", "elapsed_seconds")))
		fmt.Fprintln(r.env.Stdout, clean(o.text("verdict")))
	}
	if err == nil && o["ok"] != true {
		return errUnwell
	}
	return err
}

func rowsOf(all []object, c columns) (rows [][]string) {
	for _, o := range all {
		rows = append(rows, c.row(o))
	}
	return rows
}

func cost(ctx context.Context, r *run) error {
	o, body, err := r.get(ctx, "/admin/cost", "items", nil)
	if err != nil {
		return err
	}
	if r.json {
		_, err = r.env.Stdout.Write(body)
		return err
	}
	if err := table(r.env.Stdout, "ITEM AMOUNT UNIT PRICE COST", rowsOf(o.objects("items"), fields("", "item", "amount", "unit", "price", "cost"))); err != nil {
		return err
	}
	fmt.Fprintf(r.env.Stdout, "%s %s so far, %s an hour without traffic\n", o.text("estimated_cost"), o.text("currency"), o.text("per_hour"))
	return nil
}

// explain asks what would become of a request, which may be given as HOST/PATH.
func explain(ctx context.Context, r *run) error {
	params := r.params("client", "host", "path", "method", "service", "listener", "request-id")
	if len(r.args) == 1 {
		target := r.args[0]
		if i := strings.Index(target, "://"); i >= 0 {
			target = target[i+3:]
		}
		host, path, _ := strings.Cut(target, "/")
		if host != "" {
			params.Set("host", host)
		}
		params.Set("path", "/"+path)
	}
	for _, h := range r.client.headers {
		params.Add("header", h)
	}
	o, body, err := r.get(ctx, "/admin/explain", "backends", params)
	if err != nil || r.json {
		return r.done(body, err, "")
	}
	steps, _ := o["steps"].([]any)
	for i, s := range steps {
		fmt.Fprintf(r.env.Stdout, "%d. %s\n", i+1, clean(fmt.Sprint(s)))
	}
	fmt.Fprintf(r.env.Stdout, "%s\n", clean(o.text("verdict")))
	if all := o.objects("backends"); len(all) > 0 {
		fmt.Fprintln(r.env.Stdout)
		if err := table(r.env.Stdout, "BACKEND ELIGIBLE SHARE WEIGHT ACTIVE LATENCY_MS ERRORS DISTRUST REASON",
			rowsOf(all, fields("", "address", "eligible", "share", "weight", "active", "latency_ms", "error_rate", "distrust", "reason"))); err != nil {
			return err
		}
	}
	if all := o.objects("limits"); len(all) > 0 {
		fmt.Fprintln(r.env.Stdout)
		return table(r.env.Stdout, limits.head, rowsOf(all, limits))
	}
	return nil
}
