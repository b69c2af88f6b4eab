package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestExplainPast asks what became of real requests by their IDs, of each way in
// which HTTP is served.
func TestExplainPast(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	for name, x := range map[string]struct {
		driver string
		http2  bool
	}{"loop": {driver: "loop"}, "fasthttp": {driver: "fasthttp"}, "h2": {driver: "loop", http2: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, "sluice", nil, "--l7-driver="+x.driver, "--l7=127.0.0.1:0,h2c="+map[bool]string{true: "true", false: "false"}[x.http2],
				"--route=/=web", "--route=/none=none", "--backend=web="+addrs[0], "--backend=none=127.0.0.1:1", "--trusted-proxy=127.0.0.0/8", "--admin=127.0.0.1:0")
			tr := &http.Transport{Protocols: new(http.Protocols)}
			tr.Protocols.SetHTTP1(!x.http2)
			tr.Protocols.SetUnencryptedHTTP2(x.http2)
			defer tr.CloseIdleConnections()
			client := http.Client{Transport: tr}
			ask := func(id, path string) {
				t.Helper()
				req, err := http.NewRequest("GET", "http://"+s.addr("l7")+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("X-Request-Id", id)
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			ask("fine", "/")
			ask("bad", "/none")
			told := func(id string, want ...string) {
				t.Helper()
				eventually(t, "explain knows "+id, func() bool {
					_, out, _ := ctlAt(s.addr("admin"), "explain", "--request-id", id)
					for _, w := range want {
						if !strings.Contains(out, w) {
							return false
						}
					}
					return true
				})
			}
			told("fine", "the client got 200", "the route /", "backend "+addrs[0]+": answered")
			told("bad", "the service none", "the client got 50")
			if code, _, err := ctlAt(s.addr("admin"), "explain", "--request-id", "nobody"); code != 6 || !strings.Contains(err, "4096") {
				t.Errorf("unexpected end for an ID that was never used: %d %s", code, err)
			}
		})
	}
}
