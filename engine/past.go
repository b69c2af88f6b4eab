package engine

import (
	"fmt"

	"sluice/l7"
	"sluice/pkg/admin"
	"sluice/pkg/control"
)

// explainPast tells what became of the last requests of an ID.
func (a asked) explainPast(id string) (admin.Explanation, error) {
	x := admin.Explanation{Backends: []admin.ExplainedBackend{}, Limits: []admin.LimitView{}, Steps: []string{}}
	all := a.e.fronts.recent.Find(id)
	if len(all) == 0 {
		return x, fmt.Errorf("%w: no request with this ID is among the last %d", control.ErrNotFound, l7.RecentRequests)
	}
	for _, p := range all {
		x.Requests = append(x.Requests, pastView(p))
	}
	last := x.Requests[0]
	x.Listener, x.Route, x.Service, x.Strategy = last.Listener, last.Route, last.Service, last.Strategy
	x.Steps = append(x.Steps, "the HTTP listener "+last.Listener+" accepted it from "+last.Client)
	if last.Route != "" {
		x.Steps = append(x.Steps, "the route "+last.Route+" was the most specific one")
	}
	if last.Service != "" {
		x.Steps = append(x.Steps, fmt.Sprintf("the service %s picked by %s", last.Service, last.Strategy))
	}
	for i, t := range last.Attempts {
		if i == len(last.Attempts)-1 && last.Lost > 0 {
			x.Steps = append(x.Steps, fmt.Sprintf("%d more attempts failed", last.Lost))
		}
		x.Steps = append(x.Steps, fmt.Sprintf("backend %s: %s, after %g ms", t.Backend, t.Result, t.After))
		x.Picked = t.Backend
	}
	x.Verdict = fmt.Sprintf("the client got %d after %g ms", last.Status, last.Duration)
	if last.Reason != "" {
		x.Verdict += ": " + last.Reason
	}
	if len(all) > 1 {
		x.Verdict += fmt.Sprintf("; %d earlier requests had the same ID", len(all)-1)
	}
	return x, nil
}

func pastView(p l7.Past) admin.ExplainedRequest {
	v := admin.ExplainedRequest{
		At: p.At.UTC(), RequestID: p.RequestID, Client: p.Client.String(), Listener: p.Listener, Route: p.Route, Service: p.Service, Strategy: p.Strategy,
		Status: p.Status, Reason: p.Reason.String(), Duration: few(1000 * p.Duration.Seconds()), Attempts: []admin.ExplainedAttempt{}, Lost: p.Lost,
	}
	for _, t := range p.Attempts {
		result := t.Reason.String()
		if result == "" {
			result = "answered"
		}
		v.Attempts = append(v.Attempts, admin.ExplainedAttempt{Backend: t.Backend, Result: result, After: few(1000 * t.After.Seconds())})
	}
	return v
}
