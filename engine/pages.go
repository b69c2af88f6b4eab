package engine

import (
	"net/http"
	"strings"
	"time"

	"sluice/pkg/admin"
	"sluice/pkg/dashboard"
	"sluice/pkg/history"
)

// pages returns what is answered beside the control plane's own calls: the
// dashboard, and what it asks for.
func (e *Engine) pages(version string, ready func() admin.Readiness) ([]admin.Page, error) {
	static, err := dashboard.NewStatic()
	if err != nil {
		return nil, err
	}
	live := dashboard.NewLive(dashboard.Source{Version: version, Started: time.Now(), Services: e.services.shown, Ready: ready, History: e.recorder.store})
	return []admin.Page{
		{Path: "/dashboard/", About: "all of this as a page for a browser", Handler: static},
		{Path: "/admin/live", About: "what the dashboard shows, as a stream of events (Accept: text/event-stream) or once", Handler: live},
		{Path: "/admin/history", About: "the last 15 minutes by the second, of all or ?service=NAME", Handler: e.recorder.store, Params: []admin.PageParam{
			{Name: "service", About: "* for each"}, {Name: "metrics", About: "several, separated by commas: " + strings.Join(history.Names(), ", ")},
			{Name: "since", Kind: "integer", About: "the number of the step from which on"}, {Name: "width", Kind: "integer", About: "seconds that a step has"},
		}},
		{Path: "/admin/advice", About: "what to look at, by rule: evidence, consequence, what to do", Handler: http.HandlerFunc(e.serveAdvice)},
	}, nil
}
