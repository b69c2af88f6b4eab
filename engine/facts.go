package engine

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"sluice/engine/desired"
	"sluice/pkg/advice"
	"sluice/pkg/backend"
	"sluice/pkg/config"
	"sluice/pkg/history"
)

// ecsStop and systemdStop are after what time ECS kills a task that was asked to
// stop, and systemd a unit, unless they were told otherwise.
const (
	ecsStop     = 30 * time.Second
	systemdStop = 90 * time.Second
)

// Advice returns what an operator should look at.
func (e *Engine) Advice() []advice.Finding { return advice.Find(e.facts(time.Now())) }

// serveAdvice answers with the advice as JSON.
func (e *Engine) serveAdvice(w http.ResponseWriter, _ *http.Request) {
	b, err := json.Marshal(struct {
		Advice []advice.Finding `json:"advice"`
		Rules  []string         `json:"rules"` // all that were tried
	}{e.Advice(), advice.Rules()})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // a failure is the client's own
}

// facts returns what is known of the run.
func (e *Engine) facts(now time.Time) advice.Facts {
	f := advice.Facts{Now: now}
	for _, s := range e.services.list() {
		f.Services = append(f.Services, e.recorder.factsOf(s, now))
	}
	troubles := e.services.troubles()
	for _, d := range e.readiness().Details {
		if !slices.Contains(troubles, d) {
			f.Troubles = append(f.Troubles, d)
		}
	}
	c := e.services.config.Load()
	f.Process = advice.Process{DrainDelay: c.DrainDelay, Drain: c.DrainTimeout, Connections: e.fronts.open(), MaxConns: e.fronts.files.conns / 2, Ports: ephemeralPorts()}
	f.Process.Surroundings, f.Process.StopTimeout = surroundings(e.ecs, os.Getenv)
	for _, x := range e.fronts.list() {
		f.Process.Listeners = append(f.Process.Listeners, advice.Listener{Name: x.kind + " " + x.addr().String(), Open: x.listener.Open(), MaxConns: maxConnsOf(x.wants)})
	}
	var text bytes.Buffer
	e.recorder.sets.WriteSeries(&text)
	reading := history.Read(text.Bytes())
	f.Process.Limited = e.recorder.limited(reading.Clients)
	passed := 0.0
	for _, s := range e.recorder.store.Range("", 0) {
		passed += known(s[history.Requests])
	}
	for i := range f.Process.Limited {
		if f.Process.Limited[i].Limit == "rate" {
			f.Process.Limited[i].Passed = passed
		}
	}
	e.turn.Lock()
	overlay := e.sources.Overlay
	e.turn.Unlock()
	for _, x := range overlay.Changes() {
		change := advice.Change{ID: x.Key().String(), What: string(x.What), Service: x.Target.Service, By: x.By, Reason: x.Reason, At: x.At, Endless: x.Expires.IsZero()}
		if x.Target.Name != x.Target.Service {
			change.Backend = x.Target.Name
		}
		f.Changes = append(f.Changes, change)
	}
	return f
}

// surroundings returns who would kill this process, and how long after a request
// to stop; nobody and 0 if that is not known. Systemd waits for as long as a
// process that may notify it says (see notify.Notifier), and is not among them then.
func surroundings(ecs string, getenv func(string) string) (name string, stop time.Duration) {
	switch {
	case ecs != "":
		return "ECS", ecsStop
	case getenv("INVOCATION_ID") != "" && getenv("NOTIFY_SOCKET") == "": // of a unit that is not Type=notify
		return "systemd", systemdStop
	}
	return "", 0
}

// factsOf returns what is known of a service.
func (r *recorder) factsOf(s *service, now time.Time) advice.Service {
	snap := s.pool.Snapshot()
	want := s.wants.Load()
	settings := want.Settings
	f := advice.Service{
		Name: s.name, Strategy: s.balancer.Strategy(), Panic: snap.Panic, PanicThreshold: *settings.PanicThreshold,
		Limits: advice.Limits{MaxRequests: r.services.part().number(settings.MaxRequests, settings.Fleet), MaxConns: settings.MaxConns, Waiting: s.pool.Waiting(), RetryBudget: *settings.RetryBudget},
		Health: advice.Health{
			Checked: settings.Check != "none", HTTP: isHTTPCheck(settings.Check, want.TCP), Interval: want.Checks.Interval, Timeout: want.Checks.Timeout,
			Fall: want.Checks.Fall, SlowStart: *settings.SlowStart,
		},
	}
	for _, x := range r.store.Range(s.name, 0) {
		f.Traffic.Requests += known(x[history.Requests])
		f.Traffic.Connections += known(x[history.Connections])
		f.Traffic.Retries += known(x[history.Retries])
		f.Traffic.Denied += known(x[history.Denied])
		f.Traffic.Openings += known(x[history.Openings])
	}
	f.Traffic.Latency, f.Traffic.P99 = math.NaN(), math.NaN()
	hour := r.store.Hour(s.name)
	for i, m := range hour {
		rate := known(m[history.Requests]) + known(m[history.Connections])
		f.Hour = append(f.Hour, advice.Minute{Requests: 60 * rate, Latency: float64(m[history.Mean])})
		if i == len(hour)-1 {
			f.Traffic.Rate, f.Traffic.Latency, f.Traffic.P99 = rate, float64(m[history.Mean]), float64(m[history.P99])
			// By Little's law, which is steadier than what happens to be in flight.
			if f.Traffic.InFlight = rate * f.Traffic.Latency; math.IsNaN(f.Traffic.InFlight) {
				f.Traffic.InFlight = known(m[history.InFlight])
			}
		}
	}
	for _, rep := range s.reports() {
		f.Sources = append(f.Sources, advice.Source{Name: rep.Source, Trouble: rep.Trouble, Since: rep.Since, Kept: rep.Kept})
	}
	for _, b := range snap.All {
		c := b.Condition()
		picks, cold := r.recall(b, now)
		x := advice.Backend{
			Address: b.Addr(), Weight: b.Weight(), Eligible: snap.Offers(b), Ejected: c.Ejection.Active(), Cause: c.Ejection.Cause,
			Until: backend.TimeOfDay(c.Ejection.Until), Picks: picks, Active: float64(b.Active()), Cold: cold.Seconds(),
			Latency: b.Latency(b.Now()).Seconds(), Measured: b.Measured(), ErrorRate: b.ErrorRate(b.Now()),
			ChecksPassed: b.Counters.ChecksPassed.Load(), ChecksFailed: b.Counters.ChecksFailed.Load(), ConnectFailures: b.Counters.ConnectFailures.Load(),
		}
		for _, h := range b.History() {
			if (h.To == backend.Up.String() || h.To == backend.Down.String()) && now.Sub(h.At) < advice.Window {
				x.Transitions++
			}
		}
		f.Backends = append(f.Backends, x)
	}
	return f
}

// known returns a value, 0 if it is unknown.
func known(v float32) float64 {
	if math.IsNaN(float64(v)) {
		return 0
	}
	return float64(v)
}

// isHTTPCheck reports whether checks ask for an HTTP answer: as they are told, or
// by default where nothing but HTTP leads to a service.
func isHTTPCheck(check string, tcp bool) bool {
	return len(check) >= 4 && check[:4] == "http" || check == "" && !tcp
}

func maxConnsOf(want desired.Listener) int {
	if want.Kind == "l7" {
		return want.HTTP.ConnLimits.MaxConns
	}
	return config.Merged(want.L4()).ConnLimits.MaxConns
}

// ephemeralPorts returns how many ports the system has for connections to one
// address and port; 0 if it does not say.
func ephemeralPorts() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) != 2 {
		return 0
	}
	first, err1 := strconv.Atoi(string(fields[0]))
	last, err2 := strconv.Atoi(string(fields[1]))
	if err1 != nil || err2 != nil || last < first {
		return 0
	}
	return last - first + 1
}
