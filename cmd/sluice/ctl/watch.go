package ctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// againAfter is how long after a stream broke off it is taken up again.
	againAfter = time.Second
	// topEvery is how often top looks.
	topEvery = time.Second
)

func events(ctx context.Context, r *run) error {
	params := r.params("kind", "service", "backend", "limit")
	if !r.follow {
		o, body, err := r.get(ctx, "/admin/events", "events", params)
		if err != nil || r.json {
			return r.done(body, err, "")
		}
		for _, e := range o.objects("events") {
			r.tell(e)
		}
		return nil
	}
	last := ""
	for {
		err := r.stream(ctx, params, &last)
		var refused *refusal
		if ctx.Err() != nil || errors.As(err, &refused) || last == "" && err != nil {
			return err
		}
		select { // it broke off; go on where it was
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(againAfter):
		}
	}
}

// tell writes an event as a line.
func (r *run) tell(e object) {
	at := e.text("at")
	if t, err := time.Parse(time.RFC3339, at); err == nil {
		at = t.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	line := fmt.Sprintf("%s  %-10s  %s", at, e.text("kind"), e.text("message"))
	for _, name := range []string{"by", "reason"} {
		if v := e.text(name); v != "-" {
			line += fmt.Sprintf("  %s=%q", name, v)
		}
	}
	fmt.Fprintln(r.env.Stdout, clean(line))
}

// stream follows events from the one after last on.
func (r *run) stream(ctx context.Context, params url.Values, last *string) error {
	params.Set("stream", "true")
	req, err := r.client.request(ctx, "GET", "/admin/events", params)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	if *last != "" {
		req.Header.Set("Last-Event-ID", *last)
	}
	resp, err := r.client.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16)) // what there is of it
		return refusalOf(resp.StatusCode, body)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	kind := ""
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			*last = value
		case "event":
			kind = value
		case "data":
			r.arrived(kind, value)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

func (r *run) arrived(kind, data string) {
	switch kind {
	case "begin":
	case "lost":
		fmt.Fprintln(r.env.Stderr, "sluice ctl: some events are lost: "+clean(data))
	default:
		if r.json {
			fmt.Fprintln(r.env.Stdout, data)
		} else if e, err := decode([]byte(data)); err == nil {
			r.tell(e)
		}
	}
}

// top shows services and backends until it is ended.
func top(ctx context.Context, r *run) error {
	before, at := map[string]float64(nil), time.Now()
	for n := 0; ; n++ {
		o, _, err := r.get(ctx, "/admin/backends", "services", nil)
		if err != nil {
			return err
		}
		totals, _, err := r.get(ctx, "/admin/metrics/json", "metrics", url.Values{"name": {"none"}, "limit": {"1"}})
		if err != nil {
			return err
		}
		now := time.Now()
		counts := make(map[string]float64)
		var b strings.Builder
		head(&b, totals)
		var rows [][]string
		for _, s := range o.objects("services") {
			for _, m := range s.objects("backends") {
				key := s.text("service") + " " + m.text("address")
				counts[key] = number(m, "connections")
				rate := "-"
				if before != nil {
					rate = fmt.Sprintf("%.1f", max(0, counts[key]-before[key])/now.Sub(at).Seconds())
				}
				rows = append(rows, []string{s.text("service"), s.text("strategy"), m.text("address"), m.text("state"), m.text("eligible"), m.text("weight"), m.text("active"), rate, m.text("connect_failures"), m.text("reason")})
			}
		}
		if err := table(&b, "SERVICE STRATEGY BACKEND STATE ELIGIBLE WEIGHT ACTIVE CONNECTIONS/S FAILURES REASON", rows); err != nil {
			return err
		}
		if _, err := io.WriteString(r.env.Stdout, "\x1b[H\x1b[2J"+b.String()); err != nil {
			return err
		}
		before, at = counts, now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(topEvery):
		}
	}
}

func number(o object, name string) float64 {
	var f float64
	_, _ = fmt.Sscan(o.text(name), &f) // what is none counts nothing
	return f
}

func head(w io.Writer, o object) {
	t := object{}
	if m, ok := o["totals"].(map[string]any); ok {
		t = m
	}
	fmt.Fprintf(w, "up %s s   requests %s (%s failed), in flight %s   connections %s (%s open)   retries %s   latency %s ms\n\n",
		t.text("uptime_seconds"), t.text("total_requests"), t.text("failed_requests"), t.text("in_flight_requests"),
		t.text("tcp_connections"), t.text("open_tcp_connections"), t.text("retry_attempts"), t.text("avg_latency_ms"))
}
