package l7

import (
	"errors"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"sluice/pkg/backend"
)

// wantReset checks that the connection breaks off, whatever comes before.
func (c *rawConn) wantReset(what string) {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.br); !errors.Is(err, syscall.ECONNRESET) {
		c.t.Errorf("%s: unexpected end of the connection; got %v; want a reset", what, err)
	}
}

// upgrade makes c an upgraded connection.
func (c *rawConn) upgrade() {
	c.t.Helper()
	c.write("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	if resp, err := http.ReadResponse(c.br, nil); err != nil || resp.StatusCode != 101 {
		c.t.Fatalf("cannot upgrade: %v, %+v", err, resp)
	}
}

// TestUpgradeTimeouts has upgraded connections that fall silent, half-closed by
// either side or not: what is ended there breaks, for both.
func TestUpgradeTimeouts(t *testing.T) { eachDriver(t, testUpgradeTimeouts) }

func testUpgradeTimeouts(t *testing.T) {
	t.Parallel()
	for _, closes := range []string{"", "client", "backend"} {
		over := make(chan error, 1)
		addr := newRawBackend(t, func(_ int, c *rawConn) {
			if _, _, err := c.request(); err != nil {
				return
			}
			c.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
			if closes == "backend" {
				_ = c.CloseWrite()
			}
			_, err := io.Copy(io.Discard, c.br)
			if closes == "client" && err == nil { // its end was passed on
				for err == nil {
					_, err = io.WriteString(c, "x")
					time.Sleep(200 * time.Millisecond)
				}
				if errors.Is(err, syscall.EPIPE) {
					err = syscall.ECONNRESET
				}
			}
			over <- err
		})
		f := newFront(t, func(c *Config) {
			c.UpgradeIdleTimeout, c.UpgradeFINTimeout = time.Hour, 100*time.Millisecond
			if closes == "" {
				c.UpgradeIdleTimeout, c.UpgradeFINTimeout = 100*time.Millisecond, -1
			}
		}, addr)
		c := f.raw()
		c.upgrade()
		if closes == "client" {
			_ = c.CloseWrite()
		}
		if closes != "backend" {
			c.wantReset("closed by " + closes)
		}
		if err := <-over; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("closed by %q: unexpected end for the backend; got %v; want a reset", closes, err)
		}
		f.wantMetric(`sluice_l7_failed_total{service="web",reason="idle_timeout"}`, 1)
	}
}

// TestEvictions takes a backend away on which an upgraded connection, a stream
// and a connection that is bound stay, in every way there is: they end when they
// should, as breaks, and nothing else does.
func TestEvictions(t *testing.T) { eachDriver(t, testEvictions) }

func testEvictions(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		what   string
		policy PolicyConfig
		leave  func(p *backend.Pool, b *backend.Backend)
		want   string // the reason, or nothing
	}{
		{"deregistered", PolicyConfig{Drain: 50 * time.Millisecond}, func(p *backend.Pool, b *backend.Backend) { p.Set(nil) }, "backend_drained"},
		{"in maintenance", PolicyConfig{Drain: 50 * time.Millisecond}, func(p *backend.Pool, b *backend.Backend) {
			target := b.Target()
			target.Status = backend.Maintenance
			p.Set([]backend.Target{target})
		}, "backend_drained"},
		{"down", PolicyConfig{CloseOnUnhealthy: true}, func(p *backend.Pool, b *backend.Backend) {
			b.SetCondition(backend.Condition{State: backend.Down, Since: time.Now()})
		}, "backend_unhealthy"},
		{"critical", PolicyConfig{CloseOnUnhealthy: true}, func(p *backend.Pool, b *backend.Backend) {
			target := b.Target()
			target.Status = backend.Critical
			p.Set([]backend.Target{target})
		}, "backend_unhealthy"},
		{"down, which closes nothing", PolicyConfig{Drain: time.Millisecond}, func(p *backend.Pool, b *backend.Backend) {
			b.SetCondition(backend.Condition{State: backend.Down, Since: time.Now()})
		}, ""},
		{"deregistered, for ever", PolicyConfig{CloseOnUnhealthy: true}, func(p *backend.Pool, b *backend.Backend) { p.Set(nil) }, ""},
	} {
		f := newFront(t, func(c *Config) { withPolicy(t, c, x.policy) }, newRawBackend(t, func(_ int, c *rawConn) {
			req, _, err := c.request()
			if err != nil {
				return
			}
			switch req.URL.Path {
			case "/ws":
				c.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
			case "/sse":
				c.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
			default:
				c.write("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n")
			}
			_, _ = io.Copy(io.Discard, c.br)
		}))
		b := f.pool.Snapshot().All[0]
		ws, sse, bound := f.raw(), f.raw(), f.raw()
		ws.upgrade()
		sse.write("GET /sse HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(sse.br, nil)
		if err != nil {
			t.Fatal(err)
		}
		bound.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		bound.response("GET")
		x.leave(f.pool, b)
		if x.want == "" {
			// Whatever would end them does so by the time that this is answered.
			time.Sleep(100 * time.Millisecond)
			turn()
			if n := f.gauge("sluice_l7_requests{"); n != 2 {
				t.Errorf("%s: unexpected number of what stays; got %v; want 2", x.what, n)
			}
			continue
		}
		ws.wantReset(x.what)
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%s: the stream has ended well", x.what)
		}
		f.wantMetric(`sluice_l7_failed_total{service="web",reason="`+x.want+`"}`, 2)
		eventually(t, "all connections to the backend have ended", func() bool { return b.Conns.Open.Load() == 0 })
		eventually(t, "no client is left but the one that was bound", func() bool { return f.gauge("sluice_listener_connections{") == 1 })
		bound.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if _, err := bound.br.Peek(1); err != nil {
			t.Errorf("%s: the client that was bound is not served any more: %v", x.what, err)
		}
	}
}
