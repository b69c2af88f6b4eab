package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"sluice/pkg/backend"
	"sluice/pkg/control"
)

// fake is what runs, in a test: services of which operators' words are not
// followed, so that only what is asked of it counts.
type fake struct {
	services  []Service
	apply     error
	reloaded  []ReloadOrder
	reloadErr error
}

func (f *fake) Services() (names []string) {
	for _, s := range f.services {
		names = append(names, s.Pool.Service())
	}
	slices.Sort(names)
	return names
}

func (f *fake) Members(name string) (all []control.Member, ok bool) {
	for _, s := range f.services {
		if s.Pool.Service() != name {
			continue
		}
		snap := s.Pool.Snapshot()
		for _, b := range snap.All {
			all = append(all, control.Member{ID: b.ID(), Address: b.Addr(), Usable: snap.Offers(b), Listed: true})
		}
		return all, true
	}
	return nil, false
}

func (f *fake) CanHave(string) bool { return false }
func (f *fake) Routes() []control.Item {
	return []control.Item{{Key: "/", Listed: true}, {Key: "/api", Listed: true}, {Key: "/m,method=GET", Listed: true}}
}
func (f *fake) Listeners() []control.Item { return []control.Item{{Key: ":8080", Listed: true}} }
func (f *fake) Try(control.Overlay) error { return nil }
func (f *fake) Settings() any             { return map[string]any{"log-level": "info"} }
func (f *fake) Differences(before, after control.Overlay) []Difference {
	return []Difference{{"changes", before.Tag(), after.Tag()}}
}
func (f *fake) Apply(context.Context, string) error { return f.apply }
func (f *fake) Reload(_ context.Context, o ReloadOrder) (Reloaded, error) {
	f.reloaded = append(f.reloaded, o)
	return Reloaded{}, f.reloadErr
}
func (f *fake) RouteList() []RouteView {
	return []RouteView{{Route: "/", Path: "/", Service: "web", Canary: "api:5"}, {Route: "/api", Path: "/api", Service: "api"}}
}
func (f *fake) ListenerList() []ListenerView {
	return []ListenerView{{Listener: ":8080", Kind: "l7", Services: []string{"web"}}}
}
func (f *fake) Connections(c ConnectionFilter, offset, limit int) ([]ConnectionView, int) {
	if c.Client.IsValid() && c.Client.String() != "10.0.0.0/8" {
		return nil, 0
	}
	return []ConnectionView{{ID: "c1", Client: "10.1.1.1:5"}}, 1
}
func (f *fake) EndConnection(id string) bool { return id == "c1" }
func (f *fake) Explain(q Question) (Explanation, error) {
	if q.Host == "nowhere" {
		return Explanation{}, control.ErrNotFound
	}
	return Explanation{Service: "web", Verdict: q.Headers["X-A"]}, nil
}
func (f *fake) Limits() []LimitView {
	return []LimitView{{Limit: "rate", Of: "service web", Value: "5 requests a second of each client", Fleet: "10 requests a second of each client", Tasks: 2}}
}
func (f *fake) Selftest(context.Context) Selftest {
	return Selftest{OK: true, Verdict: "all is well", Checks: []TestResult{{Name: "x", OK: true}}}
}

// plant serves a control plane over two services, in memory.
func plant(t *testing.T, cfg Config) (*Server, *fake, *control.Book) {
	t.Helper()
	f := &fake{services: []Service{
		newService("web", backend.Target{ID: "a", Address: "10.0.0.1:80", Weight: 1}, backend.Target{ID: "b", Address: "10.0.0.2:80", Weight: 1}),
		newService("api", backend.Target{ID: "c", Address: "10.0.0.3:80", Weight: 1}, backend.Target{ID: "d", Address: "[::1]:80", Weight: 1}, backend.Target{ID: "a", Address: "10.0.0.1:80", Weight: 1}),
	}}
	book := control.NewBook(t.Context(), control.Config{Store: control.NewMemory(), Journal: control.NewJournal(), Running: f, Logger: slog.New(slog.DiscardHandler)})
	cfg.Services, cfg.Plane, cfg.Book = listed(f.services...), f, book
	cfg.Fleet = func(context.Context) (string, []control.Task, error) {
		return "prod", []control.Task{{ID: "x", Ready: true}}, nil
	}
	return start(t, cfg), f, book
}

// TestAPI makes every call, and holds requests and answers against the document
// that describes them.
func TestAPI(t *testing.T) {
	t.Parallel()
	pilot, _ := newCopilot(t, time.Minute)
	s, _, book := plant(t, Config{Version: "v1", Copilot: pilot})
	router, paths := describedBy(t, get(t, s, "/admin/openapi.json").body)
	for _, c := range calls() {
		got := do(t, s, c.method, c.path, func(r *http.Request) {
			if c.body != "" {
				r.Header.Set("Content-Type", "application/json")
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(c.body)), int64(len(c.body))
			}
		})
		if got.code != c.code || !strings.Contains(got.body, c.has) {
			t.Errorf("unexpected answer to %s %s %s; got %d\n%s\nwant %d with %s", c.method, c.path, c.body, got.code, got.body, c.code, c.has)
			continue
		}
		if in := book.Overlay().String(); c.inForce != "-" && in != c.inForce {
			t.Errorf("unexpected changes in force after %s %s %s; got\n%swant\n%s", c.method, c.path, c.body, in, c.inForce)
		}
		if kind := got.header.Get("Content-Type"); got.code >= 400 && kind != "application/problem+json" {
			t.Errorf("unexpected Content-Type of %s %s: %q", c.method, c.path, kind)
		}
		validate(t, router, paths, c, got)
	}
	for path, methods := range paths {
		for method := range methods {
			if !paths[path][method] && !strings.HasPrefix(path, "/healthz") && !strings.HasPrefix(path, "/readyz") && path != "/" && path != "/admin/" && path != "/metrics" && !strings.HasPrefix(path, "/debug/pprof/") {
				t.Errorf("%s %s was never called with success", method, path)
			}
		}
	}
}

// describedBy reads the document and returns its routes, and for each path and
// method that it was not called yet.
func describedBy(t *testing.T, text string) (routers.Router, map[string]map[string]bool) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		t.Fatalf("the document cannot be read: %v", err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatalf("the document is not valid: %v", err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	paths := make(map[string]map[string]bool)
	for path, item := range doc.Paths.Map() {
		paths[path] = make(map[string]bool)
		for method := range item.Operations() {
			// Those of which another method of the same path is the same call.
			paths[path][method] = method == "PUT" || method == "POST" && (strings.HasSuffix(path, "/{what}") || path == "/admin/strategy" || path == "/admin/log-level") || method == "POST" && (path == "/admin/backends/add" || path == "/admin/backends/remove")
		}
	}
	return router, paths
}

// validate holds a request and its answer against the document.
func validate(t *testing.T, router routers.Router, paths map[string]map[string]bool, c call, got answer) {
	t.Helper()
	req, err := http.NewRequest(c.method, "http://127.0.0.1"+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	if c.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	route, params, err := router.FindRoute(req)
	if err != nil {
		t.Errorf("the document has no %s %s: %v", c.method, c.path, err)
		return
	}
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}
	in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: options}
	if got.code == 200 {
		paths[route.Path][route.Method] = true
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("%s %s %s is not as described: %v", c.method, c.path, c.body, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: got.code, Header: got.header, Options: options}
	out.SetBodyBytes([]byte(got.body))
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("the answer to %s %s is not as described: %v", c.method, c.path, err)
	}
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	s, _, book := plant(t, Config{})
	put := func(match, value string, want int) answer {
		t.Helper()
		got := do(t, s, "PUT", "/admin/services/web/strategy?value="+value, func(r *http.Request) {
			if match != "" {
				r.Header.Set("If-Match", match)
			}
		})
		if got.code != want {
			t.Fatalf("unexpected status with If-Match %s; got %d, want %d\n%s", match, got.code, want, got.body)
		}
		return got
	}
	first := put(`"0"`, "random", 200)
	if first.header.Get("ETag") != `"1"` || get(t, s, "/admin/changes").header.Get("ETag") != `"1"` {
		t.Fatalf("unexpected ETag: %v", first.header)
	}
	stale := put(`"0"`, "maglev", 412)
	if !strings.Contains(stale.body, `"version": "1"`) || book.Overlay().Version != 1 {
		t.Fatalf("unexpected answer: %s", stale.body)
	}
	put(`W/"1"`, "maglev", 412)
	put(`nonsense`, "maglev", 412)
	put(`"7", "1"`, "maglev", 200)
	put(`*`, "p2c", 200)
	put(`3`, "random", 200)
}

// TestApplyFails has what runs refuse what is well-formed: nothing stays.
func TestApplyFails(t *testing.T) {
	t.Parallel()
	s, f, book := plant(t, Config{})
	f.apply = errors.New("address in use")
	got := do(t, s, "POST", "/admin/listeners?listener=l7+127.0.0.1:9", nil)
	if got.code != 409 || !strings.Contains(got.body, "address in use") || book.Overlay().Len() != 0 {
		t.Fatalf("unexpected answer: %d %s\n%v", got.code, got.body, book.Overlay())
	}
	f.reloadErr = errors.New("--l4: wrong")
	if got := do(t, s, "POST", "/admin/reload", nil); got.code != 422 || !strings.Contains(got.body, "--l4: wrong") {
		t.Fatalf("unexpected answer: %d %s", got.code, got.body)
	}
}

// TestEvents streams events, and takes the stream up again.
func TestEvents(t *testing.T) {
	t.Parallel()
	s, _, book := plant(t, Config{})
	stream := func(header http.Header, query string) (next func() string, end func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.Addr().String()+"/admin/events"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if kind := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || kind != "text/event-stream" {
			t.Fatalf("unexpected answer: %d %s", resp.StatusCode, kind)
		}
		blocks := make(chan string, 100)
		go func() {
			var b strings.Builder
			buf := make([]byte, 4096)
			for {
				n, err := resp.Body.Read(buf)
				b.Write(buf[:n])
				for {
					block, rest, ok := strings.Cut(b.String(), "\n\n")
					if !ok {
						break
					}
					b.Reset()
					b.WriteString(rest)
					if strings.Contains(block, "data:") {
						blocks <- block
					}
				}
				if err != nil {
					return
				}
			}
		}()
		return func() string {
				select {
				case b := <-blocks:
					return b
				case <-time.After(20 * time.Second):
					t.Fatal("no event in time")
					return ""
				}
			}, func() {
				cancel()
				resp.Body.Close()
			}
	}
	add := func(message string) { book.Journal().Add(control.Event{Kind: control.Told, Message: message}) }
	idOf := func(block string) string {
		for line := range strings.Lines(block) {
			if id, ok := strings.CutPrefix(line, "id: "); ok {
				return strings.TrimSpace(id)
			}
		}
		t.Fatalf("no ID in %q", block)
		return ""
	}
	add("before")
	next, end := stream(http.Header{"Accept": {"text/event-stream"}}, "")
	if b := next(); !strings.Contains(b, "event: begin") {
		t.Fatalf("unexpected beginning: %q", b)
	}
	add("one")
	one := next()
	if !strings.Contains(one, `"message":"one"`) || !strings.Contains(one, "event: note") {
		t.Fatalf("unexpected event: %q", one)
	}
	end()
	add("two")
	add("three")
	next, end = stream(http.Header{"Last-Event-Id": {idOf(one)}}, "?stream=true")
	for _, want := range []string{"two", "three"} {
		if b := next(); !strings.Contains(b, want) {
			t.Fatalf("unexpected event; got %q, want %s", b, want)
		}
	}
	end()
	// That of another process begins with the oldest.
	next, end = stream(http.Header{"Last-Event-Id": {"deadbeef-3"}}, "?follow=1")
	if b := next(); !strings.Contains(b, "before") {
		t.Fatalf("unexpected event: %q", b)
	}
	end()
	if !strings.Contains(get(t, s, "/admin/events?after=3").body, `"three"`) || strings.Contains(get(t, s, "/admin/events?after=3").body, `"two"`) {
		t.Fatal("unexpected list after 3")
	}
}

// TestStreamsEnd has the server stop while streams are open.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	s, _, _ := plant(t, Config{})
	resp, err := http.Get("http://" + s.Addr().String() + "/admin/events?stream=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatalf("a stream held up the stop: %v", err)
	}
}

func TestSumOfSeries(t *testing.T) {
	t.Parallel()
	got := sum(readSeries([]byte(`# HELP x y
sluice_l7_requests_total{service="a \"b\", c}",code="2xx"} 5
sluice_l7_requests_total{service="b",code="5xx"} 2
sluice_l7_retries_total{service="b"} 3
sluice_l7_request_duration_seconds_sum{service="b"} 1.5
sluice_l7_request_duration_seconds_count{service="b"} 3
sluice_l4_connections_total{service="c",reason="dial_failed"} 4
sluice_service_zone_bytes_total{zone="other",direction="in"} 100
plain 1
nan NaN
broken{x="y
`)))
	if got.Requests != 7 || got.Success != 5 || got.Failed != 2 || got.Retries != 3 || got.AverageLatency != 500 || got.FailedConns != 4 || got.CrossZoneBytes != 100 || got.Status["5xx"] != 2 {
		t.Fatalf("unexpected totals: %+v", got)
	}
	if b, err := json.Marshal(got); err != nil || !strings.Contains(string(b), `"avg_latency_ms":500`) {
		t.Fatalf("unexpected JSON: %s, %v", b, err)
	}
}
