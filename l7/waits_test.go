package l7

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/pkg/backend"
)

// TestHeadLimits has heads refused, and let through, by the limits of their
// listener.
func TestHeadLimits(t *testing.T) { eachDriver(t, testHeadLimits) }

func testHeadLimits(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range 300 {
			w.Header().Add("X", fmt.Sprint(i))
		}
		fmt.Fprint(w, len(r.RequestURI), " ", len(r.Header))
	})
	small := newFront(t, func(c *Config) { c.MaxFields, c.MaxTargetBytes, c.MaxHeadBytes = 5, 100, 2000 }, b)
	large := newFront(t, func(c *Config) { c.MaxFields, c.MaxTargetBytes, c.MaxHeadBytes = 1000, 60_000, 120_000 }, b)
	ask := func(f *front, target, fields string) int {
		t.Helper()
		resp, _ := f.raw().do("GET " + target + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n")
		return resp.StatusCode
	}
	path := func(n int) string { return "/" + strings.Repeat("x", n-1) }
	var many strings.Builder
	for i := range 900 {
		fmt.Fprintf(&many, "X-%d: y\r\n", i)
	}
	for _, x := range []struct {
		f              *front
		target, fields string
		want           int
	}{
		{small, path(101), "", 414},
		{small, path(100), strings.Repeat("X: y\r\n", 5), 431},
		{small, "/", "X: " + strings.Repeat("y", 2000) + "\r\n", 431},
		{large, path(60_000), many.String(), 200},
		{large, path(60_001), "", 414},
		{large, "/", strings.Repeat("X: y\r\n", 1000), 431},
	} {
		if got := ask(x.f, x.target, x.fields); got != x.want {
			t.Errorf("unexpected status for a target of %d and fields of %d bytes; got %d; want %d", len(x.target), len(x.fields), got, x.want)
		}
	}
	// The head is not waited for once it is known to be too long.
	c := small.raw()
	c.write("GET " + path(200))
	if resp, _ := c.response("GET"); resp.StatusCode != 414 {
		t.Errorf("unexpected status of a target without its end: %d", resp.StatusCode)
	}
}

// TestRetriesOff has a route that must not be tried twice.
func TestRetriesOff(t *testing.T) { eachDriver(t, testRetriesOff) }

func testRetriesOff(t *testing.T) {
	t.Parallel()
	var resets, served atomic.Int64
	bad := newRawBackend(t, func(_ int, c *rawConn) {
		if _, _, err := c.request(); err == nil {
			resets.Add(1)
		}
	})
	good := newBackend(t, func(http.ResponseWriter, *http.Request) { served.Add(1) })
	f := newFront(t, func(c *Config) {
		one := c.Routes[0]
		one.Path, one.Waits.Retries = "/once", -1
		c.Routes = append(c.Routes, one)
	}, bad, good)
	f.pool.SetPolicy(backend.Policy{}) // nobody is ejected
	client := f.client()
	status := func(path string) map[int]int {
		seen := make(map[int]int)
		for range 8 {
			resp, err := client.Get(f.url(path))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			seen[resp.StatusCode]++
		}
		return seen
	}
	if got := status("/"); got[200] != 8 {
		t.Errorf("unexpected statuses with retries: %v", got)
	}
	if got := status("/once"); got[200] != 4 || got[502] != 4 {
		t.Errorf("unexpected statuses without retries: %v", got)
	}
}

// TestWaitsOfRoute has one route that waits for a slow backend and one that
// does not.
func TestWaitsOfRoute(t *testing.T) { eachDriver(t, testWaitsOfRoute) }

func testWaitsOfRoute(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	f := newFront(t, func(c *Config) {
		c.ResponseTimeout = 20 * time.Millisecond
		withPolicy(t, c, PolicyConfig{Waits: Waits{ResponseTimeout: 10 * time.Millisecond}})
		slow := c.Routes[0]
		slow.Path, slow.Waits.ResponseTimeout = "/slow", -1
		c.Routes = append(c.Routes, slow)
	}, b)
	slow := f.raw()
	slow.write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, _ := f.raw().do("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); resp.StatusCode != 504 {
		t.Errorf("unexpected status of a response that does not come: %d", resp.StatusCode)
	}
	close(release)
	if resp, _ := slow.response("GET"); resp.StatusCode != 200 {
		t.Errorf("unexpected status of a response that is waited for: %d", resp.StatusCode)
	}
}
