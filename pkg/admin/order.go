package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sluice/pkg/control"
)

// applyTimeout is how long an order waits for what runs to be as it says.
const applyTimeout = 15 * time.Second

// ordering are the parameters that every order has.
func ordering() []parameter {
	return []parameter{
		{name: "reason", about: "why, for the journal"},
		{name: "by", about: "who, for the journal; else the name in the client's certificate, or where the request comes from"},
		{name: "ttl", about: "after which it undoes itself, such as 10m; for= is the same"},
		{name: "for", about: "the same as ttl"},
		{name: "dry_run", about: "say what would change, and change nothing", kind: "boolean"},
		{name: "force", about: "also if that leaves a service without any backend", kind: "boolean"},
		{name: "local", about: "if the fleet's store cannot be reached, change this sluice alone", kind: "boolean"},
		{name: "when_back", about: "what becomes of a local change once the store is back", enum: []string{string(control.Merge), string(control.Drop)}},
		{name: "if_match", about: "the version that the changes in force must have; the header If-Match is the same"},
	}
}

// terms are the values of those parameters.
type terms struct {
	by, reason string
	expires    time.Time
	order      control.Order // without what it does
}

// terms reads what every order has.
func (a *api) terms(r *http.Request, p *params) terms {
	now := time.Now()
	t := terms{by: p.get("by"), reason: p.get("reason"), expires: p.expires(now)}
	if t.by == "" {
		t.by = a.identity(r)
	}
	t.order.By, t.order.Reason = t.by, t.reason
	t.order.DryRun, t.order.Force = p.flag("dry_run"), p.flag("force")
	then := p.get("when_back")
	if p.flag("local") {
		t.order.Local = control.Merge
		if then != "" {
			t.order.Local = control.Local(then)
		}
	}
	if then != "" && then != string(control.Merge) && then != string(control.Drop) {
		p.add("when_back", control.Shorten(then), "it is neither", string(control.Merge), string(control.Drop))
	}
	match, given := p.text("if_match")
	if h := r.Header.Values("If-Match"); len(h) > 0 {
		match, given = strings.Join(h, ","), true
	}
	if given {
		t.order.IfMatch = matching(match, a.Book.Overlay().Tag())
	}
	return t
}

// matching returns the tag that an If-Match asks for: current if that is among
// them, empty if any will do, and otherwise one that is not current.
func matching(header, current string) string {
	for _, tag := range strings.Split(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" {
			return ""
		}
		if strings.Trim(tag, `"`) == current { // a weak one never matches (RFC 9110 13.1.1)
			return current
		}
	}
	return "no such version"
}

func quoted(tag string) string { return `"` + tag + `"` }

// change returns a change on these terms.
func (t terms) change(target control.Target, what control.What, value string) control.Change {
	return control.Change{Target: target, What: what, Value: value, By: t.by, Reason: t.reason, Expires: t.expires}
}

// effectView is what becomes of one thing.
type effectView struct {
	ID     string          `json:"id"`
	Before *control.Change `json:"before"` // null: nothing was in force
	After  *control.Change `json:"after"`  // null: nothing is
}

// outcomeView is what an order did, or would do.
type outcomeView struct {
	Changed     bool         `json:"changed"`
	DryRun      bool         `json:"dry_run"`
	Version     string       `json:"version"` // for If-Match
	Kept        string       `json:"kept"`    // where
	Local       bool         `json:"local"`   // on this sluice alone
	Effects     []effectView `json:"effects"`
	Differences []Difference `json:"differences"` // in what runs
	Warnings    []string     `json:"warnings"`
}

// do does an order and answers.
func (a *api) do(w http.ResponseWriter, r *http.Request, order control.Order) {
	if out, ok := a.carryOut(w, r, order); ok {
		w.Header().Set("ETag", quoted(out.Version))
		writeJSON(w, http.StatusOK, out)
	}
}

// carryOut does an order and waits until what runs is so. If that cannot be, the
// order is undone. It answers with what stands against it, and reports false
// then.
func (a *api) carryOut(w http.ResponseWriter, r *http.Request, order control.Order) (outcomeView, bool) {
	out, err := a.Book.Do(r.Context(), order)
	if err != nil {
		refuseError(w, err, a.Book.Overlay().Tag())
		return outcomeView{}, false
	}
	v := outcomeView{
		Changed: !out.Before.SameChanges(out.After), DryRun: order.DryRun, Version: out.Tag, Kept: out.Kept, Local: out.Local,
		Effects: []effectView{}, Differences: []Difference{}, Warnings: append([]string{}, out.Warnings...),
	}
	for _, e := range out.Effects {
		v.Effects = append(v.Effects, effectView{e.Key.String(), e.Before, e.After})
	}
	if v.Changed {
		v.Differences = append(v.Differences, a.Plane.Differences(out.Before, out.After)...)
	}
	if order.DryRun || !v.Changed {
		return v, true
	}
	ctx, cancel := context.WithTimeout(r.Context(), applyTimeout)
	defer cancel()
	err = a.Plane.Apply(ctx, out.Tag)
	switch {
	case err == nil:
		return v, true
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		v.Warnings = append(v.Warnings, "it is kept, and not applied yet")
		return v, true
	}
	undo, cancelUndo := context.WithTimeout(context.Background(), applyTimeout)
	defer cancelUndo()
	if failed := a.Book.Revert(undo, out, "sluice", "it could not be applied: "+control.Shorten(err.Error())); failed != nil {
		err = fmt.Errorf("%w; and it could not be undone: %w", err, failed)
	}
	refuseError(w, control.Conflict{Reason: err.Error()}, a.Book.Overlay().Tag())
	return outcomeView{}, false
}
