package admin

import (
	"io"
	"net/http"
)

// addHealth adds the two endpoints for whoever probes: by GET, by HEAD, or by
// OPTIONS, which is what HAProxy's check asks unless it is told otherwise. All
// get the same status; net/http leaves the body of a HEAD away.
func addHealth(mux *router, ready func() Readiness) {
	probe := func(path string, f http.HandlerFunc) {
		mux.HandleFunc("GET "+path, f) // and HEAD
		mux.HandleFunc("OPTIONS "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", "GET, HEAD, OPTIONS")
			f(w, r)
		})
	}
	probe("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n") // a failure is the client's own
	})
	probe("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		a := Readiness{Ready: true}
		if ready != nil {
			a = ready()
		}
		code := http.StatusOK
		if !a.Ready {
			code = http.StatusServiceUnavailable
		}
		if a.Reasons == nil {
			a.Reasons = []string{}
		}
		writeJSON(w, code, a)
	})
}
