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

// TestReserve sends requests while the members of the first tier refuse, or
// break off, and health does not know yet: the next tier answers what may be
// sent again. Requests that have not been sent may be, whatever their method.
func TestReserve(t *testing.T) { eachDriver(t, testReserve) }

func testReserve(t *testing.T) {
	t.Parallel()
	good := newBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "good") })
	breaks := func() string {
		return newRawBackend(t, func(n int, c *rawConn) {
			_, _, _ = c.request()
			_ = c.SetLinger(0)
		})
	}
	f := func(what string, first []string, method string, want int) {
		t.Helper()
		x := newFront(t, nil, good)
		targets := []backend.Target{{ID: "good", Address: good, Weight: 1, Priority: 1}}
		for i, addr := range first {
			targets = append(targets, backend.Target{ID: fmt.Sprint(i), Address: addr, Weight: 1})
		}
		x.pool.Set(targets)
		for _, b := range x.pool.Snapshot().All {
			b.SetCondition(backend.Condition{State: backend.Up, Since: time.Now()})
		}
		client := x.client()
		for range 5 {
			req, err := http.NewRequest(method, x.url("/"), strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Fatalf("%s: unexpected status of %s; got %d; want %d", what, method, resp.StatusCode, want)
			}
		}
	}
	f("one refuses", []string{deadAddr(t)}, "GET", 200)
	f("one refuses", []string{deadAddr(t)}, "POST", 200)
	f("three refuse", []string{deadAddr(t), deadAddr(t), deadAddr(t)}, "POST", 200)
	f("one breaks off", []string{breaks()}, "PUT", 200)
	f("one breaks off", []string{breaks()}, "POST", 502) // it may have been carried out
}

// TestReserveIdle has an idle connection to the only member of the first tier
// die: the member itself is asked again, not the next tier.
func TestReserveIdle(t *testing.T) { eachDriver(t, testReserveIdle) }

func testReserveIdle(t *testing.T) {
	t.Parallel()
	later := newBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "later") })
	first := newRawBackend(t, func(n int, c *rawConn) {
		for i := 0; ; i++ {
			if _, err := http.ReadRequest(c.br); err != nil || n == 0 && i == 1 {
				return
			}
			c.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")
		}
	})
	x := newFront(t, nil, later)
	x.pool.Set([]backend.Target{{ID: "a", Address: first, Weight: 1}, {ID: "b", Address: later, Weight: 1, Priority: 1}})
	client := x.client()
	for i := range 3 {
		resp, err := client.Get(x.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(got) != "first" {
			t.Fatalf("unexpected answer to request %d; got %q; want the first tier's", i, got)
		}
	}
}
