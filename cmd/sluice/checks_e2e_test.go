package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// TestCheckOptions has checks with options come from a flag, from a variable
// and from a file.
func TestCheckOptions(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "app.test" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, "all; good")
	}))
	t.Cleanup(web.Close)
	redis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { redis.Close() })
	go func() {
		for {
			c, err := redis.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if line, _ := bufio.NewReader(c).ReadString('\n'); line == "PING\r\n" {
					_, _ = io.WriteString(c, "+PONG\r\n")
				}
			}()
		}
	}()
	addr := web.Listener.Addr().String()
	members := t.TempDir() + "/members.yaml"
	list := `[{addr: "` + addr + `", check: "http:/ host=app.test status=200"}]`
	if err := os.WriteFile(members, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "sluice", []string{`SLUICE_SERVICE=good,check=http:/,check-host=app.test,check-body=all\; good;bad,check=http:/ status=200-399|500;file,file=` + members + `;redis,check=tcp send="PING\r\n" expect=+PONG;not,check=tcp,check-send=PONG\r\n,check-expect=+PONG`},
		"--admin=127.0.0.1:0", "--l7=127.0.0.1:0",
		"--route=/good=good", "--route=/bad=bad", "--route=/file=file", "--route=/redis=redis", "--route=/not=not",
		"--backend=good="+addr, "--backend=bad="+addr, "--backend=redis="+redis.Addr().String(), "--backend=not="+redis.Addr().String())
	for service, state := range map[string]string{"good": "up", "bad": "down", "file": "up", "redis": "up", "not": "down"} {
		eventually(t, service+" is "+state, func() bool {
			_, body := get("http://" + s.addr("admin") + "/metrics")
			for line := range strings.Lines(body) {
				if strings.HasPrefix(line, `sluice_backend_state{service="`+service+`"`) && strings.Contains(line, `state="`+state+`"} 1`) {
					return true
				}
			}
			return false
		})
	}
}
