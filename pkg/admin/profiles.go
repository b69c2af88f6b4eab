package admin

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"os"
	"strconv"
	"sync"
)

// maxProfileSeconds is the longest time that a profile is taken for; more
// counts as this.
const maxProfileSeconds = 60

// addProfiles adds Go's profiles.
func addProfiles(mux *router) {
	p := &profiles{}
	mux.HandleFunc("GET /debug/pprof/", p.timed(pprof.Index, false)) // and every profile by its name
	mux.HandleFunc("GET /debug/pprof/profile", p.timed(pprof.Profile, true))
	mux.HandleFunc("GET /debug/pprof/trace", p.timed(pprof.Trace, true))
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/cmdline", cmdline)
}

// profiles keeps those that take time from being taken at the same time: each
// costs, and they would show up in one another.
type profiles struct{ busy sync.Mutex }

// timed wraps a handler that takes as many seconds as it is asked to, which it
// also is without being asked if always.
func (p *profiles) timed(h http.HandlerFunc, always bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		seconds := q.Get("seconds")
		if seconds == "" && !always {
			h(w, r)
			return
		}
		if !p.busy.TryLock() {
			writeError(w, http.StatusConflict, "another profile is being taken")
			return
		}
		defer p.busy.Unlock()
		// NaN is more, too.
		if n, err := strconv.ParseFloat(seconds, 64); err == nil && !(n <= maxProfileSeconds) {
			q.Set("seconds", strconv.Itoa(maxProfileSeconds))
			r.URL.RawQuery = q.Encode()
		}
		h(w, r)
	}
}

// cmdline shows the name of the program only: arguments may hold secrets, and
// /admin/config shows the settings without them.
func cmdline(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, os.Args[0])
}
