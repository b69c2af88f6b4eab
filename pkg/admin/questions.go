package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sluice/pkg/control"
)

// questions are the calls that change nothing.
func (a *api) questions() []operation {
	get := func(path, summary, answer string, handle http.HandlerFunc, params ...parameter) operation {
		return operation{method: "GET", path: path, summary: summary, params: params, answer: answer, handle: handle}
	}
	beside := func(o operation, path string) operation { o.path, o.beside = path, true; return o }
	paged := []parameter{{name: "offset", kind: "integer"}, {name: "limit", kind: "integer", about: fmt.Sprintf("entries at most, up to %d", maxPage)}}
	service := parameter{name: "service", about: "only this one"}
	all := []operation{
		get("/admin/backends", "every backend and why it is in or out", "Services", a.backends, append(paged, service)...),
		get("/admin/outliers", "backends that live traffic has ejected", "Outliers", a.outliers, append(paged, service)...),
		get("/admin/strategy", "the strategy of each service", "Strategies", a.strategies, append(paged, service)...),
		get("/admin/services", "every service", "ServiceList", a.services, paged...),
		get("/admin/services/{service}", "one service with its backends", "Service", a.service),
		get("/admin/services/{service}/backends", "its backends", "Backends", a.serviceBackends, paged...),
		get("/admin/list", "every backend: url, alive, active_conns, latency, fails", "BackendList", a.list, append(paged, service)...),
		get("/admin/cost", "what this task has cost, by the prices that --prices states", "Cost", a.cost),
		get("/admin/metrics/json", "the metrics as JSON", "Metrics", a.metricsJSON, append(paged, parameter{name: "name", about: "only series whose name begins so"})...),
		get("/lb-metrics", "totals, and each backend in short", "LBMetrics", a.lbMetrics),
		get("/admin/config", "the effective settings, secrets masked", "Config", a.config),
	}
	all = append(all, beside(all[9], "/admin/lb-metrics"), beside(all[10], "/debug/config"))
	if a.Book != nil {
		all = append(all,
			get("/admin/changes", "the changes in force: who, why, until when", "Changes", a.changes, append(paged, service, parameter{name: "target", enum: []string{"service", "backend", "route", "listener", "process"}})...),
			get("/admin/events", "what happened lately; as a stream (SSE) with stream=true or Accept: text/event-stream", "Events", a.events,
				parameter{name: "after", kind: "integer", about: "only those after this number"}, parameter{name: "kind", about: strings.Join(eventKinds(), ", ") + ", or several of them"},
				service, parameter{name: "backend"}, paged[1], parameter{name: "stream", kind: "boolean"}, parameter{name: "follow", kind: "boolean", about: "the same"},
				parameter{name: "last_event_id", about: "the header Last-Event-ID is the same"}),
			get("/admin/canary", "the canaries in force", "Canaries", a.canaries, append(paged, service)...),
		)
		all = append(all, beside(all[len(all)-1], "/admin/canary/status"))
	}
	if a.Plane != nil {
		all = append(all,
			get("/admin/routes", "the routes, in the order in which they are tried", "Routes", a.routes, paged...),
			get("/admin/listeners", "the listeners", "Listeners", a.listeners, paged...),
			get("/admin/connections", "the open connections of clients", "Connections", a.connections,
				append(paged, service, parameter{name: "backend"}, parameter{name: "listener"}, parameter{name: "client", about: "address or network"})...),
			get("/admin/explain", "what would become of a connection or request, and why", "Explanation", a.explain,
				parameter{name: "client", about: "its address"}, parameter{name: "listener"}, parameter{name: "service", about: "without looking for a route"}, parameter{name: "method"},
				parameter{name: "host"}, parameter{name: "path"}, parameter{name: "header", about: "NAME:VALUE; several", kind: "array"},
				parameter{name: "request_id", about: "of a real request, of the last ones"}),
			get("/admin/limits", "the limits in force, and what part of the fleet's this sluice takes", "Limits", a.limits, append(paged, service)...),
			get("/admin/selftest", "try everything out; 503 if something fails", "Selftest", a.selftest),
			get("/admin/log-level", "the level of the log", "LogLevel", a.logLevel),
		)
		selftest := all[len(all)-2]
		selftest.method, selftest.beside = "POST", true
		all = append(all, selftest)
	}
	if a.Fleet != nil && a.Book != nil {
		all = append(all, get("/admin/fleet", "the sluices of the fleet, and whether each has applied the latest changes", "Fleet", a.fleet, paged...))
	}
	return all
}

// tag marks an answer with the version of the changes in force.
func (a *api) tag(w http.ResponseWriter) {
	if a.Book != nil {
		w.Header().Set("ETag", quoted(a.Book.Overlay().Tag()))
	}
}

// uptime returns how long the process runs.
func (a *api) uptime() time.Duration { return time.Since(a.Started) }

func (a *api) config(w http.ResponseWriter, r *http.Request) {
	if !read(w, r, func(*params) {}) {
		return
	}
	a.tag(w)
	if a.Plane != nil {
		writeJSON(w, http.StatusOK, a.Plane.Settings())
		return
	}
	writeJSON(w, http.StatusOK, a.Settings)
}

func (a *api) routes(w http.ResponseWriter, r *http.Request) {
	var pg page
	if !read(w, r, func(p *params) { pg = p.page() }) {
		return
	}
	part, l := cut(a.Plane.RouteList(), pg)
	a.addFigures(part)
	a.tag(w)
	writeJSON(w, http.StatusOK, struct {
		Routes []RouteView `json:"routes"`
		listing
	}{part, l})
}

func (a *api) listeners(w http.ResponseWriter, r *http.Request) {
	var pg page
	if !read(w, r, func(p *params) { pg = p.page() }) {
		return
	}
	part, l := cut(a.Plane.ListenerList(), pg)
	a.tag(w)
	writeJSON(w, http.StatusOK, struct {
		Listeners []ListenerView `json:"listeners"`
		listing
	}{part, l})
}

// limits shows the limits in force; those of a service, if one is named.
func (a *api) limits(w http.ResponseWriter, r *http.Request) {
	var pg page
	var of string
	if !read(w, r, func(p *params) {
		pg = p.page()
		if name, one := p.text("service"); one {
			service, problems := control.TheService(a.Plane, name)
			p.problems, of = append(p.problems, problems...), "service "+service
		}
	}) {
		return
	}
	part, l := cut(slices.DeleteFunc(a.Plane.Limits(), func(v LimitView) bool { return of != "" && v.Of != of }), pg)
	a.tag(w)
	writeJSON(w, http.StatusOK, struct {
		Limits []LimitView `json:"limits"`
		listing
	}{part, l})
}

func (a *api) connections(w http.ResponseWriter, r *http.Request) {
	var pg page
	var f ConnectionFilter
	if !read(w, r, func(p *params) {
		pg = p.page()
		f = ConnectionFilter{Service: p.get("service"), Listener: p.get("listener"), Backend: p.get("backend")}
		if v := p.get("client"); v != "" {
			network, err := netip.ParsePrefix(v)
			if addr, bad := netip.ParseAddr(v); bad == nil {
				network, err = addr.Unmap().Prefix(addr.Unmap().BitLen())
			}
			if err != nil {
				p.add("client", control.Shorten(v), "it is neither an address nor a network", "10.0.0.1", "10.0.0.0/8")
			}
			f.Client = network
		}
		if f.Backend != "" {
			if addr, err := control.ParseAddress(f.Backend); err == nil {
				f.Backend = addr
			}
		}
	}) {
		return
	}
	part, total := a.Plane.Connections(f, pg.offset, pg.limit)
	if part == nil {
		part = []ConnectionView{}
	}
	writeJSON(w, http.StatusOK, struct {
		Connections []ConnectionView `json:"connections"`
		listing
	}{part, pg.of(total)})
}

func (a *api) explain(w http.ResponseWriter, r *http.Request) {
	q := Question{Headers: make(map[string]string)}
	if !read(w, r, func(p *params) {
		q.Listener, q.Service, q.Method, q.Host, q.Path, q.RequestID = p.get("listener"), p.get("service"), p.get("method"), p.get("host"), p.get("path"), p.get("request_id")
		if v := p.get("client"); v != "" {
			addr, err := netip.ParseAddr(v)
			if err != nil {
				p.add("client", control.Shorten(v), "it is not an address", "10.0.0.1")
			}
			q.Client = addr.Unmap()
		}
		for _, h := range p.all("header") {
			name, value, ok := strings.Cut(h, ":")
			if !ok || name == "" {
				p.add("header", control.Shorten(h), "it is not NAME:VALUE")
			}
			q.Headers[http.CanonicalHeaderKey(name)] = strings.TrimSpace(value)
		}
		if q.Path != "" && !strings.HasPrefix(q.Path, "/") {
			p.add("path", control.Shorten(q.Path), "it does not begin with /")
		}
	}) {
		return
	}
	e, err := a.Plane.Explain(q)
	if err != nil {
		refuseError(w, err, "")
		return
	}
	a.tag(w)
	writeJSON(w, http.StatusOK, e)
}

func (a *api) selftest(w http.ResponseWriter, r *http.Request) {
	if !read(w, r, func(*params) {}) {
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(2 * writeTimeout)) // it is net/http's own connection
	t := a.Plane.Selftest(r.Context())
	code := http.StatusOK
	if !t.OK {
		code = http.StatusServiceUnavailable
	}
	if t.Checks == nil {
		t.Checks = []TestResult{}
	}
	writeJSON(w, code, t)
}

func (a *api) logLevel(w http.ResponseWriter, r *http.Request) {
	if !read(w, r, func(*params) {}) {
		return
	}
	level := ""
	if m, ok := a.Plane.Settings().(map[string]any); ok {
		level, _ = m["log-level"].(string)
	}
	writeJSON(w, http.StatusOK, struct {
		Level   string   `json:"level"`
		Allowed []string `json:"allowed"`
	}{level, control.Allowed(control.OfProcess, control.LogLevel)})
}
