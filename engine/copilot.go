package engine

import (
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"sluice/pkg/advice"
	"sluice/pkg/backend"
	"sluice/pkg/config"
	"sluice/pkg/control"
	"sluice/pkg/copilot"
)

const (
	// copilotBackends is how many backends of a service a language model is told
	// of, those in trouble first, and copilotServices of how many services.
	copilotBackends = 20
	copilotServices = 50
	// copilotEvents is how many of the latest events it is told of.
	copilotEvents = 60
)

// newCopilot returns who answers questions; nil if nobody does.
func newCopilot(e *Engine) *copilot.Copilot {
	c := e.config.Copilot
	if !c.On() {
		return nil
	}
	return copilot.New(copilot.Config{
		Provider: c.Provider, URL: c.URL, Model: c.Model, KeyFile: c.KeyFile, Timeout: c.Timeout, Daily: c.DailyCap,
		Facts: func() copilot.Facts { return e.factsForModel(time.Now()) },
	})
}

// The facts that a language model is given. Each field is chosen: what is not here
// is not sent.
type (
	modelFacts struct {
		Now             time.Time        `json:"now"`
		Version         string           `json:"version"`
		UptimeSeconds   int              `json:"uptime_seconds"`
		Ready           bool             `json:"ready"`
		Reasons         []string         `json:"not_ready_because,omitempty"`
		Details         []string         `json:"troubles,omitempty"`
		Advice          []advice.Finding `json:"advice"`
		Services        []modelService   `json:"services"`
		ServicesOmitted int              `json:"services_omitted,omitempty"`
		Changes         []modelChange    `json:"changes_by_operators"`
		Events          []modelEvent     `json:"events"`
		OpenConnections int              `json:"open_connections"`
		MaxConnections  int              `json:"max_connections,omitempty"`
		DrainSeconds    float64          `json:"drain_timeout_seconds"`
	}
	modelService struct {
		Name            string         `json:"name"`
		Strategy        string         `json:"strategy"`
		Panic           bool           `json:"panic,omitempty"`
		Eligible        int            `json:"backends_in"`
		Total           int            `json:"backends"`
		Rate            float64        `json:"per_second"`
		LatencyMS       *float64       `json:"latency_ms"`
		P99MS           *float64       `json:"p99_ms"`
		InFlight        float64        `json:"in_flight"`
		Requests        float64        `json:"requests_15min"`
		Connections     float64        `json:"connections_15min"`
		Retries         float64        `json:"retries_15min"`
		Openings        float64        `json:"circuit_openings_15min"`
		MaxRequests     int            `json:"max_requests,omitempty"`
		MaxConns        int            `json:"max_conns,omitempty"`
		Waiting         int            `json:"waiting,omitempty"`
		HourMS          []float64      `json:"latency_ms_by_minute,omitempty"` // the oldest first
		Sources         []string       `json:"sources,omitempty"`
		Backends        []modelBackend `json:"backend_list"`
		BackendsOmitted int            `json:"backends_omitted,omitempty"` // all of them in
	}
	modelBackend struct {
		Address   string   `json:"address"`
		In        bool     `json:"in"`
		State     string   `json:"state"`
		Reason    string   `json:"reason,omitempty"`
		Detail    string   `json:"last_error,omitempty"`
		Since     string   `json:"since"`
		Weight    int      `json:"weight"`
		Zone      string   `json:"zone,omitempty"`
		Active    float64  `json:"active"`
		Picks     float64  `json:"picks_15min"`
		LatencyMS *float64 `json:"latency_ms"`
		Errors    float64  `json:"error_ratio"`
		Failed    uint64   `json:"checks_failed,omitempty"`
		Refused   uint64   `json:"connects_failed,omitempty"`
	}
	modelChange struct {
		What   string    `json:"what"`
		Reason string    `json:"reason,omitempty"`
		Since  time.Time `json:"since"`
		Until  string    `json:"until,omitempty"`
	}
	modelEvent struct {
		At      time.Time         `json:"at"`
		Kind    control.EventKind `json:"kind"`
		Service string            `json:"service,omitempty"`
		Backend string            `json:"backend,omitempty"`
		Message string            `json:"message"`
	}
)

// factsForModel returns what a language model is told of the run.
func (e *Engine) factsForModel(now time.Time) copilot.Facts {
	facts, ready := e.facts(now), e.readiness()
	m := modelFacts{
		Now: now.UTC(), Version: e.version, UptimeSeconds: int(now.Sub(e.began).Seconds()), Ready: ready.Ready, Reasons: ready.Reasons, Details: ready.Details,
		Advice: advice.Find(facts), Services: []modelService{}, Changes: []modelChange{}, Events: []modelEvent{},
		OpenConnections: facts.Process.Connections, MaxConnections: facts.Process.MaxConns, DrainSeconds: facts.Process.Drain.Seconds(),
	}
	var known []string
	for _, s := range e.services.list() {
		snap := s.pool.Snapshot()
		for _, b := range snap.All {
			known = append(known, b.Addr())
		}
		i := slices.IndexFunc(facts.Services, func(x advice.Service) bool { return x.Name == s.name })
		if i < 0 {
			continue
		}
		if len(m.Services) == copilotServices {
			m.ServicesOmitted++
			continue
		}
		m.Services = append(m.Services, toldOf(facts.Services[i], snap))
	}
	for _, f := range e.fronts.list() {
		known = append(known, f.addr().String())
	}
	e.turn.Lock()
	overlay := e.sources.Overlay
	e.turn.Unlock()
	for _, c := range overlay.Changes() {
		x := modelChange{What: config.Shown(c.String()), Reason: c.Reason, Since: c.At.UTC()}
		if !c.Expires.IsZero() {
			x.Until = c.Expires.UTC().Format(time.RFC3339)
		}
		m.Changes = append(m.Changes, x)
	}
	if journal := e.services.journal; journal != nil {
		events, _, _ := journal.After(0, 1<<30)
		for _, v := range events[max(0, len(events)-copilotEvents):] {
			m.Events = append(m.Events, modelEvent{v.At.UTC(), v.Kind, v.Service, v.Backend, config.Shown(v.Message)})
		}
	}
	return copilot.Facts{Body: m, Known: known, Secrets: secretsOf(e.config)}
}

// toldOf returns what is told of a service.
func toldOf(f advice.Service, snap *backend.Snapshot) modelService {
	m := modelService{
		Name: f.Name, Strategy: f.Strategy, Panic: f.Panic, Eligible: len(snap.Eligible), Total: len(snap.All),
		Rate: rounded(f.Traffic.Rate), LatencyMS: milliseconds(f.Traffic.Latency), P99MS: milliseconds(f.Traffic.P99), InFlight: rounded(f.Traffic.InFlight),
		Requests: f.Traffic.Requests, Connections: f.Traffic.Connections, Retries: f.Traffic.Retries, Openings: f.Traffic.Openings,
		MaxRequests: f.Limits.MaxRequests, MaxConns: f.Limits.MaxConns, Waiting: f.Limits.Waiting, Backends: []modelBackend{},
	}
	for _, x := range f.Hour {
		if ms := milliseconds(x.Latency); ms != nil {
			m.HourMS = append(m.HourMS, *ms)
		}
	}
	for _, s := range f.Sources {
		text := s.Name + ": well"
		if s.Trouble != "" {
			text = s.Name + ": " + s.Trouble
		}
		m.Sources = append(m.Sources, text)
	}
	for i, b := range snap.All {
		if i >= len(f.Backends) || f.Backends[i].Address != b.Addr() { // it has just changed
			break
		}
		x, st := f.Backends[i], b.Standing()
		_, reason := b.Eligible()
		m.Backends = append(m.Backends, modelBackend{
			Address: x.Address, In: x.Eligible, State: b.Condition().State.String(), Reason: reason, Detail: st.Detail,
			Since: backend.TimeOfDay(st.Since).UTC().Format(time.RFC3339), Weight: x.Weight, Zone: b.Target().Zone, Active: x.Active, Picks: x.Picks, LatencyMS: milliseconds(x.Latency), Errors: rounded(x.ErrorRate),
			Failed: x.ChecksFailed, Refused: x.ConnectFailures,
		})
	}
	// Those that are out come first, then those that fail.
	slices.SortStableFunc(m.Backends, func(a, b modelBackend) int {
		switch {
		case a.In != b.In && b.In:
			return -1
		case a.In != b.In:
			return 1
		case a.Errors > b.Errors:
			return -1
		case a.Errors < b.Errors:
			return 1
		}
		return 0
	})
	if len(m.Backends) > copilotBackends {
		m.BackendsOmitted = len(m.Backends) - copilotBackends
		m.Backends = m.Backends[:copilotBackends]
	}
	return m
}

func rounded(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return math.Round(v*1000) / 1000
}

// milliseconds returns a latency given in seconds; nil if it is not known.
func milliseconds(seconds float64) *float64 {
	if math.IsNaN(seconds) || seconds <= 0 {
		return nil
	}
	ms := rounded(seconds * 1000)
	return &ms
}

// secretsOf returns the secrets that this process has been told.
func secretsOf(c *config.Config) (all []string) {
	for _, v := range []string{string(c.AdminToken), string(c.AdminReadToken), string(c.StickySecret), os.Getenv("CONSUL_HTTP_TOKEN")} {
		if v != "" {
			all = append(all, v)
		}
	}
	if _, password, ok := strings.Cut(os.Getenv("CONSUL_HTTP_AUTH"), ":"); ok {
		all = append(all, password)
	}
	for _, file := range []string{c.AdminTokenFile, c.AdminReadTokenFile, os.Getenv("CONSUL_HTTP_TOKEN_FILE")} {
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			continue // who reads it for its own sake says so
		}
		line, _, _ := strings.Cut(string(text), "\n")
		all = append(all, strings.TrimSpace(line))
	}
	return all
}
