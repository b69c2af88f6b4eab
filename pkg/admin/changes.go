package admin

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/pkg/control"
)

// changeView is a change in force with its ID.
type changeView struct {
	ID       string       `json:"id"`
	Target   control.Kind `json:"target"`
	Service  string       `json:"service,omitempty"`
	Backend  string       `json:"backend,omitempty"`
	Route    string       `json:"route,omitempty"`
	Listener string       `json:"listener,omitempty"`
	What     control.What `json:"what"`
	Value    string       `json:"value"`
	Reason   string       `json:"reason"`
	By       string       `json:"by"`
	At       time.Time    `json:"at"`
	Expires  *time.Time   `json:"expires"` // null: never
	// Left is the time until then; null: for ever.
	Left    *float64      `json:"expires_in_seconds"`
	Version uint64        `json:"version"`
	Local   control.Local `json:"local,omitempty"` // made on this sluice alone; what becomes of it
}

// changeViews returns the changes in force.
func (a *api) changeViews() (all []changeView) {
	if a.Book == nil {
		return nil
	}
	now := time.Now()
	for _, c := range a.Book.Overlay().Changes() {
		v := changeView{ID: c.Key().String(), Target: c.Target.Kind, Service: c.Target.Service, What: c.What, Value: c.Value,
			Reason: c.Reason, By: c.By, At: c.At.UTC(), Version: c.Version, Local: c.Local}
		switch c.Target.Kind {
		case control.OfBackend:
			v.Backend = c.Target.Name
		case control.OfRoute:
			v.Route = c.Target.Name
		case control.OfListener:
			v.Listener = c.Target.Name
		}
		if !c.Expires.IsZero() {
			until, left := c.Expires.UTC(), round(c.Expires.Sub(now).Seconds())
			v.Expires, v.Left = &until, &left
		}
		all = append(all, v)
	}
	return all
}

func (a *api) changes(w http.ResponseWriter, r *http.Request) {
	var pg page
	var service, target string
	if !read(w, r, func(p *params) { pg, service, target = p.page(), p.get("service"), p.get("target") }) {
		return
	}
	all := slices.DeleteFunc(a.changeViews(), func(c changeView) bool {
		return service != "" && c.Service != service || target != "" && string(c.Target) != target
	})
	part, l := cut(all, pg)
	since, trouble := a.Book.Trouble()
	v := struct {
		Changes []changeView `json:"changes"`
		listing
		Version string     `json:"version"`
		Kept    string     `json:"kept"`
		Trouble string     `json:"trouble"` // of where they are kept; empty while all is well
		Since   *time.Time `json:"trouble_since"`
		Unknown []string   `json:"not_understood"` // made by a newer sluice
	}{Changes: part, listing: l, Version: a.Book.Overlay().Tag(), Kept: a.Book.Kept(), Unknown: append([]string{}, a.Book.Overlay().Unknown()...)}
	if trouble != nil {
		v.Trouble, v.Since = trouble.Error(), &since
	}
	a.tag(w)
	writeJSON(w, http.StatusOK, v)
}

func (a *api) summaryOf(s Service, changes []changeView) serviceSummary {
	snap := s.Pool.Snapshot()
	v := serviceSummary{Service: s.Pool.Service(), Backends: len(snap.All), Eligible: len(snap.Eligible), Panic: snap.Panic, Tier: snap.Tier, Changes: []string{}}
	if s.Strategy != nil {
		v.Strategy = s.Strategy()
	}
	for _, b := range snap.All {
		v.Active += b.Active()
	}
	for _, c := range changes {
		if c.Service == v.Service {
			v.Changes = append(v.Changes, c.ID)
		}
	}
	return v
}

// canaryView is a part of a service's clients that is led elsewhere.
type canaryView struct {
	Service string  `json:"service"`
	Route   string  `json:"route,omitempty"` // of a canary that a route has
	Target  string  `json:"target"`
	Percent float64 `json:"percent"`
	By      string  `json:"by,omitempty"`
	Reason  string  `json:"reason,omitempty"`
}

func (a *api) canaries(w http.ResponseWriter, r *http.Request) {
	var pg page
	var service string
	if !read(w, r, func(p *params) { pg, service = p.page(), p.get("service") }) {
		return
	}
	all := []canaryView{}
	for _, c := range a.Book.Overlay().Changes() {
		if c.What != control.Canary {
			continue
		}
		canary, err := control.ParseCanary(c.Value)
		if err == nil {
			target, _, _ := cutLast(canary.String(), ':')
			all = append(all, canaryView{Service: c.Target.Service, Target: target, Percent: canary.Percent, By: c.By, Reason: c.Reason})
		}
	}
	if a.Plane != nil {
		for _, rt := range a.Plane.RouteList() {
			overridden := slices.ContainsFunc(all, func(c canaryView) bool { return c.Service == rt.Service })
			if target, share, ok := cutLast(rt.Canary, ':'); ok && !overridden {
				percent, _ := strconv.ParseFloat(share, 64)
				all = append(all, canaryView{Service: rt.Service, Route: rt.Route, Target: target, Percent: percent})
			}
		}
	}
	all = slices.DeleteFunc(all, func(c canaryView) bool { return service != "" && c.Service != service })
	part, l := cut(all, pg)
	a.tag(w)
	writeJSON(w, http.StatusOK, struct {
		Canaries []canaryView `json:"canaries"`
		Active   bool         `json:"active"`
		listing
	}{part, len(all) > 0, l})
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
