package dashboard

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/pkg/admin"
	"sluice/pkg/backend"
	"sluice/pkg/history"
)

// Source is where what is shown comes from. All must be safe for concurrent use.
type Source struct {
	Version  string
	Started  time.Time
	Services func() []admin.Service
	Ready    func() admin.Readiness
	History  *history.Store
}

// parts are what is, in pieces of JSON that are sent when they change: the whole
// run, each service, and of each backend what it is and what it counts.
type parts struct {
	about    string
	services map[string]string
	backends map[string]map[string]string // by service and ID
	counts   map[string]map[string]string
	step     string // the latest of the history; always sent
	marks    []history.Mark
	next     int // since which step marks are to be asked next
}

// aboutView is the run.
type aboutView struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Ready   bool      `json:"ready"`
	Reasons []string  `json:"reasons"`
	Details []string  `json:"details"`
}

// serviceView is a service without its backends.
type serviceView struct {
	Strategy string       `json:"strategy"`
	Version  uint64       `json:"version"`
	Eligible int          `json:"eligible"`
	Total    int          `json:"total"`
	Panic    bool         `json:"panic"`
	Last     bool         `json:"last_resort"`
	Tier     int          `json:"tier"`
	Tiers    int          `json:"tiers"`
	Waiting  int          `json:"waiting"`
	Weight   float64      `json:"weight"` // of all eligible backends
	Sources  []sourceView `json:"sources"`
}

type sourceView struct {
	Source  string     `json:"source"`
	Trouble string     `json:"trouble"`
	Since   *time.Time `json:"since,omitempty"`
	Kept    int        `json:"kept"`
}

// backendView is what a backend is.
type backendView struct {
	Address    string     `json:"address"`
	Zone       string     `json:"zone,omitempty"`
	Priority   int        `json:"priority,omitempty"`
	Weight     int        `json:"weight"`    // as its source has it
	Effective  int        `json:"effective"` // as it counts, its own word and the operator's included
	Status     string     `json:"status"`
	State      string     `json:"state"`
	Eligible   bool       `json:"eligible"`
	Reason     string     `json:"reason,omitempty"`
	Since      time.Time  `json:"since"`
	Streak     int        `json:"streak,omitempty"`
	Signal     string     `json:"signal,omitempty"`
	Detail     string     `json:"detail,omitempty"`
	Word       string     `json:"word,omitempty"`
	Order      string     `json:"order,omitempty"` // an operator's
	OrderWhy   string     `json:"order_reason,omitempty"`
	CloseBy    *time.Time `json:"close_by,omitempty"`
	EjectUntil *time.Time `json:"eject_until,omitempty"`
	Changes    int        `json:"changes"` // that its history has
}

// read reads what is.
func (s Source) read(since int) parts {
	ready := s.Ready()
	p := parts{
		about:    encode(aboutView{s.Version, s.Started.UTC(), ready.Ready, list(ready.Reasons), list(ready.Details)}),
		services: make(map[string]string), backends: make(map[string]map[string]string), counts: make(map[string]map[string]string),
	}
	for _, svc := range s.Services() {
		p.service(svc)
	}
	n, total, steps := s.History.Latest()
	p.step = encodeSteps(n, total, steps)
	if since == 0 {
		since = n
	}
	a := s.History.Ask(history.Question{Service: "*", Metrics: []history.Metric{}, Since: max(0, since), Width: 1})
	p.marks, p.next = a.Marks, a.Next
	return p
}

func (p *parts) service(svc admin.Service) {
	name := svc.Pool.Service()
	if _, again := p.services[name]; again {
		return
	}
	snap := svc.Pool.Snapshot()
	v := serviceView{
		Version: snap.Version, Eligible: len(snap.Eligible), Total: len(snap.All), Panic: snap.Panic, Last: snap.LastResort,
		Tier: snap.Tier, Tiers: snap.Tiers, Waiting: svc.Pool.Waiting(), Sources: []sourceView{},
	}
	if svc.Strategy != nil {
		v.Strategy = svc.Strategy()
	}
	if svc.Sources != nil {
		for _, x := range svc.Sources() {
			src := sourceView{Source: x.Source, Trouble: x.Trouble, Kept: x.Kept}
			if !x.Since.IsZero() {
				since := x.Since.UTC()
				src.Since = &since
			}
			v.Sources = append(v.Sources, src)
		}
	}
	backends, counts := make(map[string]string, len(snap.All)), make(map[string]string, len(snap.All))
	for _, b := range snap.All {
		view := viewBackend(b, snap)
		if view.Eligible {
			v.Weight += float64(b.Weight()) * b.Warmth(b.Now())
		}
		backends[b.ID()] = encode(view)
		counts[b.ID()] = countsOf(b)
	}
	v.Weight = math.Round(v.Weight*100) / 100
	p.services[name], p.backends[name], p.counts[name] = encode(v), backends, counts
}

func viewBackend(b *backend.Backend, snap *backend.Snapshot) backendView {
	t, c, st, order := b.Target(), b.Condition(), b.Standing(), b.Order()
	eligible := snap.Offers(b)
	ok, why := b.Eligible()
	switch {
	case ok && !eligible:
		why = "it is in reserve: members of an earlier priority can serve"
	case eligible && !ok:
		why = "used all the same, since too few others are available: " + why
	}
	v := backendView{
		Address: b.Addr(), Zone: t.Zone, Priority: t.Priority, Weight: t.Weight, Effective: b.Weight(), Status: t.Status.String(), State: c.State.String(),
		Eligible: eligible, Reason: why, Since: backend.TimeOfDay(st.Since).UTC().Truncate(time.Second), Streak: st.Streak, Signal: st.Signal, Detail: st.Detail,
		Word: c.Word.String(), Order: order.String(), OrderWhy: order.Reason, Changes: len(b.History()),
	}
	if !order.CloseBy.IsZero() {
		by := backend.TimeOfDay(order.CloseBy).UTC().Truncate(time.Second)
		v.CloseBy = &by
	}
	if c.Ejection.Active() {
		until := backend.TimeOfDay(c.Ejection.Until).UTC().Truncate(time.Second)
		v.EjectUntil = &until
	}
	return v
}

// countsOf writes what a backend counts: active, picks, failed connects, bytes in,
// bytes out, latency in ms, error ratio, warmth, checks passed, checks failed.
func countsOf(b *backend.Backend) string {
	now := b.Now()
	n := make([]byte, 0, 96)
	whole := func(v uint64) { n = append(strconv.AppendUint(n, v, 10), ',') }
	n = append(n, '[')
	whole(uint64(b.Active()))
	whole(b.Picked())
	whole(b.Counters.ConnectFailures.Load())
	whole(b.Counters.BytesIn.Load())
	whole(b.Counters.BytesOut.Load())
	n = append(history.AppendValue(n, float32(b.Latency(now).Seconds()*1000)), ',')
	n = append(strconv.AppendFloat(n, b.ErrorRate(now), 'f', 3, 64), ',')
	n = append(strconv.AppendFloat(n, b.Warmth(now), 'f', 2, 64), ',')
	whole(b.Counters.ChecksPassed.Load())
	n = strconv.AppendUint(n, b.Counters.ChecksFailed.Load(), 10)
	return string(append(n, ']'))
}

// encodeSteps writes the latest step of all and of each service.
func encodeSteps(n int, total history.Step, services map[string]history.Step) string {
	b := append(strconv.AppendInt([]byte(`{"n":`), int64(n), 10), `,"total":`...)
	b = append(appendStep(b, total), `,"services":{`...)
	for i, name := range sortedKeys(services) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, encode(name)...), ':')
		b = appendStep(b, services[name])
	}
	return string(append(b, "}}"...))
}

func appendStep(b []byte, s history.Step) []byte {
	b = append(b, '[')
	for i, v := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = history.AppendValue(b, v)
	}
	return append(b, ']')
}

// frame is what is sent: what changed from before to now, or all of it.
func frame(before *parts, now parts, at time.Time) []byte {
	var b strings.Builder
	b.WriteString(`{"at":`)
	b.WriteString(strconv.FormatInt(at.UnixMilli(), 10))
	b.WriteString(`,"whole":`)
	b.WriteString(strconv.FormatBool(before == nil))
	if before == nil {
		before = &parts{}
		b.WriteString(`,"metrics":` + encode(history.Names()))
	}
	if now.about != before.about {
		b.WriteString(`,"about":` + now.about)
	}
	b.WriteString(`,"services":`)
	changed(&b, before.services, now.services)
	b.WriteString(`,"backends":`)
	nested(&b, before.backends, now.backends)
	b.WriteString(`,"counts":`)
	nested(&b, before.counts, now.counts)
	b.WriteString(`,"step":` + now.step)
	if len(now.marks) > 0 {
		b.WriteString(`,"marks":` + encode(now.marks))
	}
	b.WriteString(`}`)
	return []byte(b.String())
}

// changed writes an object of what is otherwise in now; null for what is gone.
func changed(b *strings.Builder, before, now map[string]string) {
	b.WriteByte('{')
	first := true
	add := func(key, value string) {
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.WriteString(encode(key) + ":" + value)
	}
	for _, key := range sortedKeys(now) {
		if old, ok := before[key]; !ok || old != now[key] {
			add(key, now[key])
		}
	}
	for _, key := range sortedKeys(before) {
		if _, ok := now[key]; !ok {
			add(key, "null")
		}
	}
	b.WriteByte('}')
}

// nested writes the same for each service.
func nested(b *strings.Builder, before, now map[string]map[string]string) {
	b.WriteByte('{')
	first := true
	for _, name := range sortedKeys(now) {
		var part strings.Builder
		changed(&part, before[name], now[name])
		if part.Len() == 2 { // {}
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.WriteString(encode(name) + ":" + part.String())
	}
	b.WriteByte('}')
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// encode writes v, which always can be written, as JSON.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: what the dashboard shows is no JSON: " + err.Error())
	}
	return string(b)
}

func list(all []string) []string {
	if all == nil {
		return []string{}
	}
	return all
}
