package l7

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/pkg/listen"
)

// TestReuse checks who gets an idle connection.
func TestReuse(t *testing.T) { eachDriver(t, testReuse) }

func testReuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reuse Reuse
		keep  time.Duration
		slots int
		want  string // the connection of each request: two of a client, two of another one
		close bool
	}{
		{reuse: ReuseSafe, want: "0 0 1 1"},
		{reuse: ReuseNever, want: "0 1 2 3", close: true},
		{keep: -1, want: "0 1 2 3"},
		{slots: 1, want: "0 1 2 3", close: true},
		{reuse: ReuseAlways, slots: 2, want: "0 0 0 0"}, // and not one for each loop
		{reuse: ReuseSafe, slots: 2, want: "0 0 1 1"},   // which has replaced 0: one is kept,
	} {
		if c.reuse == ReuseAlways && !atOnce {
			continue // connections stay in their loop
		}
		addr := newRawBackend(t, func(n int, b *rawConn) {
			for {
				req, _, err := b.request()
				if err != nil {
					return
				}
				if req.Close != c.close {
					t.Errorf("%+v: unexpected wish to close of a request; got %v", c, req.Close)
				}
				b.write(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n))
			}
		})
		f := newFront(t, func(cfg *Config) { withPolicy(t, cfg, PolicyConfig{Reuse: c.reuse, KeepIdle: c.keep}) }, addr)
		f.pool.Limit(c.slots, 10)
		var got []string
		for range 2 {
			client := f.raw()
			for range 2 {
				client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				_, body := client.response("GET")
				got = append(got, body)
				f.wantMetric("sluice_l7_requests{", 0) // it is somebody else's to use now
			}
			client.Close()
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%+v: unexpected connections; got %s; want %s", c, got, c.want)
		}
		f.shutdown(patience)
		conns := &f.pool.Snapshot().All[0].Conns
		if open, idle := conns.Open.Load(), conns.Idle.Load(); open != 0 || idle != 0 {
			t.Errorf("%+v: unexpected number of connections left; got %d, %d idle", c, open, idle)
		}
	}
}

// ntlm is a backend that authenticates connections, as IIS does: each request
// on one is from whoever has logged in there.
func ntlm(t *testing.T, name string, scheme string, ended *atomic.Int64) string {
	return newRawBackend(t, func(_ int, c *rawConn) {
		defer ended.Add(1)
		user := ""
		for {
			req, body, err := c.request()
			if err != nil {
				return
			}
			_, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
			switch who, last := strings.CutPrefix(token, "I-am-"); {
			case last:
				user = who
			case token != "":
				c.write("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: " + scheme + " challenge\r\nContent-Length: 0\r\n\r\n")
				continue
			}
			if user == "" {
				c.write("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x, " + scheme + "\r\nContent-Length: 0\r\n\r\n")
				continue
			}
			text := name + " " + user + " " + body
			c.write(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text))
		}
	})
}

// TestConnectionAuthentication has clients that log in on connections, beside
// others that do not: nobody is ever taken for somebody else, whoever has
// logged in stays so, and what they used is used by nobody after them.
func TestConnectionAuthentication(t *testing.T) { eachDriver(t, testConnectionAuthentication) }

func testConnectionAuthentication(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"NTLM", "Negotiate"} {
		for _, reuse := range []Reuse{ReuseAlways, ReuseSafe, ReuseNever} {
			var ended atomic.Int64
			f := newFront(t, func(cfg *Config) { withPolicy(t, cfg, PolicyConfig{Reuse: reuse}) }, ntlm(t, "a", scheme, &ended), ntlm(t, "b", scheme, &ended))
			var wg sync.WaitGroup
			for n := range 4 {
				wg.Go(func() {
					c := f.raw()
					defer c.Close()
					ask := func(header, body string) (int, string) {
						c.write(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body))
						resp, got := c.response("POST")
						return resp.StatusCode, got
					}
					if status, got := ask("", ""); status != 401 {
						t.Errorf("%s, %d: somebody who did not log in got %d %s", scheme, reuse, status, got)
					}
					if status, got := ask("Authorization: "+scheme+" hello\r\n", ""); status != 401 {
						t.Errorf("%s, %d: unexpected answer to the first message; got %d %s", scheme, reuse, status, got)
					}
					user := fmt.Sprint("user", n)
					_, first := ask("Authorization: "+scheme+" I-am-"+user+"\r\n", "x")
					for range 20 {
						if status, got := ask("", "x"); status != 200 || got != first || !strings.Contains(got, " "+user+" ") {
							t.Errorf("%s, %d: unexpected answer to %s; got %d %s; want %s", scheme, reuse, user, status, got, first)
						}
					}
				})
				wg.Go(func() {
					c := f.raw()
					defer c.Close()
					for range 20 {
						c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
						if resp, got := c.response("GET"); resp.StatusCode != 401 {
							t.Errorf("%s, %d: somebody who did not log in got %d %s", scheme, reuse, resp.StatusCode, got)
						}
					}
				})
			}
			wg.Wait()
			// The clients are gone, and so are the connections that were theirs.
			eventually(t, "the connections that were bound have ended", func() bool {
				var open int64
				for _, b := range f.pool.Snapshot().All {
					open += b.Conns.Open.Load()
				}
				return open == 0
			})
		}
	}
}

// TestBoundConnectionEnds checks that a backend may end a connection that is
// bound, and that the client goes on with another one then.
func TestBoundConnectionEnds(t *testing.T) { eachDriver(t, testBoundConnectionEnds) }

func testBoundConnectionEnds(t *testing.T) {
	t.Parallel()
	drop := make(chan struct{})
	addr := newRawBackend(t, func(n int, c *rawConn) {
		if _, _, err := c.request(); err != nil {
			return
		}
		c.write(fmt.Sprintf("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 1\r\n\r\n%d", n))
		<-drop
	})
	f := newFront(t, nil, addr)
	b := f.pool.Snapshot().All[0]
	c := f.raw()
	ask := func(want string) {
		t.Helper()
		c.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
		if _, got := c.response("POST"); got != want {
			t.Errorf("unexpected connection; got %s; want %s", got, want)
		}
	}
	ask("0")
	close(drop)
	eventually(t, "the connection has ended", func() bool { return b.Conns.Open.Load() == 0 })
	ask("1")
}

// TestFewConnections has backends that serve so many connections at a time, and
// let the others wait, as prefork servers do. With max-conns= no request waits
// for a connection that is idle, nor does a check, whichever loops and listeners
// the requests come by.
func TestFewConnections(t *testing.T) { eachDriver(t, testFewConnections) }

func testFewConnections(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 2, 3} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })}
		go func() { _ = s.Serve(&prefork{Listener: ln, workers: make(chan struct{}, workers)}) }()
		t.Cleanup(func() { s.Close() })

		f := newFront(t, func(cfg *Config) { withPolicy(t, cfg, PolicyConfig{KeepIdle: time.Hour, QueueTimeout: patience}) }, ln.Addr().String())
		f.pool.Limit(workers, 1000)
		g := newFrontOn(t, listen.Config{}, func(cfg *Config) {
			cfg.Routes[0].Balancer, cfg.Routes[0].Policy = f.cfg.Routes[0].Balancer, f.cfg.Routes[0].Policy
		}, ln.Addr().String())
		var wg sync.WaitGroup
		for n := range 8 {
			front := f
			if n%2 == 1 {
				front = g
			}
			wg.Go(func() {
				c := front.raw()
				defer c.Close()
				for range 50 {
					c.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok")
					if resp, body := c.response("POST"); resp.StatusCode != 200 || body != "ok" {
						t.Errorf("%d workers: unexpected answer; got %d %q %v", workers, resp.StatusCode, body, resp.Header)
						return
					}
				}
			})
		}
		wg.Wait()
		if n := f.pool.Snapshot().All[0].Conns.Idle.Load(); n > int64(workers)-1 {
			t.Errorf("%d workers: unexpected number of idle connections; got %d", workers, n)
		}
		// A check, which is a client like any other to the backend.
		check := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		resp, err := check.Get("http://" + ln.Addr().String())
		if err != nil {
			t.Fatalf("%d workers: a check beside idle connections failed: %v", workers, err)
		}
		resp.Body.Close()
	}
}

// TestCrowded has a backend that serves one connection at a time, and nobody who
// says so: who waits for an idle one is helped.
func TestCrowded(t *testing.T) { eachDriver(t, testCrowded) }

func testCrowded(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { _ = s.Serve(&prefork{Listener: ln, workers: make(chan struct{}, 1)}) }()
	t.Cleanup(func() { s.Close() })
	f := newFront(t, func(cfg *Config) { withPolicy(t, cfg, PolicyConfig{KeepIdle: time.Hour}) }, ln.Addr().String())
	if status, _, _ := get(t, f.client(), f.url("/")); status != 200 {
		t.Fatalf("unexpected status; got %d", status)
	}
	b := f.pool.Snapshot().All[0]
	checked := make(chan error, 1)
	go func() {
		check := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		resp, err := check.Get("http://" + ln.Addr().String())
		if err == nil {
			resp.Body.Close()
		}
		checked <- err
	}()
	for {
		select {
		case err := <-checked:
			if err != nil {
				t.Errorf("a check beside an idle connection failed: %v", err)
			}
			return
		case <-time.After(50 * time.Millisecond):
			b.Crowded()
		}
	}
}

// prefork accepts a connection when one of its workers has none.
type prefork struct {
	net.Listener
	workers chan struct{}
}

func (p *prefork) Accept() (net.Conn, error) {
	p.workers <- struct{}{}
	c, err := p.Listener.Accept()
	if err != nil {
		<-p.workers
		return nil, err
	}
	return &worked{Conn: c, done: sync.OnceFunc(func() { <-p.workers })}, nil
}

type worked struct {
	net.Conn
	done func()
}

func (w *worked) Close() error {
	defer w.done()
	return w.Conn.Close()
}

// TestHandedOver checks that loops hand idle connections to each other where a
// backend may have few: what was asked in one loop is asked on the same
// connection in another.
func TestHandedOver(t *testing.T) {
	t.Parallel()
	if !atOnce {
		t.Skip("connections stay in their loop")
	}
	var conns atomic.Int64
	addr := newRawBackend(t, func(n int, c *rawConn) {
		conns.Add(1)
		for {
			if _, _, err := c.request(); err != nil {
				return
			}
			c.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	own := newLoops(t)
	here, there := own.Loops()[0], own.Loops()[1]
	f := newFront(t, func(cfg *Config) {
		cfg.Loops = own
		withPolicy(t, cfg, PolicyConfig{KeepIdle: time.Hour})
	}, addr)
	f.pool.Limit(2, 10)
	clients := []*rawConn{f.raw(), f.raw()}
	ask := func(c *rawConn) {
		t.Helper()
		c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		c.response("GET")
	}
	// The first of them moves to the other loop, and then both stay.
	stay := func() {
		here.Post(func() { here.Divert(here) })
		there.Post(func() { there.Divert(there) })
	}
	stay()
	ask(clients[1])
	here.Post(func() { here.Divert(there) })
	for end := time.Now().Add(patience); there.Streams() == 0; {
		if ask(clients[0]); time.Now().After(end) {
			t.Fatal("nothing has moved")
		}
	}
	stay()
	const each = 200
	for range each {
		for _, c := range clients {
			c.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
			if resp, body := c.response("POST"); body != "ok" {
				t.Fatalf("unexpected answer; got %d %q %v", resp.StatusCode, body, resp.Header)
			}
		}
	}
	// A client may ask again before the connection of its last answer is idle.
	if n := int(conns.Load()); n > each*len(clients)/4 {
		t.Errorf("unexpected number of connections for %d requests; got %d", each*len(clients), n)
	}
}

// TestHintObeyed has a backend that keeps connections for so long as it says:
// it never gets a request, nor has to close, after that.
func TestHintObeyed(t *testing.T) { eachDriver(t, testHintObeyed) }

func testHintObeyed(t *testing.T) {
	t.Parallel()
	ends := make(chan error, 1)
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		if _, _, err := c.request(); err != nil {
			return
		}
		c.write("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2, max=100\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
		_, err := c.br.ReadByte()
		ends <- err
	})
	f := newFront(t, func(cfg *Config) { withPolicy(t, cfg, PolicyConfig{KeepIdle: 99 * 365 * 24 * time.Hour}) }, addr)
	if status, _, _ := get(t, f.client(), f.url("/")); status != 200 {
		t.Fatalf("unexpected status; got %d", status)
	}
	if err := <-ends; err != io.EOF {
		t.Errorf("unexpected end of an idle connection; got %v; want EOF", err)
	}
}
