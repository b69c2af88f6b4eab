package admin

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/backend"
	"sluice/pkg/metricset"
)

// MetricsWriter writes metrics; *metrics.Set is one.
type MetricsWriter interface {
	// WritePrometheus writes them in Prometheus' text format.
	WritePrometheus(w io.Writer)
}

// conforming gives names that end as those of histograms do to metrics that are
// none, as promtool asks for, and takes away the blanks between labels, which
// OpenMetrics forbids.
var conforming = strings.NewReplacer(
	"go_cgo_calls_count", "go_cgo_calls",
	"go_cpu_count", "go_cpus",
	"go_gc_forced_count", "go_gc_forced",
	`", GO`, `",GO`,
)

// metricsHandler writes set, the process's metrics and those of the services, in
// Prometheus' text format, or in that of OpenMetrics, with exemplars, for who asks
// for it.
func metricsHandler(set MetricsWriter, services func() []Service, exemplar metricset.Exemplar) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		WriteMetrics(&b, set, services)
		kind := textFormat
		if wantsOpenMetrics(strings.Join(r.Header.Values("Accept"), ",")) {
			kind = openMetrics
			var o bytes.Buffer
			metricset.OpenMetrics(&o, b.Bytes(), exemplar)
			b = o
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Vary", "Accept")
		w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
		_, _ = w.Write(b.Bytes()) // a failure is the client's own
	})
}

// WriteMetrics writes set, the process's metrics and those of the services, in
// Prometheus' text format.
func WriteMetrics(b *bytes.Buffer, set MetricsWriter, services func() []Service) {
	set.WritePrometheus(b)
	writeServices(b, sorted(services))
	var own bytes.Buffer
	metrics.WriteProcessMetrics(&own)
	metrics.WriteFDMetrics(&own)
	metricset.Describe(b, []byte(conforming.Replace(own.String())))
}

// MetricNames returns the name of each metric that this package writes at
// scrape time, without labels: those of backends, which have the labels
// service and backend (its address) and some one more, and those of services.
func MetricNames() []string {
	var names []string
	for _, f := range backendFamilies() {
		names = append(names, f.name)
	}
	for _, f := range serviceFamilies() {
		names = append(names, f.name)
	}
	names = append(names, "sluice_service_strategy")
	return names
}

// family is a metric: how it is called and how it is read from a T. What it means is
// in pkg/metricset.
type family[T any] struct {
	name, kind string
	samples    []sample[T]
}

// sample is one series of a family. labels, written out, are empty for a
// family with one series for each T. If unit is not 0, what is read is in it.
type sample[T any] struct {
	labels string
	read   func(T) uint64
	unit   float64
}

// single is a family with one series for each T.
func single[T any](name, kind string, read func(T) uint64) family[T] {
	return family[T]{name, kind, []sample[T]{{read: read}}}
}

func serviceFamilies() []family[*serviceStats] {
	var bytes []sample[*serviceStats]
	for _, c := range backend.Crossings() {
		bytes = append(bytes,
			sample[*serviceStats]{labels: `zone="` + c.String() + `",direction="in"`, read: func(s *serviceStats) uint64 { return s.traffic[c].In }},
			sample[*serviceStats]{labels: `zone="` + c.String() + `",direction="out"`, read: func(s *serviceStats) uint64 { return s.traffic[c].Out }})
	}
	return []family[*serviceStats]{
		single("sluice_service_backends", "gauge",
			func(s *serviceStats) uint64 { return s.members }),
		single("sluice_service_eligible_backends", "gauge",
			func(s *serviceStats) uint64 { return s.eligible }),
		single("sluice_service_queued", "gauge",
			func(s *serviceStats) uint64 { return s.queued }),
		single("sluice_service_last_resort", "gauge",
			func(s *serviceStats) uint64 { return s.lastResort }),
		single("sluice_service_tier", "gauge",
			func(s *serviceStats) uint64 { return s.tier }),
		single("sluice_service_panic", "gauge",
			func(s *serviceStats) uint64 { return s.panics }),
		{"sluice_service_membership_changes_total", "counter", []sample[*serviceStats]{
			{labels: `change="joined"`, read: func(s *serviceStats) uint64 { return s.joined }},
			{labels: `change="left"`, read: func(s *serviceStats) uint64 { return s.left }},
		}},
		{"sluice_service_zone_bytes_total", "counter", bytes},
	}
}

func backendFamilies() []family[*backendStats] {
	var states []sample[*backendStats]
	for _, st := range backend.States() {
		states = append(states, sample[*backendStats]{labels: `state="` + st.String() + `"`, read: func(b *backendStats) uint64 { return oneIf(b.state == st) }})
	}
	words := []sample[*backendStats]{{labels: `to="reweighted"`, read: func(b *backendStats) uint64 { return b.reweighted }}}
	for _, st := range backend.Statuses() {
		words = append(words, sample[*backendStats]{labels: `to="` + st.String() + `"`, read: func(b *backendStats) uint64 { return b.said[st] }})
	}
	return []family[*backendStats]{
		{"sluice_backend_state", "gauge", states},
		single("sluice_backend_eligible", "gauge",
			func(b *backendStats) uint64 { return oneIf(b.eligible) }),
		single("sluice_backend_ejected", "gauge",
			func(b *backendStats) uint64 { return oneIf(b.ejected) }),
		single("sluice_backend_warming", "gauge",
			func(b *backendStats) uint64 { return oneIf(b.warming) }),
		single("sluice_backend_weight", "gauge",
			func(b *backendStats) uint64 { return b.weight }),
		single("sluice_backend_connections", "gauge",
			func(b *backendStats) uint64 { return b.active }),
		single("sluice_backend_picks_total", "counter",
			func(b *backendStats) uint64 { return b.picks }),
		single("sluice_backend_connections_total", "counter",
			func(b *backendStats) uint64 { return b.connections }),
		single("sluice_backend_connect_failures_total", "counter",
			func(b *backendStats) uint64 { return b.connectFailures }),
		{"sluice_backend_latency_seconds", "gauge", []sample[*backendStats]{
			{read: func(b *backendStats) uint64 { return uint64(b.latency) }, unit: 1e-9},
		}},
		{"sluice_backend_error_ratio", "gauge", []sample[*backendStats]{
			{read: func(b *backendStats) uint64 { return uint64(b.errors * 1e6) }, unit: 1e-6},
		}},
		{"sluice_backend_bytes_total", "counter", []sample[*backendStats]{
			{labels: `direction="in"`, read: func(b *backendStats) uint64 { return b.bytesIn }},
			{labels: `direction="out"`, read: func(b *backendStats) uint64 { return b.bytesOut }},
		}},
		{"sluice_backend_checks_total", "counter", []sample[*backendStats]{
			{labels: `result="passed"`, read: func(b *backendStats) uint64 { return b.passed }},
			{labels: `result="failed"`, read: func(b *backendStats) uint64 { return b.failed }},
		}},
		{"sluice_backend_transitions_total", "counter", append(words, []sample[*backendStats]{
			{labels: `to="up"`, read: func(b *backendStats) uint64 { return b.wentUp }},
			{labels: `to="down"`, read: func(b *backendStats) uint64 { return b.wentDown }},
			{labels: `to="ejected"`, read: func(b *backendStats) uint64 { return b.wentOut }},
			{labels: `to="readmitted"`, read: func(b *backendStats) uint64 { return b.wentIn }},
		}...)},
	}
}

func oneIf(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// serviceStats is what is read of a service for one scrape.
type serviceStats struct {
	labels            string
	members, eligible uint64
	queued, panics    uint64
	lastResort        uint64
	joined, left      uint64
	tier              uint64
	traffic           [backend.UnknownZone + 1]backend.Traffic
}

// backendStats is what is read of an address for one scrape. Members of a
// service that share an address are one backend to a metric: numbers add up,
// it is eligible if one of them is, and of their states up wins over down and
// down over unknown.
type backendStats struct {
	reweighted uint64
	said       [backend.Absent + 1]uint64 // by status

	labels            string
	state             backend.State
	eligible, ejected bool
	warming           bool
	weight            uint64
	active            uint64
	latency           time.Duration // the worst, as are errors
	errors            float64
	picks             uint64
	connections       uint64
	connectFailures   uint64
	bytesIn, bytesOut uint64
	passed, failed    uint64
	wentUp, wentDown  uint64
	wentOut, wentIn   uint64
}

func (s *backendStats) add(b *backend.Backend, eligible bool) {
	s.eligible = s.eligible || eligible
	s.warming = s.warming || b.Warmth(b.Now()) < 1
	s.ejected = s.ejected || b.Condition().Ejection.Active()
	switch st := b.State(); {
	case st == backend.Up, st == backend.Down && s.state == backend.Unknown:
		s.state = st
	}
	c := &b.Counters
	s.weight += uint64(b.Weight())
	s.active += uint64(b.Active())
	now := b.Now()
	s.latency = max(s.latency, b.Latency(now))
	s.errors = max(s.errors, b.ErrorRate(now))
	s.picks += b.Picked()
	s.connections += c.Connections.Load()
	s.connectFailures += c.ConnectFailures.Load()
	s.bytesIn += c.BytesIn.Load()
	s.bytesOut += c.BytesOut.Load()
	s.passed += c.ChecksPassed.Load()
	s.failed += c.ChecksFailed.Load()
	s.wentUp += c.WentUp.Load()
	s.wentDown += c.WentDown.Load()
	s.wentOut += c.Ejected.Load()
	s.wentIn += c.Readmitted.Load()
	s.reweighted += b.Reweighted()
	for _, st := range backend.Statuses() {
		s.said[st] += b.Said(st)
	}
}

// writeServices writes all series of services and their backends as they are
// now, by service and address.
func writeServices(w *bytes.Buffer, services []Service) {
	// Prometheus escapes these three and no others, unlike %q.
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	label := func(name, value string) string {
		return name + `="` + escape.Replace(strings.ToValidUTF8(value, "\uFFFD")) + `"`
	}
	var all []*serviceStats
	var backends []*backendStats
	for _, svc := range services {
		snap := svc.Pool.Snapshot()
		members := snap.All
		service := label("service", svc.Pool.Service())
		s := &serviceStats{labels: service, members: uint64(len(members)), eligible: uint64(len(snap.Eligible)), queued: uint64(svc.Pool.Waiting()), panics: oneIf(snap.Panic), lastResort: oneIf(snap.LastResort), tier: uint64(snap.Tier)}
		s.joined, s.left = svc.Pool.Membership().Joined.Load(), svc.Pool.Membership().Left.Load()
		for _, c := range backend.Crossings() {
			s.traffic[c] = svc.Pool.ZoneTraffic(c)
		}
		byLabels := make(map[string]*backendStats, len(members))
		for _, b := range members {
			labels := service + "," + label("backend", b.Addr())
			if byLabels[labels] == nil {
				byLabels[labels] = &backendStats{labels: labels}
			}
			byLabels[labels].add(b, snap.Offers(b))
		}
		all = append(all, s)
		for _, labels := range slices.Sorted(maps.Keys(byLabels)) {
			backends = append(backends, byLabels[labels])
		}
	}
	writeFamilies(w, serviceFamilies(), all, func(s *serviceStats) string { return s.labels })
	writeFamilies(w, backendFamilies(), backends, func(b *backendStats) string { return b.labels })
	w.WriteString("# HELP sluice_service_strategy " + metricset.Help()["sluice_service_strategy"] + "\n# TYPE sluice_service_strategy gauge\n")
	for i, svc := range services {
		if svc.Strategy != nil {
			w.WriteString("sluice_service_strategy{" + all[i].labels + "," + label("strategy", svc.Strategy()) + "} 1\n")
		}
	}
}

// writeFamilies writes each family with its series for every one of items.
func writeFamilies[T any](w *bytes.Buffer, families []family[T], items []T, labels func(T) string) {
	help := metricset.Help()
	for _, f := range families {
		w.WriteString("# HELP " + f.name + " " + help[f.name] + "\n# TYPE " + f.name + " " + f.kind + "\n")
		for _, item := range items {
			for _, s := range f.samples {
				w.WriteString(f.name + "{" + labels(item))
				if s.labels != "" {
					w.WriteString("," + s.labels)
				}
				value := strconv.FormatUint(s.read(item), 10)
				if s.unit != 0 {
					value = strconv.FormatFloat(float64(s.read(item))*s.unit, 'g', -1, 64)
				}
				w.WriteString("} " + value + "\n")
			}
		}
	}
}
