package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/pkg/control"
)

const (
	// streamWrite is how long a client of a stream may take for what it is sent,
	// and streamBeat how often it is sent something, so that whoever is gone is
	// found out.
	streamWrite = 10 * time.Second
	streamBeat  = 15 * time.Second
	// streamBatch is how many events are sent at once.
	streamBatch = 256
)

// isStream reports whether r asks for events as they come.
func isStream(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		return true
	}
	q := r.URL.Query()
	return r.URL.Path == "/admin/events" && slices.ContainsFunc([]string{"stream", "follow"}, func(name string) bool {
		v := strings.ToLower(q.Get(name))
		return q.Has(name) && v != "false" && v != "0" && v != "no"
	})
}

// eventFilter says which events are meant.
type eventFilter struct {
	kinds            []string
	service, backend string
}

func (f eventFilter) means(e control.Event) bool {
	return (len(f.kinds) == 0 || slices.Contains(f.kinds, string(e.Kind))) &&
		(f.service == "" || f.service == e.Service) && (f.backend == "" || f.backend == e.Backend)
}

// eventsHandler lists events, or sends them as they come.
func (a *api) events(w http.ResponseWriter, r *http.Request) {
	var f eventFilter
	var after uint64
	var limit int
	var fresh bool // only what is to come
	ok := read(w, r, func(p *params) {
		p.flag("stream")
		p.flag("follow")
		f.service, f.backend = p.get("service"), p.get("backend")
		if v := p.get("kind"); v != "" {
			f.kinds = strings.Split(v, ",")
			for _, k := range f.kinds {
				if !slices.Contains(control.EventKinds(), control.EventKind(k)) {
					p.add("kind", control.Shorten(k), "there is no such kind", eventKinds()...)
				}
			}
		}
		limit = p.count("limit", defaultPage, 1, maxPage)
		last := r.Header.Get("Last-Event-ID")
		if v := p.get("last_event_id"); v != "" {
			last = v
		}
		switch v := p.get("after"); {
		case v != "":
			n, err := strconv.ParseUint(v, 10, 64)
			if err != nil {
				p.add("after", control.Shorten(v), "it is not the number of an event")
			}
			after = n
		case last != "":
			after = a.resume(last)
		case isStream(r):
			after, fresh = a.journal.Last(), true
		}
	})
	switch {
	case !ok:
	case isStream(r):
		a.stream(w, r, f, after, fresh)
	default:
		a.listEvents(w, f, after, limit)
	}
}

func eventKinds() (all []string) {
	for _, k := range control.EventKinds() {
		all = append(all, string(k))
	}
	return all
}

// resume returns the number in an ID of the stream; 0, so that all there are are
// sent, if it is another process's.
func (a *api) resume(id string) uint64 {
	journal, number, _ := strings.Cut(id, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || journal != a.journal.ID() || n > a.journal.Last() {
		return 0
	}
	return n
}

// eventID returns the ID by which a stream is taken up again.
func (a *api) eventID(seq uint64) string { return a.journal.ID() + "-" + strconv.FormatUint(seq, 10) }

// listEvents answers with the latest of those events that are meant.
func (a *api) listEvents(w http.ResponseWriter, f eventFilter, after uint64, limit int) {
	events, lost, _ := a.journal.After(after, 1<<30)
	meant := []control.Event{}
	for _, e := range events {
		if f.means(e) {
			meant = append(meant, e)
		}
	}
	total := len(meant)
	if total > limit {
		if after > 0 {
			meant = meant[:limit]
		} else {
			meant = meant[total-limit:]
		}
	}
	next := after
	if len(meant) > 0 {
		next = meant[len(meant)-1].Seq
	}
	writeJSON(w, http.StatusOK, struct {
		Events    []control.Event `json:"events"` // the oldest first
		Total     int             `json:"total"`
		Limit     int             `json:"limit"`
		Lost      uint64          `json:"lost"`       // before the first, since the journal is bounded
		NextAfter uint64          `json:"next_after"` // for after=
		LastID    string          `json:"last_event_id"`
	}{meant, total, limit, lost, next, a.eventID(a.journal.Last())})
}

// stream sends events as server-sent events until the client goes away or the
// server stops.
func (a *api) stream(w http.ResponseWriter, r *http.Request, f eventFilter, after uint64, fresh bool) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	c := http.NewResponseController(w)
	send := func(text string) bool {
		_ = c.SetWriteDeadline(time.Now().Add(streamWrite)) // it is net/http's own connection
		if _, err := w.Write([]byte(text)); err != nil {
			return false
		}
		return c.Flush() == nil
	}
	// Who reconnects at once is told from where on.
	hello := "retry: 2000\n: sluice " + a.Version + "\n\n"
	if fresh {
		hello += "id: " + a.eventID(after) + "\nevent: begin\ndata: {}\n\n"
	}
	if !send(hello) {
		return
	}
	beat := time.NewTicker(streamBeat)
	defer beat.Stop()
	for {
		events, lost, more := a.journal.After(after, streamBatch)
		var b strings.Builder
		if lost > 0 {
			fmt.Fprintf(&b, "event: lost\ndata: {\"lost\":%d}\n\n", lost)
		}
		for _, e := range events {
			after = e.Seq
			if !f.means(e) {
				continue
			}
			data, err := json.Marshal(e)
			if err != nil {
				continue // it is made of strings
			}
			fmt.Fprintf(&b, "id: %s\nevent: %s\ndata: %s\n\n", a.eventID(e.Seq), e.Kind, data)
		}
		if b.Len() > 0 && !send(b.String()) {
			return
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-r.Context().Done():
			return
		case <-more:
		case <-beat.C:
			if !send(": still there\n\n") {
				return
			}
		}
	}
}
