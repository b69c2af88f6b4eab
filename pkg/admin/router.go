package admin

import (
	"fmt"
	"net/http"

	"sluice/pkg/control"
)

// routes returns the mux of the whole control plane.
func routes(cfg Config) *router {
	services := func() []Service { return sorted(cfg.Services) }
	mux := newRouter()
	addHealth(mux, cfg.Ready)
	mux.HandleFunc("GET /metrics", metricsHandler(cfg.Metrics, services, cfg.Exemplar).ServeHTTP)
	newAPI(cfg).add(mux)
	addProfiles(mux)
	return mux
}

// router is an http.ServeMux that knows what it was given.
type router struct {
	*http.ServeMux
	patterns []string
}

func newRouter() *router { return &router{ServeMux: http.NewServeMux()} }

// ServeHTTP is that of http.ServeMux, but for what there is not: that is answered
// as any other mistake is.
func (m *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, pattern := m.Handler(r)
	if pattern != "" || r.RequestURI == "*" {
		m.ServeMux.ServeHTTP(w, r)
		return
	}
	none := &unanswered{header: w.Header()}
	if h.ServeHTTP(none, r); none.status != http.StatusNotFound && none.status != http.StatusMethodNotAllowed {
		m.ServeMux.ServeHTTP(w, r)
		return
	}
	detail := fmt.Sprintf("there is no %s; / lists what there is", control.Shorten(r.URL.Path))
	if here := elsewhere(r.URL.Path); here != "" {
		detail = fmt.Sprintf("there is no %s, which other balancers have; here it is %s", r.URL.Path, here)
	}
	if allow := w.Header().Get("Allow"); allow != "" {
		detail = fmt.Sprintf("%s does not take %s, but %s", control.Shorten(r.URL.Path), control.Shorten(r.Method), allow)
	}
	refuse(w, problem{Status: none.status, Detail: detail})
}

// elsewhere returns what is here what other balancers, Envoy, HAProxy and Traefik,
// have at a path; empty for nothing.
func elsewhere(path string) string {
	switch path {
	case "/clusters", "/api/http/services", "/api/tcp/services", "/api/rawdata", "/haproxy", "/haproxy?stats":
		return "/admin/backends"
	case "/listeners", "/api/entrypoints":
		return "/admin/listeners"
	case "/api/http/routers", "/api/tcp/routers", "/routes":
		return "/admin/routes"
	case "/config_dump", "/config":
		return "/admin/config"
	case "/stats/prometheus":
		return "/metrics"
	case "/stats":
		return "/admin/metrics/json"
	case "/ready":
		return "/readyz"
	case "/ping", "/health", "/server_info", "/api/version", "/api/overview":
		return "/healthz, or / for the version and all calls"
	case "/logging":
		return "/admin/log-level"
	case "/drain_listeners":
		return "DELETE /admin/listeners?listener=ADDR"
	case "/healthcheck/fail", "/healthcheck/ok", "/quitquitquit":
		return "SIGTERM, which drains, or /admin/maintenance for one service"
	case "/certs", "/memory", "/hot_restart_version":
		return "/metrics"
	case "/dashboard", "/admin/dashboard", "/ui", "/ui/":
		return "/dashboard/"
	}
	return ""
}

// unanswered takes an answer that nobody gets, but for its headers.
type unanswered struct {
	header http.Header
	status int
}

func (u *unanswered) Header() http.Header         { return u.header }
func (u *unanswered) Write(b []byte) (int, error) { return len(b), nil }
func (u *unanswered) WriteHeader(status int)      { u.status = status }

// HandleFunc is that of http.ServeMux.
func (m *router) HandleFunc(pattern string, f http.HandlerFunc) {
	m.patterns = append(m.patterns, pattern)
	m.ServeMux.HandleFunc(pattern, f)
}
