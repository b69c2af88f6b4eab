package admin

import (
	"net/http"
	"slices"
	"strings"

	"sluice/pkg/control"
)

// backendOf returns the backend that a path names.
func (a *api) backendOf(r *http.Request, p *params) control.Target {
	t, problems := control.FindBackend(a.Plane, r.PathValue("service"), r.PathValue("backend"))
	p.problems = append(p.problems, problems...)
	return t
}

func (a *api) addBackend(w http.ResponseWriter, r *http.Request) {
	a.set(w, r, func(p *params, t terms) []control.Change {
		name, ok := p.text("backend", "address", "url", "value")
		if !ok {
			p.add("backend", "", "it is missing", "HOST:PORT")
		}
		return []control.Change{t.change(control.Backend(r.PathValue("service"), name), control.Add, memberOptions(p))}
	})
}

// memberOptions returns the options of a member as a line has them.
func memberOptions(p *params) string {
	var options []string
	for _, key := range []string{"weight", "zone", "priority"} {
		v := p.get(key)
		if strings.ContainsAny(v, ",=") {
			p.add(key, control.Shorten(v), "it has a comma or an equals sign")
		} else if v != "" {
			options = append(options, key+"="+v)
		}
	}
	return strings.Join(options, ",")
}

func (a *api) removeBackend(w http.ResponseWriter, r *http.Request) {
	a.set(w, r, func(p *params, t terms) []control.Change {
		return []control.Change{t.change(a.backendOf(r, p), control.Remove, "")}
	})
}

func (a *api) putBackend(w http.ResponseWriter, r *http.Request) {
	if whatOf(r) == "undrain" {
		a.undrain(w, r, func(p *params) control.Target { return a.backendOf(r, p) })
		return
	}
	a.set(w, r, func(p *params, t terms) []control.Change {
		return []control.Change{backendChange(p, t, a.backendOf(r, p), whatOf(r))}
	})
}

// backendChange returns a change of a backend.
func backendChange(p *params, t terms, target control.Target, what control.What) control.Change {
	v := ""
	switch what {
	case control.Drain:
		v, _ = p.text("value", "deadline", "drain")
	case control.Reset:
		if v, _ = p.text("value", "reset", "of"); v == "" {
			v = "all"
		}
	default:
		v = valueOf(p, what)
	}
	c := t.change(target, what, v)
	return c
}

// undrain undoes a drain. That there was none is no error: so it is already.
func (a *api) undrain(w http.ResponseWriter, r *http.Request, of func(*params) control.Target) {
	var t terms
	ok := read(w, r, func(p *params) {
		t = a.terms(r, p)
		t.order.Undo = []control.Key{{Target: of(p), What: control.Drain}}
	})
	if !ok {
		return
	}
	target := t.order.Undo[0].Target
	members, _ := a.Plane.Members(target.Service)
	if !slices.ContainsFunc(members, func(m control.Member) bool { return m.Address == target.Name }) {
		refuseFields(w, control.Problems{{Field: "backend", Value: target.Name, Reason: "the service has no such backend"}})
		return
	}
	a.do(w, r, t.order)
}

func (a *api) undoBackend(w http.ResponseWriter, r *http.Request) {
	a.undo(w, r, func(p *params) []control.Key {
		return []control.Key{{Target: a.backendOf(r, p), What: whatOf(r)}}
	})
}
