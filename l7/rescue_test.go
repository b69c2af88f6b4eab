package l7

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/pkg/backend"
)

// TestRescue lets health find a backend down that was asked and does not
// answer: what can be tried again is answered by the other one, the rest goes
// on waiting.
func TestRescue(t *testing.T) { eachDriver(t, testRescue) }

func testRescue(t *testing.T) {
	t.Parallel()
	f := func(what, method, body string, good bool, wantRescue bool) {
		t.Helper()
		asked, release := make(chan struct{}, 1), make(chan struct{})
		mute := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			asked <- struct{}{}
			<-release
			fmt.Fprint(w, "late")
		})
		addrs := []string{mute}
		if good {
			addrs = append(addrs, newBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "good") }))
		}
		x := newFront(t, nil, addrs...)
		var b *backend.Backend
		for _, m := range x.pool.Snapshot().All {
			if m.Addr() == mute {
				b = m
			}
		}
		answer := make(chan string, 1)
		go func() { // round robin: one of two requests meets the mute one
			for {
				req, _ := http.NewRequest(method, x.url("/"), strings.NewReader(body))
				resp, err := x.client().Do(req)
				if err != nil {
					answer <- err.Error()
					return
				}
				got, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if len(asked) > 0 || b.Counters.Connections.Load() > 0 {
					answer <- string(got)
					return
				}
			}
		}()
		select {
		case <-asked:
		case <-time.After(patience):
			t.Fatalf("%s: the backend is never asked", what)
		}
		b.SetCondition(backend.Condition{State: backend.Down})
		if wantRescue {
			if got := <-answer; got != "good" {
				t.Fatalf("unexpected answer to %s; got %q; want the other backend's", what, got)
			}
			close(release)
			return
		}
		select {
		case got := <-answer:
			t.Fatalf("unexpected answer to %s: %q", what, got)
		case <-time.After(50 * time.Millisecond):
		}
		close(release)
		if got := <-answer; got != "late" {
			t.Fatalf("unexpected answer to %s; got %q; want that of the backend that came to", what, got)
		}
	}
	f("a GET", "GET", "", true, true)
	f("a PUT with a small body", "PUT", "body", true, true)
	f("a POST", "POST", "body", true, false)
	f("a PUT with a large body", "PUT", strings.Repeat("x", 1<<20), true, false)
	f("a GET with nobody else", "GET", "", false, false)
}
