package l7

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"sluice/pkg/balance"
)

// TestFewLive has most members refuse connections, before anybody has checked
// one: every request is served from the first on, whatever the strategy and the
// method.
func TestFewLive(t *testing.T) { eachDriver(t, testFewLive) }

func testFewLive(t *testing.T) {
	t.Parallel()
	live := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	of := func(t *testing.T, strategy string) {
		t.Parallel()
		for _, dead := range []int{4, 9, 25} {
			backends := []string{live}
			for range dead {
				backends = append(backends, deadAddr(t))
			}
			f := newFront(t, func(c *Config) {
				if err := c.Routes[0].Balancer.SetStrategy(strategy); err != nil {
					t.Fatal(err)
				}
			}, backends...)
			var clients sync.WaitGroup
			client := f.client()
			one := func(i int) {
				want := strings.Repeat("x", i%3*5000)
				resp, err := client.Post(f.url("/"), "text/plain", strings.NewReader(want))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if got, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(got) != want {
					t.Errorf("unexpected answer to request %d of %s with %d dead members: %d", i, strategy, dead, resp.StatusCode)
				}
			}
			for i := range 60 {
				if i < 30 { // at once
					clients.Go(func() { one(i) })
					continue
				}
				clients.Wait()
				one(i)
			}
			f.wantMetric("sluice_l7_retries_denied_total", 0)
		}
	}
	for _, strategy := range balance.Names() {
		t.Run(strategy, func(t *testing.T) { of(t, strategy) })
	}
}

// TestAllDead has all members refuse: once that is known, a request tries no
// more of them than it may. So it is at once if retries are limited.
func TestAllDead(t *testing.T) { eachDriver(t, testAllDead) }

func testAllDead(t *testing.T) {
	t.Parallel()
	f := func(retries int, want ...int) {
		t.Helper()
		var backends []string
		for range 12 {
			backends = append(backends, deadAddr(t))
		}
		fr := newFront(t, func(c *Config) { c.Retries = retries }, backends...)
		client := fr.client()
		var got []int
		last := 0
		for range want {
			if status, reason, _ := get(t, client, fr.url("/")); status != 502 {
				t.Errorf("unexpected answer; got %d %s; want 502", status, reason)
			}
			sum := 0
			for _, b := range fr.pool.Snapshot().All {
				sum += int(b.Counters.ConnectFailures.Load())
			}
			got = append(got, sum-last)
			last = sum
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("unexpected attempts with %d retries; got %v; want %v", retries, got, want)
		}
	}
	f(0, 12, balance.MaxTries, balance.MaxTries)
	f(2, 3)
	f(1, 2)
	f(-1, 1)
}
