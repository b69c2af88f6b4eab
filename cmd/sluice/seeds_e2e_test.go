package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSeeds types what the users of other balancers type, as curl sends it, at one
// sluice with one service.
func TestSeeds(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 3)
	s := start(t, "sluice", nil, "--l7=127.0.0.1:0", "--route=/=web", "--route=/proxy=web,strip=/proxy", "--backend=web="+addrs[0], "--backend=web="+addrs[1], "--admin=127.0.0.1:0")
	l7, admin := s.addr("l7"), s.addr("admin")
	steady(t, s)
	for _, path := range []string{"/", "/proxy/", "/proxy/x"} {
		if status, body := get("http://" + l7 + path); status != http.StatusOK || strings.Contains(body, "/proxy") {
			t.Errorf("unexpected answer of %s: %d %s", path, status, body)
		}
	}
	eventually(t, "the requests have been counted", func() bool {
		_, body := get("http://" + admin + "/lb-metrics")
		return strings.Contains(body, `"total_requests": 3`)
	})
	third := addrs[2]
	client := http.Client{Timeout: 20 * time.Second}
	for _, c := range []struct {
		method, path, body string
		status             int
		has                []string
	}{
		{"GET", "/admin/backends", "", 200, []string{addrs[0], `"eligible": true`}},
		{"GET", "/admin/strategy", "", 200, []string{`"strategy": "p2c"`, `"switches_total": 0`, `"least_conn"`}},
		{"PUT", "/admin/services/web/strategy", `{"value":"maglev"}`, 200, []string{`"value": "maglev"`}},
		{"POST", "/admin/strategy", `{"strategy":"least_conn"}`, 200, []string{"least_conn"}},
		{"POST", "/admin/strategy?strategy=round_robin", "", 200, []string{"round_robin"}},
		{"POST", "/admin/strategy", "strategy=ip_hash", 200, []string{"ip_hash"}},
		{"POST", "/admin/strategy", `{"strategy":"nope"}`, 400, []string{`"field": "strategy"`, "least_conn"}},
		{"GET", "/metrics", "", 200, []string{`sluice_service_strategy{service="web",strategy="ip_hash"} 1`, `sluice_strategy_switches_total{service="web"} 4`}},
		{"GET", "/admin/cost", "", 200, []string{`"estimated_cost"`, `"formula"`}},
		{"GET", "/admin/advice", "", 200, nil},
		{"GET", "/admin/copilot", "", 200, nil},
		{"GET", "/admin/metrics/json", "", 200, []string{`"totals"`, "requests", "in_flight", "retries"}},
		{"GET", "/admin/routes", "", 200, []string{`"requests_total": 2`, `"average_latency_ms"`}},
		{"GET", "/lb-metrics", "", 200, []string{"uptime_seconds", `"total_requests": 3`, `"success_requests": 3`, `"failed_requests": 0`, "retry_attempts", "avg_latency_ms", `"healthy_backends": 2`, `"total_backends": 2`, "active_connections", "total_failures", "last_checked"}},
		{"POST", "/admin/backend/add?url=http://" + third, "", 200, []string{third}},
		{"POST", "/admin/drain?url=http://" + third, "", 200, []string{`"changed": true`}},
		{"POST", "/admin/undrain?url=http://" + third, "", 200, []string{`"changed": true`}},
		{"POST", "/admin/undrain?url=http://" + third, "", 200, []string{`"changed": false`}},
		{"POST", "/admin/backend/remove?url=http://" + third, "", 200, []string{`"changed": true`}},
		{"POST", "/admin/add", `{"url":"http://` + third + `","weight":3}`, 200, []string{"weight=3"}},
		{"GET", "/admin/list", "", 200, []string{`"url": "http://` + third + `"`, `"alive"`, `"active_conns"`, `"latency"`, `"fails"`, `"weight": 3`}},
		{"POST", "/admin/remove", `{"url":"http://` + third + `"}`, 200, []string{`"changed": true`}},
		{"POST", "/admin/remove", `{"url":"http://` + third + `"}`, 400, []string{"no service has such a backend"}},
		{"POST", "/admin/canary/set?url=http://" + addrs[1] + "&percent=10", "", 200, []string{addrs[1] + ":10"}},
		{"GET", "/admin/canary/status", "", 200, []string{`"percent": 10`, `"active": true`}},
		{"GET", "/admin/canary", "", 200, []string{`"percent": 10`}},
		{"POST", "/admin/canary/clear", "", 200, []string{`"changed": true`}},
		{"POST", "/admin/canary/clear", "", 200, []string{`"changed": false`}},
		{"POST", "/admin/selftest", "", 200, []string{`"ok": true`}},
		{"GET", "/admin/selftest", "", 200, []string{`"verdict"`}},
		{"GET", "/admin/outliers", "", 200, []string{`"outliers": []`}},
		{"GET", "/debug/config", "", 200, []string{`"strategy"`}},
		{"GET", "/readyz", "", 200, []string{`"ready": true`}},
		{"GET", "/dashboard/", "", 200, []string{"<html"}},
		{"GET", "/debug/pprof/", "", 200, []string{"goroutine"}},
		{"GET", "/admin/explain?path=/&client=10.0.0.1", "", 200, []string{`"picked": "127.0.0.1`}},
		{"POST", "/admin/reload", "", 200, nil},
		{"GET", "/admin/nothing", "", 404, []string{`"status": 404`, "/ lists"}},
		{"GET", "/admin/drain", "", 405, []string{`"status": 405`, "POST"}},
	} {
		req, err := http.NewRequest(c.method, "http://"+admin+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.body != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl -d says of JSON, too
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("unexpected status of %s %s %s; got %d; want %d: %s", c.method, c.path, c.body, resp.StatusCode, c.status, b)
		}
		for _, want := range c.has {
			if !strings.Contains(string(b), want) {
				t.Errorf("%s %s %s lacks %s: %s", c.method, c.path, c.body, want, b)
			}
		}
		if kind := resp.Header.Get("Content-Type"); c.status >= 400 && kind != "application/problem+json" {
			t.Errorf("unexpected Content-Type of %s %s: %s", c.method, c.path, kind)
		}
	}
	// All down: 503 says so.
	for _, b := range addrs[:2] {
		if status, body := post(t, "POST", admin, "/admin/drain", "url", b, "force", "true"); status != http.StatusOK {
			t.Fatalf("unexpected answer: %d %s", status, body)
		}
	}
	if status, body := get("http://" + l7 + "/"); status != http.StatusServiceUnavailable {
		t.Errorf("unexpected answer without a backend: %d %s", status, body)
	}
}
