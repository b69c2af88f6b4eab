package consul

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"sluice/pkg/backend"
)

// fakeWatch watches the service web of a fake.
func fakeWatch(t *testing.T, config Config) (*fake, *watched, *logs) {
	t.Helper()
	f, l := newFake(t), &logs{}
	config.Address, config.Logger = f.URL, l.logger()
	return f, start(t, newClient(t, config).Service(Query{Service: "web"})), l
}

func TestWatchReportsChangesOnly(t *testing.T) {
	t.Parallel()
	f, w, l := fakeWatch(t, Config{})
	f.expect(t, "stale").good(t, 7, "ba")
	w.expect(t, "ab")
	f.expect(t, "stale index=7").good(t, 7, "ab")  // the wait has passed
	f.expect(t, "stale index=7").good(t, 9, "ba")  // a wake-up for nothing
	f.expect(t, "stale index=9").good(t, 10, "ac") // a change
	w.expect(t, "ac")
	f.expect(t, "stale index=10")
	w.expectNone(t)
	if got := w.metrics.changed.Get(); got != 2 {
		t.Fatalf("unexpected updates; got %d; want 2", got)
	}
	if got := w.metrics.sent(); got != 4 {
		t.Fatalf("unexpected answers; got %d; want 4", got)
	}
	if got := w.metrics.connected.Get(); got != 1 {
		t.Fatalf("unexpected connected; got %v; want 1", got)
	}
	l.expect(t, 0)
	w.stop(t)
	if got := w.metrics.connected.Get(); got != 0 {
		t.Fatalf("unexpected connected after the end; got %v; want 0", got)
	}
}

func TestWatchIndexGoesBackwards(t *testing.T) {
	t.Parallel()
	f, w, _ := fakeWatch(t, Config{})
	f.expect(t, "stale").good(t, 70, "a")
	w.expect(t, "a")
	f.expect(t, "stale index=70").good(t, 3, "ab")
	w.expect(t, "ab")
	f.expect(t, "stale").good(t, 4, "ab")
	f.expect(t, "stale index=4")
	w.expectNone(t)
}

func TestWatchIndexZero(t *testing.T) {
	t.Parallel()
	f, w, _ := fakeWatch(t, Config{})
	f.expect(t, "stale").good(t, 0, "a")
	w.expect(t, "a")
	f.expect(t, "stale index=1")
}

func TestWatchEmptyFromTheStart(t *testing.T) {
	t.Parallel()
	f, w, _ := fakeWatch(t, Config{})
	f.expect(t, "stale").good(t, 5, "")
	f.expect(t, "default").good(t, 5, "")
	w.expect(t, "")
	f.expect(t, "stale index=5").good(t, 5, "") // no news: not asked again
	f.expect(t, "stale index=5")
	w.expectNone(t)
}

func TestWatchConfirmsLoss(t *testing.T) {
	t.Parallel()
	f, w, _ := fakeWatch(t, Config{})
	f.expect(t, "stale").good(t, 5, "abc")
	w.expect(t, "abc")

	f.expect(t, "stale index=5").good(t, 6, "")
	f.expect(t, "default").good(t, 6, "abc") // not so
	q := f.expect(t, "stale index=6")
	w.expectNone(t)

	q.good(t, 7, "a")
	f.expect(t, "default").good(t, 8, "a") // it is
	w.expect(t, "a")

	f.expect(t, "stale index=8").good(t, 9, "")
	f.expect(t, "default").fail(http.StatusInternalServerError) // no leader: it stays open
	f.expect(t, "stale")
	w.expectNone(t)
}

func TestWatchJudgesFirstRead(t *testing.T) {
	t.Parallel()
	check := func(name string, first answered) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, w, l := fakeWatch(t, Config{MaxStale: 3 * time.Second})
			first.index, first.body = 5, idsJSON(t, "a")
			f.expect(t, "stale").answer <- first
			f.expect(t, "default").good(t, 9, "ab")
			f.expect(t, "stale index=9")
			w.expect(t, "ab") // and "a" never was
			w.expectNone(t)
			l.expect(t, 0)
		})
	}
	check("leaderless", answered{leader: false})
	check("too old", answered{leader: true, contact: 3001 * time.Millisecond})
}

func TestWatchJudgesBlockingAnswers(t *testing.T) {
	t.Parallel()
	f, w, _ := fakeWatch(t, Config{})
	f.expect(t, "stale").good(t, 5, "a")
	w.expect(t, "a")
	// Streaming always says so, and older versions do not say who answers.
	f.expect(t, "stale index=5").answer <- answered{index: 6, backend: api.QueryBackendStreaming, body: idsJSON(t, "ab")}
	w.expect(t, "ab")
	f.expect(t, "stale index=6").answer <- answered{index: 7, body: idsJSON(t, "abc")}
	w.expect(t, "abc")
	f.expect(t, "stale index=7").answer <- answered{index: 8, backend: api.QueryBackendBlockingQuery, body: idsJSON(t, "a")}
	f.expect(t, "default").good(t, 9, "abc")
	f.expect(t, "stale index=9")
	w.expectNone(t)
}

func TestWatchRechecksStaleness(t *testing.T) {
	t.Parallel()
	f, l := newFake(t), &logs{}
	c := newClient(t, Config{Address: f.URL, Logger: l.logger()})
	c.recheck = time.Nanosecond
	w := start(t, c.Service(Query{Service: "web"}))
	f.expect(t, "stale").good(t, 5, "a")
	w.expect(t, "a")
	// A lower index than before is none of "backwards" here.
	f.expect(t, "stale").good(t, 4, "a")
	f.expect(t, "stale").answer <- answered{index: 4, leader: false, body: idsJSON(t, "ab")}
	f.expect(t, "default").good(t, 6, "a")
	f.expect(t, "stale")
	w.expectNone(t)
}

func TestWatchSurvivesErrors(t *testing.T) {
	t.Parallel()
	f, w, l := fakeWatch(t, Config{})
	f.expect(t, "stale").good(t, 5, "a")
	w.expect(t, "a")
	f.expect(t, "stale index=5").fail(http.StatusInternalServerError)
	f.expect(t, "stale").fail(http.StatusServiceUnavailable)
	f.expect(t, "stale").answer <- answered{leader: true, index: 9, body: `[{"Node":`} // cut short
	q := f.expect(t, "stale")
	w.expectNone(t)
	l.expect(t, 1, lostLine, "web", f.URL, "an error of its own", "kept_members=1")
	l.expect(t, 0, regainedLine)
	if got := w.metrics.connected.Get(); got != 0 {
		t.Fatalf("unexpected connected; got %v; want 0", got)
	}

	q.good(t, 3, "a") // nothing has changed, and indexes start over
	q = f.expect(t, "stale index=3")
	w.expectNone(t)
	l.expect(t, 1, lostLine)
	l.expect(t, 1, regainedLine, "lost_for=", "failures=3")
	if got := w.metrics.errors.Get(); got != 3 {
		t.Fatalf("unexpected errors; got %d; want 3", got)
	}
	if got := w.metrics.connected.Get(); got != 1 {
		t.Fatalf("unexpected connected; got %v; want 1", got)
	}

	q.fail(http.StatusInternalServerError) // the next outage is news again
	f.expect(t, "stale").good(t, 4, "ab")
	w.expect(t, "ab")
	l.expect(t, 2, lostLine)
	l.expect(t, 2, regainedLine)
}

func TestWatchDenied(t *testing.T) {
	t.Parallel()
	f, w, l := fakeWatch(t, Config{})
	f.expect(t, "stale").fail(http.StatusForbidden)
	f.expect(t, "stale").fail(http.StatusForbidden)
	f.expect(t, "stale").good(t, 5, "a")
	w.expect(t, "a")
	l.expect(t, 1, lostLine, "access denied", "ACL token")
}

func TestWatchHiddenByACLs(t *testing.T) {
	t.Parallel()
	f, w, l := fakeWatch(t, Config{})
	f.expect(t, "stale").good(t, 5, "a")
	w.expect(t, "a")
	f.expect(t, "stale index=5").answer <- answered{leader: true, index: 6, hidden: true, body: "[]"}
	q := f.expect(t, "stale")
	w.expectNone(t)
	l.expect(t, 1, lostLine, "ACL token")
	// Entries that are left are used, and it is said that there are others.
	q.answer <- answered{leader: true, index: 7, hidden: true, body: idsJSON(t, "ab")}
	w.expect(t, "ab")
	f.expect(t, "stale index=7").good(t, 8, "abc")
	w.expect(t, "abc")
	l.expect(t, 1, "ACLs hide some", "node:read")
	l.expect(t, 1, "ACLs hide no instances")
}

func TestWatchEmptyUnderDenyingACLs(t *testing.T) {
	t.Parallel()
	f, w, l := fakeWatch(t, Config{})
	empty := answered{leader: true, index: 5, policy: "deny", body: "[]"}
	f.expect(t, "stale").answer <- empty
	f.expect(t, "default").answer <- empty
	w.expect(t, "")
	f.expect(t, "stale index=5").answer <- empty
	f.expect(t, "stale index=5")
	l.expect(t, 1, "check the ACL token")
}

func TestWatchHungConsul(t *testing.T) {
	t.Parallel()
	f, w, l := fakeWatch(t, Config{Wait: 2 * time.Second})
	f.expect(t, "stale").good(t, 5, "a")
	w.expect(t, "a")
	f.expect(t, "stale index=5") // and no answer
	f.expect(t, "stale").good(t, 5, "ab")
	w.expect(t, "ab")
	l.expect(t, 1, lostLine, "timeout")
}

func TestWatchEndsInMidQuery(t *testing.T) {
	t.Parallel()
	f, w, l := fakeWatch(t, Config{Wait: 10 * time.Minute})
	f.expect(t, "stale").good(t, 5, "a")
	f.expect(t, "stale index=5")
	w.stop(t)
	l.expect(t, 0)
	if got := w.metrics.errors.Get(); got != 0 {
		t.Fatalf("unexpected errors; got %d; want 0", got)
	}
}

func TestWatchBacksOff(t *testing.T) {
	t.Parallel()
	began := time.Now()
	f, w, _ := fakeWatch(t, Config{})
	const failures = 3
	for range failures {
		f.expect(t, "stale").fail(http.StatusInternalServerError)
	}
	if took := time.Since(began); took < (failures-1)*minBackoff {
		t.Fatalf("unexpected rate: %d failing queries in %s", failures, took)
	}
	w.stop(t) // in the midst of it
}

func TestWatchBadEntriesLoggedOnce(t *testing.T) {
	t.Parallel()
	f, w, l := fakeWatch(t, Config{})
	answer := func(index uint64, port int) answered {
		return answered{index: index, leader: true, body: entriesJSON(t,
			entry("n", "a", "10.0.0.1", 80), entry("n", "bad", "10.0.0.1", port))}
	}
	f.expect(t, "stale").answer <- answer(1, 0)
	w.expect(t, "a")
	f.expect(t, "stale index=1").answer <- answer(2, 0)
	f.expect(t, "stale index=2").answer <- answer(3, 0)
	q := f.expect(t, "stale index=3")
	w.expectNone(t)
	l.expect(t, 1, "entry=n/bad", "port 0 ")
	if got := w.metrics.skipped.Get(); got != 3 {
		t.Fatalf("unexpected skipped entries; got %d; want 3", got)
	}
	q.answer <- answer(4, 70000) // bad in another way
	f.expect(t, "stale index=4")
	l.expect(t, 1, "entry=n/bad", "port 70000 ")
	l.expect(t, 2)
}

func TestWatchRateIsBounded(t *testing.T) {
	t.Parallel()
	began := time.Now()
	f, w, _ := fakeWatch(t, Config{})
	f.expect(t, "stale").good(t, 1, "a")
	// As a service that never rests does, answer at once, always with a new
	// index.
	const queries = rateBurst + 2
	for i := 2; i <= queries; i++ {
		(<-f.queries).good(t, uint64(i), "a")
	}
	if took := time.Since(began); took < (queries-rateBurst)*rateInterval {
		t.Fatalf("unexpected rate: %d queries in %s", queries, took)
	}
	w.expect(t, "a")
	w.expectNone(t)
}

func TestWatchTwice(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	source := newClient(t, Config{Address: f.URL}).Service(Query{Service: "web"})
	a := start(t, source)
	f.expect(t, "stale").good(t, 5, "a")
	a.expect(t, "a")
	f.expect(t, "stale index=5")
	b := start(t, source)
	f.expect(t, "stale").good(t, 6, "ab")
	b.expect(t, "ab")
	f.expect(t, "stale index=6")
	a.stop(t)
	b.expectNone(t)
}

// TestWatchLeaksNothing counts goroutines, so it is not parallel.
func TestWatchLeaksNothing(t *testing.T) {
	f := newFake(t)
	c := newClient(t, Config{Address: f.URL})
	before := runtime.NumGoroutine()

	midQuery := start(t, c.Service(Query{Service: "web"}))
	f.expect(t, "stale").good(t, 5, "a")
	f.expect(t, "stale index=5")
	midQuery.stop(t)
	backingOff := start(t, c.Service(Query{Service: "web"}))
	f.expect(t, "stale").fail(http.StatusInternalServerError)
	deadline := time.Now().Add(patience)
	for backingOff.metrics.errors.Get() == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("no error counted in %s", patience)
		}
		time.Sleep(time.Millisecond)
	}
	backingOff.stop(t)

	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("unexpected goroutines; got %d; want %d\n%s", runtime.NumGoroutine(), before,
				stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(10 * time.Millisecond) // the server's side ends a little later
	}
}

// TestWatchKeeps checks what a watch makes of a list that empties while
// sluice's own checks pass, and what it says of it.
func TestWatchKeeps(t *testing.T) {
	t.Parallel()
	f, l := newFake(t), &logs{}
	c := newClient(t, Config{Address: f.URL, Logger: l.logger(), Keep: time.Hour})
	source := c.Service(Query{Service: "web", Up: func(string) bool { return true }})
	w := start(t, source)
	report := func(trouble string, kept int) {
		t.Helper()
		r := source.Reports()[0]
		if !strings.Contains(r.Trouble, trouble) || (trouble == "") != (r.Trouble == "") || r.Kept != kept || r.Since.IsZero() != (trouble == "") {
			t.Fatalf("unexpected report; got %+v; want trouble with %q and %d kept", r, trouble, kept)
		}
		if got := int(w.metrics.kept.Get()); trouble != "lost contact" && got != kept {
			t.Fatalf("unexpected metric of kept members; got %d; want %d", got, kept)
		}
	}
	f.expect(t, "stale").good(t, 5, "a")
	w.expect(t, "a")
	report("", 0)

	f.expect(t, "stale index=5").good(t, 6, "") // one alone, on purpose
	f.expect(t, "default").good(t, 6, "")
	w.expect(t, "")
	f.expect(t, "stale index=6").good(t, 7, "a")
	w.expect(t, "a")
	f.expect(t, "stale index=7").good(t, 6, "") // not so if Consul has gone back in time
	f.expect(t, "default").good(t, 6, "")
	kept := target("n/a", "10.0.0.1:80")
	kept.Status = backend.Absent
	w.until(t, kept)
	f.expect(t, "stale").good(t, 6, "") // indexes start over
	q := f.expect(t, "stale index=6")
	report("all at once", 1)
	l.expect(t, 1, "Consul lost members all at once", "kept_members=1", "limit=1h0m0s")

	q.fail(http.StatusForbidden) // keeping outlives an outage
	q = f.expect(t, "stale")
	report("ACL token", 1)
	q.good(t, 7, "")
	q = f.expect(t, "stale index=7")
	w.expectNone(t)
	report("all at once", 1)

	q.good(t, 8, "a")
	w.expect(t, "a")
	f.expect(t, "stale index=8")
	report("", 0)
	l.expect(t, 1, "no members are kept any more")
}

// TestTokenFile checks that a token is read again when access is denied. It
// changes the environment, so it is not parallel.
func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	t.Setenv("CONSUL_HTTP_TOKEN_FILE", path)
	tokens := make(chan string, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("X-Consul-Token")
		tokens <- token
		if token != "new" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		reply(w, answered{index: 1, leader: true, body: entriesJSON(t, entry("n1", "web-1", "10.0.0.1", 80))})
	}))
	t.Cleanup(s.Close)
	c := newClient(t, Config{Address: s.URL})
	write("new")
	readOnce(t, c)
	if got := []string{<-tokens, <-tokens}; !slices.Equal(got, []string{"old", "new"}) {
		t.Fatalf("unexpected tokens; got %q; want old, new", got)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Address: s.URL}); err == nil || !strings.Contains(err.Error(), "token file") {
		t.Fatalf("unexpected error without the token file: %v", err)
	}
}

// sent returns how many queries have been sent and answered, or failed.
func (m *queryMetrics) sent() uint64 {
	return m.changed.Get() + m.unchanged.Get() + m.confirmed.Get() + m.errors.Get()
}
