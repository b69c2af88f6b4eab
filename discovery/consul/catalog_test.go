package consul

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"sluice/discovery/consul/consultest"
)

// catalogWatch watches c until the test ends and returns its updates.
func catalogWatch(t *testing.T, c *Catalog) <-chan []string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	updates, ended := make(chan []string, 100), make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Watch(ctx, func(names []string) { updates <- names }) // its error is ctx's
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return updates
}

func wantNames(t *testing.T, updates <-chan []string, want ...string) {
	t.Helper()
	select {
	case got := <-updates:
		if !slices.Equal(got, want) {
			t.Fatalf("unexpected services; got %q; want %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("no update in %s; want %q", patience, want)
	}
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := newClient(t, Config{Address: f.URL}).Catalog("urlprefix-")
	updates := catalogWatch(t, c)
	answer := func(kind string, index uint64, body string) {
		t.Helper()
		f.expect(t, kind).answer <- answered{index: index, leader: true, body: body}
	}
	answer("stale", 5, `{"b":["urlprefix-/b"],"a":["x","urlprefix-/a"],"consul":[],"c":["prefix-/"]}`)
	wantNames(t, updates, "a", "b")
	answer("stale index=5", 6, `{"b":["urlprefix-/b","new"],"a":["urlprefix-/a"]}`) // no news
	// Losing most of them is doubted, and the leader knows better.
	answer("stale index=6", 7, `{"consul":[]}`)
	answer("default", 7, `{"b":["urlprefix-/b"],"a":["urlprefix-/a"]}`)
	f.expect(t, "stale index=7").fail(http.StatusInternalServerError)
	answer("stale", 8, `{"consul":[]}`)
	answer("default", 8, `{"consul":[]}`)
	wantNames(t, updates)
	q := f.expect(t, "stale index=8")
	if m := c.metrics; m.changed.Get() != 2 || m.unchanged.Get() != 2 || m.confirmed.Get() != 2 || m.errors.Get() != 1 {
		t.Fatalf("unexpected counts: %d changed, %d unchanged, %d doubtful, %d errors",
			m.changed.Get(), m.unchanged.Get(), m.confirmed.Get(), m.errors.Get())
	}
	q.fail(http.StatusForbidden)
	f.expect(t, "stale")
	if r := c.Reports()[0]; r.Trouble == "" || r.Since.IsZero() {
		t.Fatalf("unexpected report: %+v", r)
	}
}

func TestCatalogReal(t *testing.T) {
	t.Parallel()
	a := consultest.Start(t)
	updates := catalogWatch(t, newClient(t, Config{Address: a.Addr()}).Catalog("urlprefix-"))
	wantNames(t, updates)
	a.Register(t, "web-1", "web", "10.0.0.1", 80, consultest.WithTags("urlprefix-/"))
	wantNames(t, updates, "web")
	a.Register(t, "db-1", "db", "10.0.0.1", 80)
	a.Register(t, "api-1", "api", "10.0.0.1", 80, consultest.WithTags("v1", "urlprefix-/api strip=/api"))
	wantNames(t, updates, "api", "web")
	a.Deregister(t, "web-1")
	wantNames(t, updates, "api")
}

// TestCatalogTwins checks that names that differ by case are one service, as
// they are to whoever asks for either.
func TestCatalogTwins(t *testing.T) {
	t.Parallel()
	got := withTag(map[string][]string{"web": {"p-/"}, "Web": {"x"}, "WEB": {"p-/"}, "db": {"p-/db"}}, "p-")
	if want := []string{"WEB", "db"}; !slices.Equal(got, want) {
		t.Fatalf("unexpected services; got %q; want %q", got, want)
	}
}
