package l7

import (
	"net/http"
	"strings"
	"testing"
)

// TestRecent asks what became of requests by their IDs: of one that was retried,
// one that nobody could serve, one without a route and one that comes again.
func TestRecent(t *testing.T) { eachDriver(t, testRecent) }

func testRecent(t *testing.T) {
	t.Parallel()
	recent := NewRecent()
	dead := deadAddr(t)
	alive := named(t, "web")
	f := newFront(t, func(c *Config) {
		c.Recent = recent
		c.TrustedProxies = prefixes("127.0.0.0/8")
	}, dead, alive)
	c := f.raw()
	ask := func(id, path string) int {
		t.Helper()
		resp, _ := c.do("GET " + path + " HTTP/1.1\r\nHost: a\r\nX-Request-Id: " + id + "\r\n\r\n")
		return resp.StatusCode
	}
	find := func(id string, n int) (all []Past) {
		t.Helper()
		eventually(t, "it is known what became of "+id, func() bool {
			all = recent.Find(id)
			return len(all) == n
		})
		return all
	}
	// Round robin tries the one that is dead for every second request at most.
	retried := false
	for i := 0; i < 20 && !retried; i++ {
		id := strings.Repeat("x", i+1)
		if status := ask(id, "/"); status != http.StatusOK {
			t.Fatalf("unexpected status: %d", status)
		}
		p := find(id, 1)[0]
		if p.RequestID != id || p.Status != 200 || p.Service != "web" || p.Route == "" || p.Strategy == "" || p.Listener == "" || p.Reason.String() != "" || !p.Client.IsLoopback() || p.Duration <= 0 || p.At.IsZero() {
			t.Fatalf("unexpected past of a request: %+v", p)
		}
		n := len(p.Attempts)
		if last := p.Attempts[n-1]; last.Backend != alive || last.Reason.String() != "" || last.After > p.Duration {
			t.Fatalf("unexpected last attempt: %+v", p)
		}
		retried = n == 2
		if first := p.Attempts[0]; retried && (first.Backend != dead || first.Reason.String() != "connect_failed" || first.After > p.Duration) {
			t.Fatalf("unexpected first attempt: %+v", p)
		}
	}
	if !retried {
		t.Error("no request was retried")
	}
	if len(recent.Find("none")) != 0 {
		t.Error("a request is known that never was")
	}
	for range 3 {
		ask("again", "/")
	}
	if all := find("again", 3); all[0].At.Before(all[2].At) {
		t.Error("the latest request does not come first")
	}
	// The last ones of each ID are kept, however many there are.
	for range 300 {
		ask("many", "/")
	}
	find("many", 256)
}

// TestRecentHTTP2 asks what became of requests of HTTP/2.
func TestRecentHTTP2(t *testing.T) {
	t.Parallel()
	recent := NewRecent()
	alive := named(t, "web")
	f := newClearFront(t, func(c *Config) {
		c.Recent = recent
		c.TrustedProxies = prefixes("127.0.0.0/8")
	}, alive)
	req, err := http.NewRequest("GET", "http://"+f.addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Request-Id", "two")
	resp, err := f.client2().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	eventually(t, "it is known what became of it", func() bool {
		all := recent.Find("two")
		return len(all) == 1 && all[0].Status == 200 && len(all[0].Attempts) == 1 && all[0].Attempts[0].Backend == alive
	})
}
