package admin

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"sluice/pkg/backend"
)

// backendView is a backend as /admin/backends shows it.
type backendView struct {
	ID              string    `json:"id"`
	Address         string    `json:"address"`
	Zone            string    `json:"zone"`
	Weight          int       `json:"weight"`
	Priority        int       `json:"priority"`
	Status          string    `json:"status"` // the source's word
	State           string    `json:"state"`  // health's word
	Since           time.Time `json:"since"`
	Eligible        bool      `json:"eligible"` // gets new connections
	Reason          string    `json:"reason"`   // why not, or why all the same
	Streak          int       `json:"streak"`
	Signal          string    `json:"signal"`
	Detail          string    `json:"detail"`
	Rise            int       `json:"rise"`   // passes in a row to come back, when down
	Word            string    `json:"word"`   // of itself: drain, a part of its weight, or nothing
	Warmth          float64   `json:"warmth"` // part of its share; below 1 during a slow start
	Active          int64     `json:"active"`
	Picked          uint64    `json:"picked"` // times that a connection or request was given to it
	Connections     uint64    `json:"connections"`
	ConnectFailures uint64    `json:"connect_failures"`
	BytesIn         uint64    `json:"bytes_in"`
	BytesOut        uint64    `json:"bytes_out"`
	ChecksPassed    uint64    `json:"checks_passed"`
	ChecksFailed    uint64    `json:"checks_failed"`
	TransitionsUp   uint64    `json:"transitions_up"`
	TransitionsDown uint64    `json:"transitions_down"`
	Ejections       uint64    `json:"ejections"`

	Ejection *ejectionView `json:"ejection,omitempty"`

	History []historyView `json:"history"` // the oldest first
}

// historyView is a backend's change as /admin/backends shows it.
type historyView struct {
	At     time.Time `json:"at"`
	To     string    `json:"to"`
	Streak int       `json:"streak"`
	Signal string    `json:"signal"`
	Detail string    `json:"detail"`
}

// ejectionView is why live traffic keeps a backend out, and for how long.
type ejectionView struct {
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Number int       `json:"number"`
	Streak int       `json:"streak"`
	Cause  string    `json:"cause"`
}

// serviceView is a service as /admin/backends shows it.
type serviceView struct {
	Service  string        `json:"service"`
	Strategy string        `json:"strategy"`
	Version  uint64        `json:"version"`        // of the membership; 0 until a source has reported
	Eligible int           `json:"eligible"`       // how many of backends are
	Panic    bool          `json:"panic"`          // too few were, so that others are used too
	Last     bool          `json:"last_resort"`    // nobody was, so that members in warning of weight 0 are used
	Tier     int           `json:"tier"`           // whose turn it is, by priority; 0 is the first
	Tiers    int           `json:"tiers"`          // how many there are
	OwnZone  string        `json:"own_zone"`       // empty if zones make no difference
	OwnShare float64       `json:"own_zone_share"` // part of new connections that stays there; 0 if zones make no difference now
	Backends []backendView `json:"backends"`       // ordered by ID
	Sources  []sourceView  `json:"sources,omitempty"`
}

// sourceView is a source of members as /admin/backends shows it.
type sourceView struct {
	Source  string     `json:"source"`
	Trouble string     `json:"trouble"`         // empty while all is well
	Since   *time.Time `json:"since,omitempty"` // of the trouble
	Kept    int        `json:"kept"`            // members it does not vouch for
}

func viewSource(s Source) sourceView {
	v := sourceView{Source: s.Source, Trouble: s.Trouble, Kept: s.Kept}
	if !s.Since.IsZero() {
		v.Since = &s.Since
	}
	return v
}

func viewBackend(b *backend.Backend, snap *backend.Snapshot) backendView {
	t, c, st := b.Target(), b.Condition(), b.Standing()
	eligible := snap.Offers(b)
	ok, why := b.Eligible()
	if ok && !eligible {
		why = "it is in reserve: members of an earlier priority can serve"
	}
	if eligible && !ok {
		why = "used all the same, since too few others are available: " + why
	}
	history := []historyView{}
	for _, c := range b.History() {
		c.At = backend.TimeOfDay(c.At)
		history = append(history, historyView(c))
	}
	v := backendView{
		ID:              b.ID(),
		Address:         b.Addr(),
		Zone:            t.Zone,
		Weight:          t.Weight,
		Priority:        t.Priority,
		Status:          t.Status.String(),
		State:           c.State.String(),
		Since:           backend.TimeOfDay(st.Since),
		Eligible:        eligible,
		Reason:          why,
		Streak:          st.Streak,
		Signal:          st.Signal,
		Detail:          st.Detail,
		Rise:            c.Rise,
		Word:            c.Word.String(),
		Warmth:          math.Round(b.Warmth(b.Now())*1000) / 1000,
		Active:          b.Active(),
		Picked:          b.Picked(),
		Connections:     b.Counters.Connections.Load(),
		ConnectFailures: b.Counters.ConnectFailures.Load(),
		BytesIn:         b.Counters.BytesIn.Load(),
		BytesOut:        b.Counters.BytesOut.Load(),
		ChecksPassed:    b.Counters.ChecksPassed.Load(),
		ChecksFailed:    b.Counters.ChecksFailed.Load(),
		TransitionsUp:   b.Counters.WentUp.Load(),
		TransitionsDown: b.Counters.WentDown.Load(),
		Ejections:       b.Counters.Ejected.Load(),
		History:         history,
	}
	if c.Ejection.Active() {
		e := ejectionView(c.Ejection)
		e.Since, e.Until = backend.TimeOfDay(e.Since), backend.TimeOfDay(e.Until)
		v.Ejection = &e
	}
	return v
}

func viewService(s Service) serviceView {
	snap := s.Pool.Snapshot()
	v := serviceView{
		Service:  s.Pool.Service(),
		Version:  snap.Version,
		Panic:    snap.Panic,
		Last:     snap.LastResort,
		Tier:     snap.Tier,
		Tiers:    snap.Tiers,
		OwnZone:  s.Pool.Policy().Zone,
		Backends: make([]backendView, 0, len(snap.All)),
	}
	if snap.Zonal != nil {
		v.OwnShare = math.Round(snap.Zonal.Share*1000) / 1000
	}
	if s.Strategy != nil {
		v.Strategy = s.Strategy()
	}
	for _, b := range snap.All {
		bv := viewBackend(b, snap)
		if bv.Eligible {
			v.Eligible++
		}
		v.Backends = append(v.Backends, bv)
	}
	if s.Sources != nil {
		for _, source := range s.Sources() {
			v.Sources = append(v.Sources, viewSource(source))
		}
	}
	return v
}

// shown returns the service of that name, if one is asked for, or all in order.
func shown(services func() []Service, one bool, name string) []Service {
	if !one || services == nil {
		return sorted(services)
	}
	for _, s := range services() { // there may be thousands
		if s.Pool.Service() == name {
			return []Service{s}
		}
	}
	return nil
}

// writeJSON answers with v as indented JSON, or with 500 if it cannot be
// encoded.
func writeJSON(w http.ResponseWriter, code int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "cannot encode the answer", http.StatusInternalServerError)
		return
	}
	b = append(b, '\n')
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(code)
	_, _ = w.Write(b) // a failure is the client's own
}
