package admin

import (
	"io"
	"net/http"
)

// addHealth adds the two endpoints for whoever probes.
func addHealth(mux *http.ServeMux, ready func() Readiness) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n") // a failure is the client's own
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
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
