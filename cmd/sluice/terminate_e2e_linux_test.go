package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTerminateThousand sends SIGTERM with a thousand long connections of both
// layers, 200 new connections and 500 requests a second: nothing is refused while
// those in front turn away, and nothing is cut that can finish.
func TestTerminateThousand(t *testing.T) {
	t.Parallel()
	for _, drivers := range [][2]string{{"epoll", "loop"}, {"copy", "fasthttp"}} {
		t.Run(drivers[0]+" "+drivers[1], func(t *testing.T) {
			t.Parallel()
			_, addrs := startEchos(t, 2)
			v := newSupervisor(t)
			s := v.start(built.path("sluice"), nil, nil, nil, "--l4=127.0.0.1:0=echo", "--l7=127.0.0.1:0", "--route=/=echo", "--l4-driver="+drivers[0], "--l7-driver="+drivers[1],
				"--backend=echo="+addrs[0], "--backend=echo="+addrs[1], "--admin=off", "--health-addr=127.0.0.1:0", "--drain-delay=6s", "--drain-timeout=1m")
			eventually(t, "it is ready", func() bool { return v.heard("READY=1") == 1 })
			l4, l7 := s.addr("l4"), s.addr("l7")
			tcp, web := hold(t, 500, "l4", l4), hold(t, 500, "l7", l7)
			exchangeAll(t, tcp)
			exchangeAll(t, web)
			connections, requests := startLoad(200, l4, ""), startLoad(500, "", l7)
			eventually(t, "the load is there", func() bool { return connections.count("tcp") > 50 && requests.count("get") > 100 })

			for _, c := range web { // requests that outlast the listeners
				if _, err := fmt.Fprint(c, "GET /slow?d=7s HTTP/1.1\r\nHost: a.example\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
			}
			s.signal(syscall.SIGTERM)
			eventually(t, "it says that it stops", func() bool {
				status, _ := get("http://" + s.addr("health") + "/readyz")
				return status == http.StatusServiceUnavailable && v.heard("STOPPING=1") == 1
			})
			c, r := connections.count("tcp"), requests.count("get")
			eventually(t, "the load goes on during the delay", func() bool { return connections.count("tcp") > c+20 && requests.count("get") > r+50 })
			connections.wantClean(t, 50)
			requests.wantClean(t, 100)
			eventually(t, "the listener is closed", func() bool {
				c, err := net.Dial("tcp", l4)
				if err == nil {
					c.Close()
				}
				return err != nil
			})
			for i, c := range web {
				if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(c.r, nil)
				if err != nil {
					t.Fatalf("request %d in flight: %v", i, err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
					t.Fatalf("request %d in flight: status %d, %v", i, resp.StatusCode, err)
				}
				resp.Body.Close()
			}
			exchangeAll(t, tcp)
			for _, c := range tcp {
				c.Close()
			}
			if code := s.wait(); code != exitOK || !strings.Contains(s.text(), `"stage":"done","cut":0`) {
				t.Errorf("unexpected end: %d", code)
			}
		})
	}
}
