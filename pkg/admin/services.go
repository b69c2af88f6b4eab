package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"sluice/pkg/control"
)

// forServices reads the parameters of a list and hands those services over that
// are meant. It answers 404 if one is asked for that is not there.
func (a *api) forServices(w http.ResponseWriter, r *http.Request, f func(services []Service, pg page)) {
	var pg page
	var name string
	var one bool
	if !read(w, r, func(p *params) {
		pg = p.page()
		name, one = p.text("service")
	}) {
		return
	}
	services := shown(a.Services, one, name)
	if one && len(services) == 0 {
		writeError(w, http.StatusNotFound, fmt.Sprintf("cannot show service %q: there is none of that name", name))
		return
	}
	a.tag(w)
	f(services, pg)
}

func (a *api) backends(w http.ResponseWriter, r *http.Request) {
	a.forServices(w, r, func(services []Service, pg page) {
		part, l := cut(services, pg)
		views := []serviceView{}
		for _, s := range part {
			views = append(views, viewService(s))
		}
		writeJSON(w, http.StatusOK, struct {
			Services []serviceView `json:"services"`
			listing
		}{views, l})
	})
}

// serviceSummary is a service in a list.
type serviceSummary struct {
	Service  string   `json:"service"`
	Strategy string   `json:"strategy"`
	Backends int      `json:"backends"`
	Eligible int      `json:"eligible"`
	Active   int64    `json:"active"`
	Panic    bool     `json:"panic"`
	Tier     int      `json:"tier"`
	Changes  []string `json:"changes"` // IDs of those in force
}

func (a *api) services(w http.ResponseWriter, r *http.Request) {
	a.forServices(w, r, func(services []Service, pg page) {
		part, l := cut(services, pg)
		changes := a.changeViews()
		views := []serviceSummary{}
		for _, s := range part {
			views = append(views, a.summaryOf(s, changes))
		}
		writeJSON(w, http.StatusOK, struct {
			Services []serviceSummary `json:"services"`
			listing
		}{views, l})
	})
}

// one hands the service over that the path names.
func (a *api) one(w http.ResponseWriter, r *http.Request, f func(Service, page)) {
	var pg page
	if !read(w, r, func(p *params) { pg = p.page() }) {
		return
	}
	name := r.PathValue("service")
	services := shown(a.Services, true, name)
	if len(services) == 0 {
		writeError(w, http.StatusNotFound, fmt.Sprintf("cannot show service %q: there is none of that name", control.Shorten(name)))
		return
	}
	a.tag(w)
	f(services[0], pg)
}

func (a *api) service(w http.ResponseWriter, r *http.Request) {
	a.one(w, r, func(s Service, _ page) {
		changes := slices.DeleteFunc(a.changeViews(), func(c changeView) bool { return c.Service != s.Pool.Service() })
		writeJSON(w, http.StatusOK, struct {
			serviceView
			Changes []changeView `json:"changes"`
			Limits  []LimitView  `json:"limits"`
		}{viewService(s), append([]changeView{}, changes...), a.limitsOf(s.Pool.Service())})
	})
}

// limitsOf returns the limits of a service in force.
func (a *api) limitsOf(service string) []LimitView {
	all := []LimitView{}
	if a.Plane == nil {
		return all
	}
	for _, l := range a.Plane.Limits() {
		if l.Of == "service "+service {
			all = append(all, l)
		}
	}
	return all
}

func (a *api) serviceBackends(w http.ResponseWriter, r *http.Request) {
	a.one(w, r, func(s Service, pg page) {
		part, l := cut(viewService(s).Backends, pg)
		writeJSON(w, http.StatusOK, struct {
			Backends []backendView `json:"backends"`
			listing
		}{part, l})
	})
}

// listView is a backend as other balancers' users know it.
type listView struct {
	Service string  `json:"service"`
	URL     string  `json:"url"`
	Alive   bool    `json:"alive"`
	Active  int64   `json:"active_conns"`
	Latency float64 `json:"latency"` // milliseconds
	Fails   uint64  `json:"fails"`
	Weight  int     `json:"weight"`
}

func (a *api) list(w http.ResponseWriter, r *http.Request) {
	a.forServices(w, r, func(services []Service, pg page) {
		var all []listView
		for _, s := range services {
			snap := s.Pool.Snapshot()
			for _, b := range snap.All {
				all = append(all, listView{s.Pool.Service(), "http://" + b.Addr(), snap.Offers(b), b.Active(),
					round(b.Latency(b.Now()).Seconds() * 1000), b.Counters.ConnectFailures.Load() + b.Counters.ChecksFailed.Load(), b.Target().Weight})
			}
		}
		part, l := cut(all, pg)
		w.Header().Set("X-Total-Count", strconv.Itoa(l.Total))
		writeJSON(w, http.StatusOK, part)
	})
}

// strategyView is the strategy of a service.
type strategyView struct {
	Service  string `json:"service"`
	Strategy string `json:"strategy"`
	Switches uint64 `json:"switches_total"`
}

func (a *api) strategies(w http.ResponseWriter, r *http.Request) {
	a.forServices(w, r, func(services []Service, pg page) {
		part, l := cut(services, pg)
		views := []strategyView{}
		same := ""
		for i, s := range part {
			v := strategyView{Service: s.Pool.Service()}
			if s.Strategy != nil {
				v.Strategy = s.Strategy()
			}
			if s.Switches != nil {
				v.Switches = s.Switches()
			}
			if same = v.Strategy; i > 0 && views[0].Strategy != same {
				same = ""
			}
			views = append(views, v)
		}
		writeJSON(w, http.StatusOK, struct {
			Strategy  string         `json:"strategy"` // empty if they differ
			Services  []strategyView `json:"services"`
			Available []string       `json:"available"`
			listing
		}{same, views, control.Allowed(control.OfService, control.Strategy), l})
	})
}

// outlierView is a backend that live traffic keeps out.
type outlierView struct {
	Service string `json:"service"`
	Backend string `json:"backend"`
	ejectionView
	Ejections uint64 `json:"ejections_total"`
}

func (a *api) outliers(w http.ResponseWriter, r *http.Request) {
	a.forServices(w, r, func(services []Service, pg page) {
		var all []outlierView
		for _, s := range services {
			snap := s.Pool.Snapshot()
			for _, b := range snap.All {
				if v := viewBackend(b, snap); v.Ejection != nil {
					all = append(all, outlierView{s.Pool.Service(), v.Address, *v.Ejection, v.Ejections})
				}
			}
		}
		part, l := cut(all, pg)
		writeJSON(w, http.StatusOK, struct {
			Outliers []outlierView `json:"outliers"`
			listing
		}{part, l})
	})
}
