package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sluice/pkg/control"
	"sluice/pkg/copilot"
)

// maxCopilot is how long an answer may be waited for, beyond its own time-out.
const maxCopilot = time.Hour + time.Minute

// copilotCalls are the calls of the copilot, which are there although it is off,
// so that they say so.
func (a *api) copilotCalls() []operation {
	return []operation{
		{method: "GET", path: "/admin/copilot", summary: "who answers questions, if anybody does, and how many are left today", answer: "Copilot", handle: a.aboutCopilot},
		{method: "POST", path: "/admin/copilot", summary: "a question, answered by a language model from advice, events and figures; as a stream (SSE) with Accept: text/event-stream", answer: "Answer", handle: a.askCopilot,
			params: []parameter{
				{name: "question", about: fmt.Sprintf("in words, up to %d bytes", copilot.MaxQuestion)},
				{name: "dry_run", kind: "boolean", about: "say what would be sent and to whom, and send nothing"},
				{name: "id", about: "of what a dry run has shown: sends just that"},
			}},
	}
}

func (a *api) aboutCopilot(w http.ResponseWriter, r *http.Request) {
	if read(w, r, func(*params) {}) {
		writeJSON(w, http.StatusOK, a.Copilot.About())
	}
}

func (a *api) askCopilot(w http.ResponseWriter, r *http.Request) {
	var question, id string
	dry := false
	if !read(w, r, func(p *params) {
		question, _ = p.text("question")
		question = strings.TrimSpace(question)
		id, dry = p.get("id"), p.flag("dry_run")
		switch {
		case id != "" && (question != "" || dry):
			p.add("id", control.Shorten(id), "it sends what was shown: a question and dry_run are another")
		case id == "" && question == "":
			p.add("question", "", "it is missing")
		case len(question) > copilot.MaxQuestion:
			p.add("question", control.Shorten(question), fmt.Sprintf("it has %d bytes; at most %d may be", len(question), copilot.MaxQuestion))
		}
	}) {
		return
	}
	if a.Copilot == nil {
		refuse(w, problem{Status: http.StatusServiceUnavailable, Title: "The copilot is off", Detail: copilot.Off().Trouble})
		return
	}
	prompt, ok := a.Copilot.Kept(id)
	if id != "" && !ok {
		refuse(w, problem{Status: http.StatusNotFound, Title: "There is no such question", Detail: "what was shown under this id is kept for 15 minutes, and this is not; ask again"})
		return
	}
	if id == "" {
		var err error
		if prompt, err = a.Copilot.Prepare(question, a.proposable()); err != nil {
			refuse(w, problem{Status: http.StatusInternalServerError, Title: "It failed", Detail: err.Error()})
			return
		}
	}
	if dry {
		writeJSON(w, http.StatusOK, prompt)
		return
	}
	a.Logger.Info("the copilot is asked", "provider", prompt.Provider, "url", prompt.URL, "model", prompt.Model, "bytes", prompt.Bytes, "by", a.identity(r))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(maxCopilot)) // it is net/http's own connection
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		a.streamAnswer(w, r, prompt)
		return
	}
	answer, err := a.Copilot.Ask(r.Context(), prompt, func(string) {})
	if err != nil {
		p := copilotProblem(err)
		a.Logger.Warn("the copilot has no answer", "provider", prompt.Provider, "reason", p.Detail)
		refuse(w, p)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// proposable are the calls that a language model may propose: those that change
// something, each in one way.
func (a *api) proposable() (all []copilot.Call) {
	if a.Book == nil || a.Plane == nil {
		return nil
	}
	for _, o := range a.orders() {
		if !o.beside {
			all = append(all, copilot.Call{Method: o.method, Path: o.path, Why: o.summary + parametersOf(o)})
		}
	}
	return all
}

// parametersOf names the parameters of a call, without those that all have.
func parametersOf(o operation) string {
	var names []string
	common := ordering()
	for _, p := range o.params {
		if !slices.Contains(names, p.name) && !slices.ContainsFunc(common, func(c parameter) bool { return c.name == p.name }) {
			names = append(names, p.name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

func copilotProblem(err error) problem {
	var t copilot.Trouble
	if !errors.As(err, &t) {
		return problem{Status: http.StatusInternalServerError, Title: "It failed", Detail: err.Error()}
	}
	return problem{Status: t.Status, Title: "There is no answer", Detail: t.Reason}
}

// streamAnswer sends an answer as it comes: events piece, and then answer or
// problem.
func (a *api) streamAnswer(w http.ResponseWriter, r *http.Request, prompt copilot.Prompt) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	c := http.NewResponseController(w)
	send := func(event string, v any) {
		data, err := json.Marshal(v)
		if err != nil {
			return // it is made of strings and numbers
		}
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, data)
		_ = c.Flush() // who is gone ends the request's context
	}
	send("sent", prompt)
	answer, err := a.Copilot.Ask(r.Context(), prompt, func(piece string) {
		send("piece", struct {
			Text string `json:"text"`
		}{piece})
	})
	if err != nil {
		p := copilotProblem(err)
		p.Type, p.Error = "about:blank", p.Detail
		a.Logger.Warn("the copilot has no answer", "provider", prompt.Provider, "reason", p.Detail)
		send("problem", p)
		return
	}
	send("answer", answer)
}
