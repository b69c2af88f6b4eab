package l7

import "testing"

// TestEarlyHintsKept has interim responses reach those clients alone for whom
// route, service or listener, in this order, want them.
func TestEarlyHintsKept(t *testing.T) { eachDriver(t, testEarlyHintsKept) }

func testEarlyHintsKept(t *testing.T) {
	t.Parallel()
	b := newRawBackend(t, func(_ int, c *rawConn) {
		for {
			if _, _, err := c.request(); err != nil {
				return
			}
			c.write("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	for _, x := range []struct {
		listener, service, route Toggle
		proto                    string
		want                     int
	}{
		{Inherit, Inherit, Inherit, "HTTP/1.1", 103},
		{Inherit, Inherit, Inherit, "HTTP/1.0", 200},
		{On, On, On, "HTTP/1.0", 200},
		{Off, Inherit, Inherit, "HTTP/1.1", 200},
		{Off, On, Inherit, "HTTP/1.1", 103},
		{On, On, Off, "HTTP/1.1", 200},
		{Off, Off, On, "HTTP/1.1", 103},
	} {
		f := newFront(t, func(c *Config) {
			c.EarlyHints, c.Routes[0].EarlyHints = x.listener, x.route
			withPolicy(t, c, PolicyConfig{EarlyHints: x.service})
		}, b)
		c := f.raw()
		c.write("GET / " + x.proto + "\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
		for first := true; ; first = false {
			resp, _ := c.response("GET")
			if first && resp.StatusCode != x.want {
				t.Errorf("unexpected first status for %+v: %d", x, resp.StatusCode)
			}
			if resp.StatusCode == 200 {
				break
			}
		}
		c.Close()
	}
}
