package admin

import (
	"net/http"
	"strings"

	"sluice/pkg/control"
)

// This file is what the users of other balancers type: one call for everything
// about a backend, which names it by url=. A service need not be named where
// only one can be meant.

// seeds are those calls.
func (a *api) seeds() []operation {
	backend := []parameter{
		{name: "url", about: "HOST:PORT, URL or ID; backend=, address= and id= are the same", required: true}, {name: "backend"}, {name: "address"}, {name: "id"},
		{name: "service", about: "of the backend; needed if several services have it"},
	}
	member := append([]parameter{{name: "weight", kind: "integer"}, {name: "zone"}, {name: "priority", kind: "integer"}}, backend...)
	var all []operation
	add := func(path, summary string, handle http.HandlerFunc, params []parameter, methods ...string) {
		for _, m := range append(methods, "POST") {
			all = append(all, operation{method: m, path: path, summary: summary, params: append(append([]parameter{}, params...), ordering()...), answer: "Outcome", handle: handle, beside: m != "POST"})
		}
	}
	add("/admin/drain", "stop new connections to a backend; deadline= closes those that are open", a.flatBackend(control.Drain), append([]parameter{{name: "deadline", about: "after which open connections are closed"}}, backend...), "PUT")
	add("/admin/undrain", "undo that", func(w http.ResponseWriter, r *http.Request) {
		a.undrain(w, r, func(p *params) control.Target { return a.named(p) })
	}, backend, "PUT")
	for _, what := range []control.What{control.Weight, control.Force, control.Eject, control.Readmit, control.Reset} {
		about := strings.Join(control.Allowed(control.OfBackend, what), ", ")
		params := []parameter{{name: "value", about: about}}
		if what != control.Force {
			params = append(params, parameter{name: string(what), about: "the same"})
		}
		add("/admin/"+string(what), string(what)+" a backend", a.flatBackend(what), append(params, backend...), "PUT")
	}
	for _, path := range []string{"/admin/backend/add", "/admin/backends/add", "/admin/add"} {
		add(path, "add a backend", a.flatAdd, member)
	}
	for _, path := range []string{"/admin/backend/remove", "/admin/backends/remove", "/admin/remove"} {
		add(path, "remove a backend", a.flatBackend(control.Remove), backend)
	}
	add("/admin/backends", "add a backend", a.flatAdd, member)
	all = append(all, operation{method: "DELETE", path: "/admin/backends", summary: "remove a backend", params: append(backend, ordering()...), answer: "Outcome", handle: a.flatBackend(control.Remove), beside: true})

	service := parameter{name: "service", about: "which; needed if there are several"}
	canary := []parameter{service, {name: "target", about: "service, backend or tag=NAME; to=, url= and canary= are the same", required: true},
		{name: "to"}, {name: "url"}, {name: "canary"}, {name: "value"}, {name: "backend"}, {name: "address"}, {name: "canary_service"},
		{name: "percent", about: "of clients, 0 to 100; pct= and weight= are the same"}, {name: "pct"}, {name: "weight"}}
	add("/admin/canary", "lead a part of a service's clients elsewhere", a.flatService(control.Canary), canary, "PUT")
	add("/admin/canary/set", "the same", a.flatService(control.Canary), canary, "PUT")
	add("/admin/canary/clear", "undo that, if there is one", a.clearCanary, []parameter{service}, "DELETE")
	add("/admin/strategy", "switch the strategy of a service", a.flatService(control.Strategy), []parameter{service, {name: "strategy", about: strings.Join(control.Allowed(control.OfService, control.Strategy), ", ")}, {name: "value"}, {name: "name"}}, "PUT")
	add("/admin/maintenance", "answer 503 with a text for all of a service", a.flatService(control.Maintenance), []parameter{service, {name: "text"}, {name: "value"}, {name: "maintenance"}, {name: "message"}}, "PUT")
	all = append(all,
		operation{method: "DELETE", path: "/admin/canary", summary: "undo a canary", params: append([]parameter{service}, ordering()...), answer: "Outcome", handle: a.flatUndo(control.Canary), beside: true},
		operation{method: "DELETE", path: "/admin/strategy", summary: "undo a switch", params: append([]parameter{service}, ordering()...), answer: "Outcome", handle: a.flatUndo(control.Strategy), beside: true},
		operation{method: "DELETE", path: "/admin/maintenance", summary: "undo that", params: append([]parameter{service}, ordering()...), answer: "Outcome", handle: a.flatUndo(control.Maintenance), beside: true},
	)
	level := []parameter{{name: "level", about: strings.Join(control.Allowed(control.OfProcess, control.LogLevel), ", ")}, {name: "value"}, {name: "log_level"}}
	add("/admin/log-level", "change the level of the log", func(w http.ResponseWriter, r *http.Request) {
		a.set(w, r, func(p *params, t terms) []control.Change {
			v, _ := p.text("level", "value", "log_level")
			return []control.Change{t.change(control.Process(), control.LogLevel, v)}
		})
	}, level, "PUT")
	return all
}

// named returns the backend that parameters name.
func (a *api) named(p *params) control.Target {
	name, ok := p.text("url", "backend", "address", "id")
	service := p.get("service")
	if !ok || strings.TrimSpace(name) == "" {
		p.add("url", "", "it is missing", "HOST:PORT")
		return control.Target{}
	}
	t, problems := control.FindBackend(a.Plane, service, strings.TrimSpace(name))
	p.problems = append(p.problems, problems...)
	return t
}

// theService returns the service that parameters name.
func (a *api) theService(p *params) control.Target {
	name, problems := control.TheService(a.Plane, p.get("service"))
	p.problems = append(p.problems, problems...)
	return control.Service(name)
}

func (a *api) flatBackend(what control.What) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a.set(w, r, func(p *params, t terms) []control.Change {
			return []control.Change{backendChange(p, t, a.named(p), what)}
		})
	}
}

func (a *api) flatAdd(w http.ResponseWriter, r *http.Request) {
	a.set(w, r, func(p *params, t terms) []control.Change {
		name, ok := p.text("url", "backend", "address", "id")
		if !ok {
			p.add("url", "", "it is missing", "HOST:PORT")
		}
		service, name := control.SplitBackend(a.Plane.Services(), strings.TrimSpace(name))
		if service == "" || p.get("service") != "" {
			service = a.theService(p).Service
		}
		return []control.Change{t.change(control.Backend(service, name), control.Add, memberOptions(p))}
	})
}

func (a *api) flatService(what control.What) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a.set(w, r, func(p *params, t terms) []control.Change {
			v := ""
			if what == control.Strategy {
				v, _ = p.text("strategy", "value", "name")
			} else {
				v = a.serviceValue(p, what)
			}
			return []control.Change{t.change(a.theService(p), what, v)}
		})
	}
}

// clearCanary undoes a canary; that there is none is fine.
func (a *api) clearCanary(w http.ResponseWriter, r *http.Request) {
	var t terms
	if read(w, r, func(p *params) {
		t = a.terms(r, p)
		t.order.Undo = []control.Key{{Target: a.theService(p), What: control.Canary}}
	}) {
		a.do(w, r, t.order)
	}
}

func (a *api) flatUndo(what control.What) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a.undo(w, r, func(p *params) []control.Key {
			return []control.Key{{Target: a.theService(p), What: what}}
		})
	}
}
