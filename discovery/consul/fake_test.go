package consul

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"sluice/discovery"
	"sluice/pkg/backend"
)

// patience bounds every wait for something that has to happen.
const patience = time.Minute

// fake stands in for Consul, with a real socket, where a test has to choose
// each answer.
type fake struct {
	*httptest.Server
	queries chan *query
}

// query is a query that waits for its answer.
type query struct {
	kind   string // "stale", "stale index=N" or "default"
	answer chan answered
}

// answered is the answer to a query.
type answered struct {
	status  int // 0 means 200
	index   uint64
	leader  bool
	contact time.Duration
	backend string
	hidden  bool // entries were filtered by ACLs
	policy  string
	body    string
}

func newFake(t *testing.T) *fake {
	f := &fake{queries: make(chan *query)}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := &query{kind: kindOf(r), answer: make(chan answered, 1)}
		select {
		case f.queries <- q:
		case <-r.Context().Done():
			return
		}
		select {
		case a := <-q.answer:
			reply(w, a)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(f.Close)
	return f
}

func kindOf(r *http.Request) string {
	params := r.URL.Query()
	if !params.Has("stale") {
		return "default"
	}
	if index := params.Get("index"); index != "" {
		return "stale index=" + index
	}
	return "stale"
}

func reply(w http.ResponseWriter, a answered) {
	h := w.Header()
	h.Set("X-Consul-Index", fmt.Sprint(a.index))
	h.Set("X-Consul-Knownleader", fmt.Sprint(a.leader))
	h.Set("X-Consul-Lastcontact", fmt.Sprint(a.contact.Milliseconds()))
	if a.backend != "" {
		h.Set("X-Consul-Query-Backend", a.backend)
	}
	if a.policy != "" {
		h.Set("X-Consul-Default-Acl-Policy", a.policy)
	}
	if a.hidden {
		h.Set("X-Consul-Results-Filtered-By-Acls", "true")
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	_, _ = io.WriteString(w, a.body) // the client may be gone
}

// expect waits for the next query and checks what kind it is.
func (f *fake) expect(t *testing.T, kind string) *query {
	t.Helper()
	select {
	case q := <-f.queries:
		if q.kind != kind {
			t.Fatalf("unexpected query; got %q; want %q", q.kind, kind)
		}
		return q
	case <-time.After(patience):
		t.Fatalf("no query in %s; want %q", patience, kind)
	}
	return nil
}

// good answers a query as a healthy Consul does, with one entry for each
// letter of ids.
func (q *query) good(t *testing.T, index uint64, ids string) {
	t.Helper()
	q.answer <- answered{index: index, leader: true, body: idsJSON(t, ids)}
}

// fail answers a query with an error status.
func (q *query) fail(status int) {
	q.answer <- answered{status: status, body: "made up by a test"}
}

func idsJSON(t *testing.T, ids string) string {
	t.Helper()
	entries := []*api.ServiceEntry{}
	for _, id := range ids {
		entries = append(entries, entry("n", string(id), "10.0.0.1", 80))
	}
	return entriesJSON(t, entries...)
}

func entriesJSON(t *testing.T, entries ...*api.ServiceEntry) string {
	t.Helper()
	body, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// watched is a watch that runs.
type watched struct {
	metrics *serviceMetrics
	updates chan []backend.Target
	cancel  context.CancelFunc
	ended   chan struct{} // closed after err
	err     error
}

// start watches source until the test ends.
func start(t *testing.T, source discovery.Source) *watched {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watched{
		metrics: source.(*Service).metrics,
		updates: make(chan []backend.Target, 1000),
		cancel:  cancel,
		ended:   make(chan struct{}),
	}
	go func() {
		defer close(w.ended)
		w.err = source.Watch(ctx, func(ms []discovery.Member) {
			w.updates <- discovery.Targets(ms)
			clear(ms) // it is ours
		})
	}()
	t.Cleanup(func() { w.stop(t) })
	return w
}

// stop ends the watch and checks that it ends well.
func (w *watched) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	select {
	case <-w.ended:
	case <-time.After(patience):
		t.Fatalf("the watch did not end in %s", patience)
	}
	if w.err != context.Canceled {
		t.Fatalf("unexpected end of the watch; got %v; want %v", w.err, context.Canceled)
	}
}

// expect waits for the next update and checks that it has one target for each
// letter of ids, as from query.good.
func (w *watched) expect(t *testing.T, ids string) {
	t.Helper()
	var want []backend.Target
	for _, id := range ids {
		want = append(want, target("n/"+string(id), "10.0.0.1:80"))
	}
	select {
	case got := <-w.updates:
		if !slices.Equal(got, want) {
			t.Fatalf("unexpected update; got %+v; want %+v", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("no update in %s; want %+v", patience, want)
	}
}

// until waits for the update with the given targets, whatever comes before.
func (w *watched) until(t *testing.T, want ...backend.Target) {
	t.Helper()
	timeout := time.After(patience)
	var last []backend.Target
	for {
		select {
		case last = <-w.updates:
			if slices.Equal(last, want) {
				return
			}
		case <-timeout:
			t.Fatalf("no such update in %s; last %+v; want %+v", patience, last, want)
		}
	}
}

// expectNone checks that there has been no further update. It is called where
// whatever might have led to one has been dealt with.
func (w *watched) expectNone(t *testing.T) {
	t.Helper()
	select {
	case got := <-w.updates:
		t.Fatalf("unexpected update; got %+v; want none", got)
	default:
	}
}

// logs keeps what is logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// lines returns the lines that contain each of parts.
func (l *logs) lines(parts ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for line := range strings.Lines(l.buf.String()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			found = append(found, line)
		}
	}
	return found
}

// expect checks that n lines contain each of parts.
func (l *logs) expect(t *testing.T, n int, parts ...string) {
	t.Helper()
	if got := l.lines(parts...); len(got) != n {
		t.Fatalf("unexpected log lines with %q; got %q; want %d of\n%s", parts, got, n, l.lines())
	}
}

const (
	lostLine     = `msg="lost contact with Consul"`
	regainedLine = `msg="regained contact with Consul"`
)
