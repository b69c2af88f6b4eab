package admin

import (
	"net/http"

	"sluice/pkg/control"
)

// taskView is a sluice of the fleet.
type taskView struct {
	control.Task
	UpToDate bool `json:"up_to_date"` // it has applied the latest version
}

func (a *api) fleet(w http.ResponseWriter, r *http.Request) {
	var pg page
	if !read(w, r, func(p *params) { pg = p.page() }) {
		return
	}
	name, tasks, err := a.Fleet(r.Context())
	version := a.Book.Overlay().Version
	v := struct {
		Fleet   string     `json:"fleet"`
		Version uint64     `json:"version"` // of the latest changes
		Applied bool       `json:"applied"` // by all that are not silent
		Ready   int        `json:"ready"`
		Trouble string     `json:"trouble"` // with Consul; then these are those seen last
		Note    string     `json:"note,omitempty"`
		Tasks   []taskView `json:"tasks"`
		listing
	}{Fleet: name, Version: version, Ready: control.Ready(tasks), Applied: true}
	if name == "" {
		v.Note = "this sluice is in no fleet, and is shown alone; --fleet NAME with --consul ADDR makes those of one name share what operators change"
	}
	if err != nil {
		v.Trouble, v.Applied = err.Error(), false
	}
	var views []taskView
	for _, t := range tasks {
		if !t.Silent && t.Applied < version {
			v.Applied = false
		}
		views = append(views, taskView{t, t.Applied >= version})
	}
	v.Tasks, v.listing = cut(views, pg)
	a.tag(w)
	writeJSON(w, http.StatusOK, v)
}
