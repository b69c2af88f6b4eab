package admin

import (
	"errors"
	"net/http"

	"sluice/pkg/control"
)

// problem is an answer in the form of RFC 9457 (application/problem+json).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Error is Detail, for who reads what older versions answered.
	Error string `json:"error"`
	// Problems name each field that is wrong, and what it may be.
	Problems control.Problems `json:"problems,omitempty"`
	// Version is that of the changes in force, of a 412.
	Version string `json:"version,omitempty"`
	// Forcible says that force=true does it all the same.
	Forcible bool `json:"forcible,omitempty"`
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, p problem) {
	if p.Type == "" {
		p.Type = "about:blank"
	}
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	p.Error = p.Detail
	w.Header().Set("Content-Type", "application/problem+json")
	writeJSON(w, p.Status, p)
}

// refuseFields answers 400 with what is wrong with the fields of a request.
func refuseFields(w http.ResponseWriter, ps control.Problems) {
	refuse(w, problem{Status: http.StatusBadRequest, Title: "The request is not well-formed", Detail: ps.Error(), Problems: ps})
}

// refuseError answers with the status that an order's error has. tag is that of
// the changes in force.
func refuseError(w http.ResponseWriter, err error, tag string) {
	var fields control.Problems
	var conflict control.Conflict
	p := problem{Detail: err.Error()}
	switch {
	case errors.As(err, &fields):
		refuseFields(w, fields)
		return
	case errors.As(err, &conflict):
		p.Status, p.Title, p.Forcible = http.StatusConflict, "It cannot be done as things are", conflict.Forcible
		if conflict.Forcible {
			p.Detail += "; force=true does it all the same"
		}
	case errors.Is(err, control.ErrStale):
		p.Status, p.Title, p.Version = http.StatusPreconditionFailed, "Somebody else has changed something meanwhile", tag
		w.Header().Set("ETag", quoted(tag))
	case errors.Is(err, control.ErrNoContact):
		p.Status, p.Title = http.StatusServiceUnavailable, "The store of changes cannot be reached"
		p.Detail += "; local=true changes it on this sluice alone"
		w.Header().Set("Retry-After", "5")
	case errors.Is(err, control.ErrNewer), errors.Is(err, control.ErrNotKept):
		p.Status, p.Title = http.StatusServiceUnavailable, "The change cannot be kept"
	case errors.Is(err, control.ErrFull):
		p.Status, p.Title = http.StatusConflict, "Too many changes are in force"
	case errors.Is(err, control.ErrNotFound):
		p.Status, p.Title = http.StatusNotFound, "There is no such thing"
	default:
		p.Status, p.Title = http.StatusInternalServerError, "It failed"
	}
	refuse(w, p)
}

// writeError answers with a message.
func writeError(w http.ResponseWriter, code int, message string) {
	refuse(w, problem{Status: code, Detail: message})
}
