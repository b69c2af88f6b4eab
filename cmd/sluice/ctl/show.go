package ctl

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// object is a JSON object as it came.
type object map[string]any

// text returns a field for a table.
func (o object) text(name string) string {
	switch v := o[name].(type) {
	case nil:
		return "-"
	case string:
		if v == "" {
			return "-"
		}
		return v
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []any:
		var all []string
		for _, x := range v {
			all = append(all, fmt.Sprint(x))
		}
		if len(all) == 0 {
			return "-"
		}
		return strings.Join(all, ",")
	default:
		return fmt.Sprint(v)
	}
}

// objects returns a field that is a list.
func (o object) objects(name string) (all []object) {
	list, _ := o[name].([]any)
	for _, x := range list {
		if m, ok := x.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

// age returns how long ago a field's time is.
func (o object) age(name string) string {
	at, err := time.Parse(time.RFC3339, o.text(name))
	if err != nil {
		return "-"
	}
	return short(time.Since(at))
}

func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// decode reads a JSON object.
func decode(body []byte) (object, error) {
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	var o object
	if err := d.Decode(&o); err != nil {
		return nil, fmt.Errorf("the answer is no JSON object: %w", err)
	}
	return o, nil
}

// clean takes control characters out of what goes to a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// table writes rows below a head.
func table(w io.Writer, head string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(strings.Fields(head), "\t"))
	for _, row := range rows {
		for i := range row {
			row[i] = clean(row[i])
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// columns is how a list is shown: a head, and the cells of an entry.
type columns struct {
	head string
	row  func(object) []string
}

// get makes a call that changes nothing, of a list all of its parts.
func (r *run) get(ctx context.Context, path, name string, params url.Values) (object, []byte, error) {
	body, err := r.client.call(ctx, "GET", path, params)
	if err != nil {
		return nil, body, err
	}
	o, err := decode(body)
	if err != nil {
		return nil, body, err
	}
	all, _ := o[name].([]any)
	for next := o["next_offset"]; next != nil && !params.Has("limit"); {
		more := url.Values{}
		for k, v := range params {
			more[k] = v
		}
		more.Set("offset", fmt.Sprint(next))
		part, err := r.client.call(ctx, "GET", path, more)
		if err != nil {
			return nil, part, err
		}
		p, err := decode(part)
		if err != nil {
			return nil, part, err
		}
		list, _ := p[name].([]any)
		all, next = append(all, list...), p["next_offset"]
		o[name], o["next_offset"], o["limit"] = all, nil, len(all)
		if body, err = json.MarshalIndent(o, "", "  "); err != nil {
			return nil, nil, err
		}
		body = append(body, '\n')
	}
	return o, body, nil
}

// list is a command that shows a list.
func list(path, name string, c columns, flags ...string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		o, body, err := r.get(ctx, path, name, r.params(flags...))
		if err != nil {
			return err
		}
		if r.json {
			_, err := r.env.Stdout.Write(body)
			return err
		}
		var rows [][]string
		for _, e := range o.objects(name) {
			rows = append(rows, c.row(e))
		}
		if err := table(r.env.Stdout, c.head, rows); err != nil {
			return err
		}
		if trouble := o.text("trouble"); trouble != "-" {
			fmt.Fprintf(r.env.Stderr, "sluice ctl: %s\n", clean(trouble))
		}
		return nil
	}
}

// raw is a command that shows what was answered.
func raw(path string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		body, err := r.client.call(ctx, "GET", path, nil)
		if err == nil {
			_, err = r.env.Stdout.Write(body)
		}
		return err
	}
}

// fields is columns of fields alone.
func fields(head string, names ...string) columns {
	return columns{head, func(o object) (row []string) {
		for _, n := range names {
			row = append(row, o.text(n))
		}
		return row
	}}
}

var (
	services    = fields("SERVICE STRATEGY BACKENDS ELIGIBLE ACTIVE PANIC CHANGES", "service", "strategy", "backends", "eligible", "active", "panic", "changes")
	routes      = fields("ROUTE SERVICE CANARY REQUESTS LATENCY_MS SOURCE SPEC", "route", "service", "canary", "requests_total", "average_latency_ms", "source", "spec")
	listeners   = fields("LISTENER KIND ADDRESS SERVICES TLS OPEN SOURCE", "listener", "kind", "address", "services", "tls", "open_connections", "source")
	connections = fields("ID CLIENT LISTENER SERVICE BACKEND AGE_S", "id", "client", "listener", "service", "backend", "age_seconds")
	limits      = fields("OF LIMIT VALUE NOW FLEET TASKS", "of", "limit", "value", "now", "fleet", "fleet_tasks")
	outliers    = fields("SERVICE BACKEND NUMBER UNTIL CAUSE", "service", "backend", "number", "until", "cause")
	strategies  = fields("SERVICE STRATEGY SWITCHES", "service", "strategy", "switches_total")
	canaries    = fields("SERVICE TARGET PERCENT ROUTE BY REASON", "service", "target", "percent", "route", "by", "reason")
	advice      = fields("SEVERITY RULE SERVICE BACKEND EVIDENCE", "severity", "rule", "service", "backend", "evidence")
	changes     = columns{"ID VALUE BY REASON AGE LEFT", func(o object) []string {
		left := "-"
		if s := o.text("expires_in_seconds"); s != "-" {
			if n, err := strconv.ParseFloat(s, 64); err == nil {
				left = short(time.Duration(n * float64(time.Second)))
			}
		}
		id := o.text("id")
		if local := o.text("local"); local != "-" {
			id += " (here alone)"
		}
		return []string{id, o.text("value"), o.text("by"), o.text("reason"), o.age("at"), left}
	}}
	memberColumns = columns{"SERVICE BACKEND STATE ELIGIBLE WEIGHT ACTIVE CONNECTIONS FAILURES SINCE REASON", func(o object) []string {
		return []string{o.text("service"), o.text("address"), o.text("state"), o.text("eligible"), o.text("weight"), o.text("active"),
			o.text("connections"), o.text("connect_failures"), o.age("since"), o.text("reason")}
	}}
)

// members returns the backends of a list of services, with their names.
func members(o object) (rows [][]string) {
	for _, s := range o.objects("services") {
		for _, b := range s.objects("backends") {
			b["service"] = s["service"]
			rows = append(rows, memberColumns.row(b))
		}
	}
	return rows
}

func backends(ctx context.Context, r *run) error {
	params := url.Values{}
	if len(r.args) == 1 {
		params.Set("service", r.args[0])
	}
	o, body, err := r.get(ctx, "/admin/backends", "services", params)
	if err != nil {
		return err
	}
	if r.json {
		_, err := r.env.Stdout.Write(body)
		return err
	}
	return table(r.env.Stdout, memberColumns.head, members(o))
}
