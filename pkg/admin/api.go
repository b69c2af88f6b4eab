package admin

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"sluice/pkg/control"
)

// api answers everything under /admin/, and what other balancers' users type
// beside it.
type api struct {
	Config
	journal *control.Journal // nil without a book
}

func newAPI(cfg Config) *api {
	a := &api{Config: cfg}
	if a.Started.IsZero() {
		a.Started = time.Now()
	}
	if cfg.Book != nil {
		a.journal = cfg.Book.Journal()
	}
	return a
}

// operation is one call: what the mux leads to a handler, and what the OpenAPI
// document says of it.
type operation struct {
	method, path string
	summary      string
	params       []parameter
	answer       string // the schema of the answer to success
	handle       http.HandlerFunc
	// beside says that it is another way to say what another operation is for.
	beside bool
}

// parameter is a parameter of an operation, of the query or of the body.
type parameter struct {
	name     string
	about    string
	required bool
	kind     string // string, integer, boolean; empty: string
	enum     []string
}

// operations lists all there is, in the order in which the index shows it.
func (a *api) operations() []operation {
	all := a.questions()
	for _, p := range a.Beside {
		o := operation{method: "GET", path: p.Path, summary: p.About, answer: "Page", handle: p.Handler.ServeHTTP}
		for _, x := range p.Params {
			o.params = append(o.params, parameter{name: x.Name, about: x.About, kind: x.Kind})
		}
		all = append(all, o)
	}
	all = append(all, a.copilotCalls()...)
	if a.Book != nil && a.Plane != nil {
		all = append(all, a.orders()...)
		all = append(all, a.seeds()...)
	}
	return all
}

// add adds every operation to a mux.
func (a *api) add(mux *router) {
	operations := a.operations()
	for _, o := range operations {
		mux.HandleFunc(o.method+" "+o.path, o.handle)
	}
	document := newDocument(a.Version, operations)
	mux.HandleFunc("GET /admin/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		if read(w, r, func(*params) {}) {
			writeJSON(w, http.StatusOK, document)
		}
	})
	mux.HandleFunc("GET /{$}", index(a.Version, operations))
	mux.HandleFunc("GET /admin/{$}", index(a.Version, operations))
	mux.HandleFunc("GET /admin", index(a.Version, operations))
}

// index says what there is.
func index(version string, operations []operation) http.HandlerFunc {
	lines := [][3]string{
		{"/healthz", "GET", "200 while the process answers"},
		{"/readyz", "GET", "200, or 503 with the reasons"},
		{"/metrics", "GET", "metrics in Prometheus' text format"},
		{"/admin/openapi.json", "GET", "all of this, with every parameter (OpenAPI 3)"},
		{"/debug/pprof/", "GET", "Go's profiles"},
	}
	for _, o := range operations {
		if !o.beside {
			lines = append(lines, [3]string{o.path, o.method, o.summary})
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "sluice %s\n\n", version)
	for _, l := range lines {
		fmt.Fprintf(&b, "%-56s %-6s  %s\n", l[0], l[1], l[2])
	}
	text := b.String()
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, text) // a failure is the client's own
	}
}
