package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sluice/engine/desired"
	"sluice/pkg/admin"
	"sluice/pkg/control"
)

// asked is an Engine as the control plane asks it.
type asked struct {
	ran
}

// Settings returns the settings in force.
func (a asked) Settings() any {
	settings, err := a.e.services.config.Load().Settings()
	if err != nil {
		return map[string]string{"error": err.Error()} // it could be encoded at the start
	}
	return settings
}

// Differences says what another overlay makes otherwise.
func (a asked) Differences(before, after control.Overlay) (all []admin.Difference) {
	for _, d := range desired.Differences(a.e.with(before), a.e.with(after)) {
		all = append(all, admin.Difference(d))
	}
	return all
}

// with returns the state that there would be with an overlay.
func (e *Engine) with(o control.Overlay) desired.State {
	e.turn.Lock()
	sources := e.sources
	e.turn.Unlock()
	sources.Overlay, sources.Called = o, e.services.called()
	state, _ := desired.Merge(sources)
	return state
}

// Apply waits until what runs is as an overlay says.
func (a asked) Apply(ctx context.Context, tag string) error {
	return a.e.operators.await(ctx, tag)
}

// Reload reads the configuration again.
func (a asked) Reload(_ context.Context, o admin.ReloadOrder) (admin.Reloaded, error) {
	var r Report
	var err error
	if o.DryRun {
		r, err = a.e.planReload()
	} else {
		r, err = a.e.reloadBy(o.By, o.Reason)
	}
	done := admin.Reloaded{DryRun: o.DryRun, Restart: r.Restart}
	for _, d := range r.Changed {
		done.Differences = append(done.Differences, admin.Difference(d))
	}
	return done, err
}

// RouteList returns the routes.
func (a asked) RouteList() (all []admin.RouteView) {
	overlay := a.e.overlay()
	for _, r := range a.e.State().Routes {
		v := admin.RouteView{Route: r.Key(), Host: r.Host, Path: r.Path, Method: strings.Join(r.Methods, ", "), Service: r.To, Spec: r.String(), Source: "configuration"}
		if s := a.e.services.get(r.To); s != nil {
			v.Service = s.name
		}
		if r.CanaryTo != "" {
			v.Canary = r.CanaryTo
			if s := a.e.services.get(r.CanaryTo); s != nil {
				v.Canary = s.name
			}
			v.Canary += fmt.Sprintf(":%g", r.Canary.Percent)
		}
		_, operated := overlay.Get(control.Key{Target: control.Route(r.Key()), What: control.Set})
		switch {
		case r.Tags:
			v.Source = "tags"
		case operated:
			v.Source = "operator"
		}
		all = append(all, v)
	}
	return all
}

// overlay returns what operators have changed, as it was applied.
func (e *Engine) overlay() control.Overlay {
	e.turn.Lock()
	defer e.turn.Unlock()
	return e.sources.Overlay
}

// ListenerList returns the listeners.
func (a asked) ListenerList() (all []admin.ListenerView) {
	overlay := a.e.overlay()
	for _, f := range a.e.fronts.list() {
		specs := f.wants.L4()
		one := func(key, spec string, services []string) {
			v := admin.ListenerView{Listener: key, Kind: f.kind, Address: f.addr().String(), Services: services, TLS: f.shown != nil, Open: f.listener.Open(), Spec: spec, Source: "configuration"}
			_, operated := overlay.Get(control.Key{Target: control.Listener(key), What: control.Set})
			switch {
			case f.wants.Tags:
				v.Source, v.Spec = "tags", ""
			case operated:
				v.Source = "operator"
			}
			all = append(all, v)
		}
		if f.kind == "l7" {
			one(f.wants.Addr, f.wants.HTTP.String(), a.httpServices())
			continue
		}
		for i, l := range specs {
			one(l.Key(), l.String(), []string{f.leadsTo[i].name})
		}
	}
	return all
}

// httpServices returns the services that HTTP routes lead to, in order.
func (a asked) httpServices() []string {
	names := []string{}
	for _, r := range a.e.State().Routes {
		for _, id := range []string{r.To, r.CanaryTo} {
			if s := a.e.services.get(id); s != nil && id != "" {
				names = append(names, s.name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
