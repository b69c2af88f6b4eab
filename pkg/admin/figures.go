package admin

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

func (a *api) metricsJSON(w http.ResponseWriter, r *http.Request) {
	var pg page
	var name string
	if !read(w, r, func(p *params) { pg, name = p.page(), p.get("name") }) {
		return
	}
	all := a.series()
	t := sum(all)
	t.UptimeSeconds = round(a.uptime().Seconds())
	all = slices.DeleteFunc(all, func(s series) bool { return !strings.HasPrefix(s.Name, name) })
	part, l := cut(all, pg)
	writeJSON(w, http.StatusOK, struct {
		Totals totals   `json:"totals"`
		Series []series `json:"metrics"`
		listing
	}{t, part, l})
}

// lbBackend is a backend in /lb-metrics.
type lbBackend struct {
	Service     string     `json:"service"`
	URL         string     `json:"url"`
	State       string     `json:"state"`
	Active      int64      `json:"active_connections"`
	Requests    uint64     `json:"total_requests"`
	Failures    uint64     `json:"total_failures"`
	LastChecked *time.Time `json:"last_checked"` // null: not known
}

func (a *api) lbMetrics(w http.ResponseWriter, r *http.Request) {
	if !read(w, r, func(*params) {}) {
		return
	}
	t := a.totals()
	v := struct {
		UptimeSeconds float64     `json:"uptime_seconds"`
		Requests      float64     `json:"total_requests"`
		Success       float64     `json:"success_requests"`
		Failed        float64     `json:"failed_requests"`
		Retries       float64     `json:"retry_attempts"`
		Latency       float64     `json:"avg_latency_ms"`
		Healthy       int         `json:"healthy_backends"`
		Total         int         `json:"total_backends"`
		Backends      []lbBackend `json:"backends"` // the first 1000
	}{UptimeSeconds: t.UptimeSeconds, Requests: t.Requests, Success: t.Success, Failed: t.Failed, Retries: t.Retries, Latency: t.AverageLatency, Backends: []lbBackend{}}
	for _, s := range sorted(a.Services) {
		snap := s.Pool.Snapshot()
		for _, b := range snap.All {
			v.Total++
			if snap.Offers(b) {
				v.Healthy++
			}
			if len(v.Backends) >= defaultPage {
				continue
			}
			c := &b.Counters
			one := lbBackend{Service: s.Pool.Service(), URL: "http://" + b.Addr(), State: b.State().String(), Active: b.Active(),
				Requests: c.Connections.Load(), Failures: c.ConnectFailures.Load()}
			if ns := c.LastCheck.Load(); ns != 0 {
				at := time.Unix(0, ns).UTC()
				one.LastChecked = &at
			}
			v.Backends = append(v.Backends, one)
		}
	}
	writeJSON(w, http.StatusOK, v)
}

// addFigures fills in what passed through routes.
func (a *api) addFigures(routes []RouteView) {
	requests, seconds, count := make(map[string]float64), make(map[string]float64), make(map[string]float64)
	for _, s := range a.series() {
		route := s.Labels["route"]
		switch s.Name {
		case "sluice_l7_route_requests_total":
			requests[route] += s.Value
		case "sluice_l7_route_request_duration_seconds_sum":
			seconds[route] += s.Value
		case "sluice_l7_route_request_duration_seconds_count":
			count[route] += s.Value
		}
	}
	for i := range routes {
		r := &routes[i]
		name := r.Host + r.Path
		r.Requests = uint64(requests[name])
		if n := count[name]; n > 0 {
			r.AverageMilliseconds = round(1000 * seconds[name] / n)
		}
	}
}
