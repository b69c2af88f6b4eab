package l7

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"sluice/pkg/reactor"
)

// newLoops starts loops that a test has for itself.
func newLoops(t *testing.T) *reactor.Group {
	t.Helper()
	g, err := reactor.NewGroup(2, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	t.Cleanup(g.Close)
	return g
}

// TestConnectionMoves has a connection that is kept move from loop to loop and
// back while it is used, with requests that come whole, in pieces, one behind the
// other, and with a body. The backend may have one connection, which is idle in
// the loop that the client has left, so that it is handed over each time.
func TestConnectionMoves(t *testing.T) {
	t.Parallel()
	if !atOnce {
		return // what is no socket stays where it is
	}
	g := newLoops(t)
	f := newFront(t, func(c *Config) { c.Loops = g }, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.URL.Path, body)
	}))
	f.pool.Limit(1, 100)
	here, there := g.Loops()[0], g.Loops()[1]
	c := f.raw()
	ask := func(n int) {
		t.Helper()
		path := fmt.Sprintf("/%d", n)
		switch n % 4 {
		case 0:
			c.write("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n")
		case 1:
			c.write("GET " + path + " HTTP/1.1\r\nHo")
			c.write("st: h\r\n\r\n")
		case 2:
			c.write("POST " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
		default:
			c.write("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\nGET /second HTTP/1.1\r\nHost: h\r\n\r\n")
		}
		want := path + " "
		if n%4 == 2 {
			want += "body"
		}
		if resp, body := c.response("GET"); resp.StatusCode != 200 || body != want {
			t.Fatalf("unexpected response %d %q to request %d; want %q", resp.StatusCode, body, n, want)
		}
		if n%4 == 3 {
			if resp, body := c.response("GET"); resp.StatusCode != 200 || body != "/second " {
				t.Fatalf("unexpected response %d %q to the second request of %d", resp.StatusCode, body, n)
			}
		}
	}
	n := 0
	for range 4 {
		here.Post(func() { here.Divert(there) })
		there.Post(func() { there.Divert(there) })
		for end := time.Now().Add(patience); there.Streams() == 0 || here.Streams() > 0; n++ {
			if time.Now().After(end) {
				t.Fatalf("the connection does not move: %d and %d streams", here.Streams(), there.Streams())
			}
			ask(n)
			time.Sleep(10 * time.Millisecond) // it moves when it has been in a loop for a while
		}
		here, there = there, here
	}
	c.Close()
	f.wantMetric("sluice_listener_connections{", 0)
}

// TestStopWhileConnectionsMove stops a server whose connections move to and fro:
// none is left behind.
func TestStopWhileConnectionsMove(t *testing.T) {
	t.Parallel()
	if !atOnce {
		return
	}
	g := newLoops(t)
	f := newFront(t, func(c *Config) { c.Loops = g }, newBackend(t, func(http.ResponseWriter, *http.Request) {}))
	for i, l := range g.Loops() {
		l.Post(func() { l.Divert(g.Loops()[1-i]) })
	}
	done := make(chan error, 16)
	for range cap(done) {
		c := f.raw()
		go func() {
			for {
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
					done <- nil
					return
				}
				resp, err := http.ReadResponse(c.br, nil)
				if err != nil {
					done <- nil // closed between two requests, as a client must expect
					return
				}
				if resp.StatusCode != 200 {
					done <- fmt.Errorf("unexpected status %d", resp.StatusCode)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
			}
		}()
	}
	for end := time.Now().Add(patience); g.Loops()[1].Streams() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no connection moves")
		}
	}
	if n := f.shutdown(patience); n != 0 {
		t.Errorf("unexpected number of connections cut; got %d", n)
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
