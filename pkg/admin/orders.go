package admin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"sluice/pkg/config"
	"sluice/pkg/control"
)

// orders are the calls that change something, by what they change.
func (a *api) orders() []operation {
	of := func(method, path, summary string, handle http.HandlerFunc, params ...parameter) operation {
		return operation{method: method, path: path, summary: summary, params: append(params, ordering()...), answer: "Outcome", handle: handle}
	}
	value := func(k control.Kind) []parameter {
		ps := []parameter{{name: "value", about: "to what; the name of the thing itself will do as well"}}
		for _, w := range control.Whats(k) {
			if w != control.Set && w != control.Remove && w != control.Force {
				ps = append(ps, parameter{name: string(w), about: strings.Join(control.Allowed(k, w), ", ")})
			}
		}
		return ps
	}
	member := []parameter{
		{name: "backend", about: "HOST:PORT or URL; address= and url= are the same", required: true}, {name: "address"}, {name: "url"},
		{name: "weight", kind: "integer", about: "0 to 65535"}, {name: "zone"}, {name: "priority", kind: "integer", about: "0 to 65535"},
	}
	const service, backend = "/admin/services/{service}", "/admin/services/{service}/backends/{backend}"
	ofService := append(value(control.OfService), parameter{name: "target", about: "of a canary: service, backend or tag=NAME; to= and url= are the same"}, parameter{name: "to"}, parameter{name: "url"},
		parameter{name: "canary_service"}, parameter{name: "backend"}, parameter{name: "address"}, parameter{name: "percent", about: "of clients; pct= and weight= are the same"}, parameter{name: "pct"}, parameter{name: "weight"},
		parameter{name: "text", about: "of a maintenance; message= is the same"}, parameter{name: "message"})
	ofBackend := append(value(control.OfBackend), parameter{name: "deadline", about: "of a drain: after which established connections are closed"}, parameter{name: "of", about: "of a reset: what"})
	all := []operation{
		of("PATCH", service, "change several settings of a service at once", a.patchService, value(control.OfService)[1:]...),
		of("PUT", service+"/{what}", "change a setting of a service: "+names(control.OfService), a.putService, ofService...),
		of("DELETE", service+"/{what}", "undo a change of a service", a.undoService),
		of("POST", service+"/backends", "add a backend, beside those that are discovered", a.addBackend, member...),
		of("DELETE", backend, "remove a backend", a.removeBackend),
		of("PUT", backend+"/{what}", "change a backend: drain, undrain, weight, force, eject, readmit, reset", a.putBackend, ofBackend...),
		of("DELETE", backend+"/{what}", "undo a change of a backend", a.undoBackend),
		of("POST", "/admin/routes", "add a route, or change the one of that host and path", a.setRoute, parameter{name: "route", about: "what --route takes", required: true}, parameter{name: "value", about: "the same"}),
		of("DELETE", "/admin/routes", "remove a route", a.removeRoute, parameter{name: "route", about: "[HOST]/PATH, as /admin/routes shows it", required: true}),
		of("POST", "/admin/listeners", "add a listener, or change it", a.setListener,
			parameter{name: "listener", about: "l4 or l7, a space, and what that flag takes; or that alone, with kind=", required: true}, parameter{name: "value", about: "the same"}, parameter{name: "kind", enum: []string{"l4", "l7"}}),
		of("DELETE", "/admin/listeners", "remove a listener", a.removeListener, parameter{name: "listener", about: "its address, as /admin/listeners shows it", required: true}),
		of("PUT", "/admin/process/{what}", "change "+names(control.OfProcess), a.putProcess, value(control.OfProcess)...),
		of("DELETE", "/admin/process/{what}", "undo that", a.undoProcess),
		of("POST", "/admin/changes", "make several changes at once, all or none", a.postChanges,
			parameter{name: "changes", about: "list of objects with target, service, backend, route, listener, what and value, as /admin/changes shows them", kind: "array"},
			parameter{name: "undo", about: "list of the ids of changes to undo", kind: "array"}),
		of("DELETE", "/admin/changes", "undo a change, or all", a.deleteChanges, parameter{name: "id", about: "of the change; without one, all"}),
	}
	for _, o := range slices.Clone(all) { // as PUT or POST, whichever comes to mind
		if other := map[string]string{"PUT": "POST"}[o.method]; other != "" {
			o.method, o.beside = other, true
			all = append(all, o)
		}
		if o.method == "POST" && (o.path == "/admin/routes" || o.path == "/admin/listeners") {
			o.method, o.beside = "PUT", true
			all = append(all, o)
		}
	}
	reload := operation{method: "POST", path: "/admin/reload", summary: "read the configuration again and apply what is otherwise", answer: "Reloaded", handle: a.reload,
		params: []parameter{{name: "dry_run", kind: "boolean", about: "say what would change, and change nothing"}, {name: "reason"}, {name: "by"}}}
	end := operation{method: "DELETE", path: "/admin/connections/{id}", summary: "close a connection", answer: "Ended", handle: a.endConnection, params: []parameter{{name: "reason"}, {name: "by"}}}
	return append(all, reload, end)
}

func names(k control.Kind) string {
	var all []string
	for _, w := range control.Whats(k) {
		all = append(all, string(w))
	}
	return strings.Join(all, ", ")
}

// valueOf returns the value of a change: value=, or what it is called itself.
func valueOf(p *params, what control.What) string {
	if what == control.Force { // that is the name of a term of every order
		return p.get("value")
	}
	v, _ := p.text("value", string(what), strings.ReplaceAll(string(what), "_", "-"))
	return v
}

// whatOf returns what a path names.
func whatOf(r *http.Request) control.What {
	return control.What(strings.ReplaceAll(r.PathValue("what"), "-", "_"))
}

// set reads an order of one change and does it.
func (a *api) set(w http.ResponseWriter, r *http.Request, f func(*params, terms) []control.Change) {
	var t terms
	ok := read(w, r, func(p *params) {
		t = a.terms(r, p)
		t.order.Set = f(p, t)
	})
	if ok {
		a.do(w, r, t.order)
	}
}

// undo reads an order that undoes changes and does it. There must be one of
// them.
func (a *api) undo(w http.ResponseWriter, r *http.Request, f func(*params) []control.Key) {
	var t terms
	ok := read(w, r, func(p *params) {
		t = a.terms(r, p)
		t.order.Undo = f(p)
	})
	if !ok {
		return
	}
	force := a.Book.Overlay()
	if !slices.ContainsFunc(t.order.Undo, func(k control.Key) bool { _, ok := force.Get(k); return ok }) {
		refuse(w, problem{Status: http.StatusNotFound, Title: "There is no such change", Detail: "no such change is in force: " + t.order.Undo[0].String()})
		return
	}
	a.do(w, r, t.order)
}

func (a *api) putService(w http.ResponseWriter, r *http.Request) {
	a.set(w, r, func(p *params, t terms) []control.Change {
		what, service := whatOf(r), control.Service(r.PathValue("service"))
		all := []control.Change{t.change(service, what, a.serviceValue(p, what))}
		for _, more := range besides(what) {
			if v, ok := p.text(string(more), strings.ReplaceAll(string(more), "_", "-")); ok {
				all = append(all, t.change(service, more, v))
			}
		}
		return all
	})
}

// besides returns what else may be changed with a limit in one call.
func besides(what control.What) []control.What {
	switch what {
	case control.Rate:
		return []control.What{control.RateBurst, control.RateKey, control.InFleet}
	case control.MaxRequests:
		return []control.What{control.InFleet}
	}
	return nil
}

// serviceValue returns the value of a change of a service, of which that of a
// canary may come in parts.
func (a *api) serviceValue(p *params, what control.What) string {
	switch what {
	case control.Canary:
		target, share := p.get("to", "target", "canary_service", "backend", "url", "address"), p.get("percent", "pct", "weight")
		v, given := p.text("value", "canary")
		switch {
		case given && share == "" && target == "":
			return v
		case given && target == "":
			target = v
		}
		if addr, err := control.ParseAddress(target); err == nil {
			target = addr
		}
		return target + ":" + share
	case control.Maintenance:
		v, _ := p.text("value", "maintenance", "text", "message")
		return v
	}
	return valueOf(p, what)
}

func (a *api) patchService(w http.ResponseWriter, r *http.Request) {
	a.set(w, r, func(p *params, t terms) (all []control.Change) {
		for _, what := range control.Whats(control.OfService) {
			if v, ok := p.text(string(what), strings.ReplaceAll(string(what), "_", "-")); ok {
				all = append(all, t.change(control.Service(r.PathValue("service")), what, v))
			}
		}
		if len(all) == 0 {
			p.add("body", "", "it changes nothing", names(control.OfService))
		}
		return all
	})
}

func (a *api) undoService(w http.ResponseWriter, r *http.Request) {
	a.undo(w, r, func(*params) []control.Key {
		return []control.Key{{Target: control.Service(r.PathValue("service")), What: whatOf(r)}}
	})
}

func (a *api) setRoute(w http.ResponseWriter, r *http.Request) {
	a.set(w, r, func(p *params, t terms) []control.Change {
		spec, _ := p.text("route", "value")
		return []control.Change{t.change(control.Route(""), control.Set, spec)}
	})
}

func (a *api) removeRoute(w http.ResponseWriter, r *http.Request) {
	a.set(w, r, func(p *params, t terms) []control.Change {
		return []control.Change{t.change(control.Route(routeKey(a.Plane.Routes(), p.get("route", "value"))), control.Remove, "")}
	})
}

// routeKey returns the key of the route that is meant by its key, or by the line
// that made it.
func routeKey(routes []control.Item, named string) string {
	if slices.ContainsFunc(routes, func(i control.Item) bool { return i.Key == named }) {
		return named
	}
	if r, err := config.ParseRoute(named); err == nil {
		return r.Key()
	}
	return named
}

func (a *api) setListener(w http.ResponseWriter, r *http.Request) {
	a.set(w, r, func(p *params, t terms) []control.Change {
		spec := p.get("listener", "value")
		if kind := p.get("kind"); kind != "" && !strings.HasPrefix(spec, kind+" ") {
			spec = kind + " " + spec
		}
		return []control.Change{t.change(control.Listener(""), control.Set, spec)}
	})
}

func (a *api) removeListener(w http.ResponseWriter, r *http.Request) {
	a.set(w, r, func(p *params, t terms) []control.Change {
		return []control.Change{t.change(control.Listener(a.listenerKey(p.get("listener", "value"))), control.Remove, "")}
	})
}

// listenerKey returns the key of the listener that is meant by its key, by the
// address that it is bound to, or by the line that made it.
func (a *api) listenerKey(named string) string {
	key := strings.TrimPrefix(strings.TrimPrefix(named, "l4 "), "l7 ")
	if slices.ContainsFunc(a.Plane.Listeners(), func(i control.Item) bool { return i.Key == key }) {
		return key
	}
	for _, l := range a.Plane.ListenerList() {
		if l.Address == key {
			return l.Listener
		}
	}
	for _, kind := range []string{"l4 ", "l7 "} {
		if l, err := control.ParseListener(kind + key); err == nil {
			return l.Key()
		}
	}
	return key
}

func (a *api) putProcess(w http.ResponseWriter, r *http.Request) {
	a.set(w, r, func(p *params, t terms) []control.Change {
		what := whatOf(r)
		return []control.Change{t.change(control.Process(), what, valueOf(p, what))}
	})
}

func (a *api) undoProcess(w http.ResponseWriter, r *http.Request) {
	a.undo(w, r, func(*params) []control.Key { return []control.Key{{Target: control.Process(), What: whatOf(r)}} })
}

func (a *api) postChanges(w http.ResponseWriter, r *http.Request) {
	var t terms
	ok := read(w, r, func(p *params) {
		t = a.terms(r, p)
		for _, raw := range p.all("changes") {
			var c control.Change
			if err := json.Unmarshal([]byte(raw), &c); err != nil {
				p.add("changes", control.Shorten(raw), "it is no change: "+err.Error())
				continue
			}
			full := t.change(c.Target, c.What, c.Value)
			if c.Reason != "" {
				full.Reason = c.Reason
			}
			if !c.Expires.IsZero() {
				full.Expires = c.Expires
			}
			t.order.Set = append(t.order.Set, full)
		}
		for _, id := range p.all("undo") {
			k, err := control.ParseKey(id)
			if err != nil {
				p.add("undo", control.Shorten(id), err.Error())
			}
			t.order.Undo = append(t.order.Undo, k)
		}
		if len(t.order.Set)+len(t.order.Undo) == 0 && len(p.problems) == 0 {
			p.add("changes", "", "there are none")
		}
	})
	if ok {
		a.do(w, r, t.order)
	}
}

func (a *api) deleteChanges(w http.ResponseWriter, r *http.Request) {
	var t terms
	ok := read(w, r, func(p *params) {
		t = a.terms(r, p)
		id, one := p.text("id", "change")
		if !one {
			t.order.All = true
			return
		}
		k, err := control.ParseKey(id)
		if err != nil {
			p.add("id", control.Shorten(id), err.Error())
		}
		t.order.Undo = []control.Key{k}
	})
	if !ok {
		return
	}
	if len(t.order.Undo) > 0 {
		if _, there := a.Book.Overlay().Get(t.order.Undo[0]); !there {
			refuse(w, problem{Status: http.StatusNotFound, Title: "There is no such change", Detail: "no such change is in force: " + t.order.Undo[0].String()})
			return
		}
	}
	a.do(w, r, t.order)
}

func (a *api) reload(w http.ResponseWriter, r *http.Request) {
	var o ReloadOrder
	ok := read(w, r, func(p *params) {
		o = ReloadOrder{By: p.get("by"), Reason: p.get("reason"), DryRun: p.flag("dry_run")}
		if o.By == "" {
			o.By = a.identity(r)
		}
	})
	if !ok {
		return
	}
	done, err := a.Plane.Reload(r.Context(), o)
	if err != nil {
		refuse(w, problem{Status: http.StatusUnprocessableEntity, Title: "The configuration cannot be used; nothing has changed", Detail: err.Error()})
		return
	}
	done.DryRun = o.DryRun
	if done.Differences == nil {
		done.Differences = []Difference{}
	}
	if done.Restart == nil {
		done.Restart = []string{}
	}
	writeJSON(w, http.StatusOK, done)
}

func (a *api) endConnection(w http.ResponseWriter, r *http.Request) {
	var by, reason string
	if !read(w, r, func(p *params) { reason, by = p.get("reason"), p.get("by") }) {
		return
	}
	id := r.PathValue("id")
	if !a.Plane.EndConnection(id) {
		writeError(w, http.StatusNotFound, "there is no connection "+control.Shorten(id)+" any more")
		return
	}
	if by == "" {
		by = a.identity(r)
	}
	a.Logger.Info("an operator closed a connection", "id", id, "by", by, "reason", reason)
	a.journal.Add(control.Event{Kind: control.Told, Message: "an operator closed connection " + id, By: by, Reason: reason})
	writeJSON(w, http.StatusOK, struct {
		Ended string `json:"ended"`
	}{id})
}
