package admin

import (
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/pkg/backend"
)

// newService returns a service with these members.
func newService(name string, targets ...backend.Target) Service {
	p := backend.NewPool(name)
	p.Set(targets)
	return Service{Pool: p, Strategy: func() string { return "p2c" }}
}

// listed returns services as Config takes them.
func listed(services ...Service) func() []Service { return func() []Service { return services } }

// member returns the backend of a service by its ID.
func member(t *testing.T, s Service, id string) *backend.Backend {
	t.Helper()
	for _, b := range s.Pool.Snapshot().All {
		if b.ID() == id {
			return b
		}
	}
	t.Fatalf("no member %q", id)
	return nil
}

// busyService returns a service whose numbers all differ.
func busyService(t *testing.T) Service {
	t.Helper()
	s := newService("web",
		backend.Target{ID: "b2", Address: "10.0.0.2:80", Weight: 2, Zone: "z2", Status: backend.Warning},
		backend.Target{ID: "b1", Address: "10.0.0.1:80", Weight: 5, Zone: "z1"},
	)
	b1, b2 := member(t, s, "b1"), member(t, s, "b2")
	since := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	b1.SetCondition(backend.Condition{State: backend.Up, Since: since, Streak: 1, Signal: "tcp check"})
	b2.SetCondition(backend.Condition{State: backend.Up, Since: since, Streak: 1, Signal: "tcp check"})
	b2.SetCondition(backend.Condition{State: backend.Down, Since: since, Streak: 3, Signal: "tcp check", Detail: "connection refused", Rise: 8})
	b1.Say(backend.Word{Weight: 50}, since)
	b1.Acquire()
	b1.Acquire()
	b1.Counters.Connections.Store(11)
	b1.Counters.ConnectFailures.Store(12)
	b1.Counters.BytesIn.Store(13)
	b1.Counters.BytesOut.Store(14)
	b1.Counters.ChecksPassed.Store(15)
	b1.Counters.ChecksFailed.Store(16)
	return s
}

func TestBackends(t *testing.T) {
	t.Parallel()
	idle := newService("idle")
	idle.Strategy = nil
	s := start(t, Config{Services: listed(busyService(t), idle)})
	const (
		idleJSON = `{"service":"idle","strategy":"","version":1,"eligible":0,"panic":false,"last_resort":false,"tier":0,"tiers":0,"own_zone":"","own_zone_share":0,"backends":[]}`
		webJSON  = `{"service":"web","strategy":"p2c","version":1,"eligible":1,"panic":false,"last_resort":false,"tier":0,"tiers":1,"own_zone":"","own_zone_share":0,"backends":[` +
			`{"id":"b1","address":"10.0.0.1:80","zone":"z1","weight":5,"priority":0,"status":"passing","state":"up","since":"2024-05-06T07:08:09Z",` +
			`"eligible":true,"reason":"","streak":1,"signal":"tcp check","detail":"","rise":0,"word":"50%","warmth":1,"active":2,"picked":2,"connections":11,"connect_failures":12,` +
			`"bytes_in":13,"bytes_out":14,"checks_passed":15,"checks_failed":16,"transitions_up":1,"transitions_down":0,"ejections":0,` +
			`"history":[{"at":"2024-05-06T07:08:09Z","to":"up","streak":1,"signal":"tcp check","detail":""},` +
			`{"at":"2024-05-06T07:08:09Z","to":"reweighted","streak":1,"signal":"its own word","detail":"50%"}]},` +
			`{"id":"b2","address":"10.0.0.2:80","zone":"z2","weight":2,"priority":0,"status":"warning","state":"down","since":"2024-05-06T07:08:09Z",` +
			`"eligible":false,"reason":"tcp check: 3 failures in a row, last: connection refused","streak":3,"signal":"tcp check","detail":"connection refused",` +
			`"rise":8,"word":"","warmth":1,"active":0,"picked":0,"connections":0,"connect_failures":0,` +
			`"bytes_in":0,"bytes_out":0,"checks_passed":0,"checks_failed":0,"transitions_up":1,"transitions_down":1,"ejections":0,` +
			`"history":[{"at":"2024-05-06T07:08:09Z","to":"up","streak":1,"signal":"tcp check","detail":""},` +
			`{"at":"2024-05-06T07:08:09Z","to":"down","streak":3,"signal":"tcp check","detail":"connection refused"}]}]}`
	)
	f := func(path string, wantCode int, want string) {
		t.Helper()
		got := get(t, s, path)
		var compact strings.Builder
		enc := json.NewEncoder(&compact)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(json.RawMessage(got.body)); err != nil {
			t.Fatalf("cannot parse the answer to %s: %v: %q", path, err, got.body)
		}
		if got.code != wantCode || strings.TrimSpace(compact.String()) != want {
			t.Fatalf("unexpected answer to %s; got %d\n%s\nwant %d\n%s", path, got.code, compact.String(), wantCode, want)
		}
		if ct := got.header.Get("Content-Type"); ct != map[bool]string{true: "application/json", false: "application/problem+json"}[wantCode == 200] {
			t.Fatalf("unexpected Content-Type of %s: %q", path, ct)
		}
	}
	none := func(name string) string {
		detail := `"cannot show service \"` + name + `\": there is none of that name"`
		return `{"type":"about:blank","title":"Not Found","status":404,"detail":` + detail + `,"error":` + detail + `}`
	}
	f("/admin/backends", 200, `{"services":[`+idleJSON+`,`+webJSON+`],"total":2,"offset":0,"limit":1000,"next_offset":null}`)
	f("/admin/backends?limit=1", 200, `{"services":[`+idleJSON+`],"total":2,"offset":0,"limit":1,"next_offset":1}`)
	f("/admin/backends?offset=1", 200, `{"services":[`+webJSON+`],"total":2,"offset":1,"limit":1000,"next_offset":null}`)
	f("/admin/backends?offset=9", 200, `{"services":[],"total":2,"offset":9,"limit":1000,"next_offset":null}`)
	f("/admin/backends?service=web", 200, `{"services":[`+webJSON+`],"total":1,"offset":0,"limit":1000,"next_offset":null}`)
	f("/admin/backends?service=idle", 200, `{"services":[`+idleJSON+`],"total":1,"offset":0,"limit":1000,"next_offset":null}`)
	f("/admin/backends?service=nope", 404, none("nope"))
	f("/admin/backends?service=", 404, none(""))
}

// TestPanicView checks what is shown of a service that uses whoever there is.
func TestPanicView(t *testing.T) {
	t.Parallel()
	svc := newService("web", backend.Target{ID: "1", Address: "10.0.0.1:80", Weight: 1}, backend.Target{ID: "2", Address: "10.0.0.2:80", Weight: 1},
		backend.Target{ID: "3", Address: "10.0.0.3:80", Weight: 1, Status: backend.Maintenance})
	svc.Pool.SetPolicy(backend.Policy{Panic: 60, MaxEjection: 50})
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	if !member(t, svc, "1").Eject(backend.Ejection{Since: at, Until: at.Add(time.Minute), Number: 2, Streak: 5, Cause: "connects failed"}) {
		t.Fatal("unexpected refusal")
	}
	s := start(t, Config{Services: listed(svc)})
	body := get(t, s, "/admin/backends").body
	for _, want := range []string{
		`"panic": true`, `"eligible": 2`, `"number": 2`, `"until": "2024-05-06T07:09:09Z"`, `"ejections": 1`,
		`"reason": "used all the same, since too few others are available: ejected until 2024-05-06T07:09:09Z, time 2: connects failed, 5 in a row"`,
		`"reason": "the registry says maintenance"`,
	} {
		if !strings.Contains(body, want) {
			t.Fatalf("unexpected answer, no %s:\n%s", want, body)
		}
	}
	got := scrape(t, s)
	for series, want := range map[string]string{
		`sluice_service_panic{service="web"}`:                                                   "1",
		`sluice_service_eligible_backends{service="web"}`:                                       "2",
		`sluice_backend_eligible{service="web",backend="10.0.0.1:80"}`:                          "1",
		`sluice_backend_ejected{service="web",backend="10.0.0.1:80"}`:                           "1",
		`sluice_backend_ejected{service="web",backend="10.0.0.2:80"}`:                           "0",
		`sluice_backend_transitions_total{service="web",backend="10.0.0.1:80",to="ejected"}`:    "1",
		`sluice_backend_transitions_total{service="web",backend="10.0.0.1:80",to="readmitted"}`: "0",
	} {
		if got[series] != want {
			t.Fatalf("unexpected value of %s; got %q; want %s", series, got[series], want)
		}
	}
}

// TestZoneView checks what is shown of a service in several zones.
func TestZoneView(t *testing.T) {
	t.Parallel()
	svc := newService("web", backend.Target{ID: "1", Address: "10.0.0.1:80", Weight: 1, Zone: "a"}, backend.Target{ID: "2", Address: "10.0.0.2:80", Weight: 3, Zone: "b"})
	svc.Pool.SetZone("a")
	member(t, svc, "1").Counters.BytesIn.Add(7)
	member(t, svc, "2").Counters.BytesOut.Add(8)
	s := start(t, Config{Services: func() []Service { return []Service{svc} }})
	if body := get(t, s, "/admin/backends").body; !strings.Contains(body, `"own_zone": "a"`) || !strings.Contains(body, `"own_zone_share": 0.5,`) {
		t.Fatalf("unexpected answer:\n%s", body)
	}
	got := scrape(t, s)
	for series, want := range map[string]string{
		`sluice_service_zone_bytes_total{service="web",zone="own",direction="in"}`:      "7",
		`sluice_service_zone_bytes_total{service="web",zone="own",direction="out"}`:     "0",
		`sluice_service_zone_bytes_total{service="web",zone="other",direction="out"}`:   "8",
		`sluice_service_zone_bytes_total{service="web",zone="unknown",direction="out"}`: "0",
	} {
		if got[series] != want {
			t.Fatalf("unexpected value of %s; got %q; want %s", series, got[series], want)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Settings: map[string]any{"consul_token": "***", "l4": []string{"a", "b"}}})
	got := get(t, s, "/admin/config")
	want := "{\n  \"consul_token\": \"***\",\n  \"l4\": [\n    \"a\",\n    \"b\"\n  ]\n}\n"
	if got.code != 200 || got.body != want {
		t.Fatalf("unexpected answer; got %d %q; want 200 %q", got.code, got.body, want)
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	got := get(t, start(t, Config{Version: "v1.2.3"}), "/")
	if got.code != 200 || !strings.HasPrefix(got.body, "sluice v1.2.3\n") {
		t.Fatalf("unexpected answer; got %d %q", got.code, got.body)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/admin/backends", "/admin/config", "/debug/pprof/"} {
		if !strings.Contains(got.body, "\n"+path) {
			t.Fatalf("unexpected index; got %q; want %s in it", got.body, path)
		}
	}
}

// TestServicesComeAndGo checks that services are shown as they are when asked,
// each name once, with what their sources say.
func TestServicesComeAndGo(t *testing.T) {
	t.Parallel()
	var now atomic.Pointer[[]Service]
	now.Store(&[]Service{})
	s := start(t, Config{Services: func() []Service { return *now.Load() }})
	f := func(want ...string) {
		t.Helper()
		body := get(t, s, "/admin/backends").body
		var shown struct{ Services []serviceView }
		if err := json.Unmarshal([]byte(body), &shown); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range shown.Services {
			got = append(got, v.Service)
			for _, source := range v.Sources {
				got = append(got, source.Source+": "+source.Trouble)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("unexpected services; got %q; want %q", got, want)
		}
	}
	f()
	a, b := newService("a"), newService("b")
	b.Sources = func() []Source { return []Source{{Source: "consul x", Trouble: "timeout", Since: time.Now(), Kept: 2}} }
	now.Store(&[]Service{b, a, newService("b")})
	f("a", "b", "consul x: timeout")
	now.Store(&[]Service{a})
	f("a")
}
