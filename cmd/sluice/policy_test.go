package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// TestAccessLog has everything that ended written before the process does.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	s := startSluice(t, append(backendArgs(addrs), "--access-log", "--drain-delay=0s")...)
	const n = 200
	url := "http://" + s.addr("l7")
	for i := range n {
		if status, body := get(fmt.Sprintf("%s/log-%d", url, i)); status != http.StatusOK {
			t.Fatalf("unexpected answer: %d %s", status, body)
		}
	}
	if err := exchangeTCP(s.addr("l4")); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != exitOK {
		t.Fatalf("unexpected exit code; got %d; want 0", code)
	}
	log := s.text()
	if got := strings.Count(log, `"path":"/log-`); got != n {
		t.Errorf("unexpected number of lines about requests; got %d; want %d", got, n)
	}
	if got := strings.Count(log, `"msg":"connection ended","listener":"l4"`); got != 1 {
		t.Errorf("unexpected number of lines about connections; got %d; want 1", got)
	}
}

// TestHTTPPolicy has the settings that flags know reach the data path.
func TestHTTPPolicy(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 3)
	s := start(t, "sluice", []string{"SLUICE_STICKY_SECRET=hunter22"},
		"--admin=127.0.0.1:0",
		"--l7=127.0.0.1:0,rate=1/m,rate-burst=3,rate-key=header:x-api-key,max-body=1k,hsts=1h,forwarded=true,trace-sample=100",
		"--route=/=web", "--route=/c=web,canary=next:100,strip=/c,prepend=/headers", "--route=/=web,header=X-Stable,rewrite-host=inner.test",
		"--route=*.test/old=,redirect=308:https://new.test$path", "--route=/none=web,deny=127.0.0.0/8",
		"--service=web,sticky=cookie,max-requests=100,concurrency=adaptive,breaker=50:1s",
		"--backend=web="+addrs[0], "--backend=web="+addrs[1], "--backend=next="+addrs[2],
		"--trusted-proxy=127.0.0.0/8")
	url := "http://" + s.addr("l7")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	key := 0
	ask := func(method, path, body string, header ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest(method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		key++
		req.Header.Set("X-Api-Key", fmt.Sprint(key))
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
			if header[i] == "Host" {
				req.Host = header[i+1]
			}
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(text)
	}
	want := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("unexpected %s; got %v; want %v", what, got, want)
		}
	}
	resp, text := ask("GET", "/c", "")
	want("status of the canary", resp.StatusCode, 200)
	if len(resp.Cookies()) != 0 || resp.Header.Get("X-Backend") != "echo-3" {
		t.Errorf("unexpected answer of the canary: %v, %s", resp.Header, text)
	}
	for _, part := range []string{"Forwarded", "Traceparent", "X-Forwarded-Port", "X-Real-Ip"} {
		if !strings.Contains(text, part) {
			t.Errorf("the backend was not told %s: %s", part, text)
		}
	}
	resp, text = ask("GET", "/headers", "", "X-Stable", "1")
	if c := resp.Cookies(); len(c) != 1 || c[0].Name != "sluice_web" || !strings.Contains(text, "inner.test") {
		t.Errorf("unexpected answer of the stable service: %v, %s", resp.Header, text)
	}
	resp, _ = ask("GET", "/old/x?y", "", "Host", "a.test")
	want("redirect", fmt.Sprint(resp.StatusCode, resp.Header.Get("Location")), "308https://new.test/old/x?y")
	resp, _ = ask("GET", "/none", "")
	want("status of a denied client", resp.StatusCode, 403)
	resp, _ = ask("POST", "/x", strings.Repeat("x", 1025))
	want("status of a large body", resp.StatusCode, 413)
	resp, _ = ask("GET", "/x", "", "X-Forwarded-Proto", "https")
	want("HSTS", resp.Header.Get("Strict-Transport-Security"), "max-age=3600")
	for range 3 {
		resp, _ = ask("GET", "/x", "", "X-Api-Key", "one")
		want("status within the rate", resp.StatusCode, 200)
	}
	resp, _ = ask("GET", "/x", "", "X-Api-Key", "one")
	want("status beyond the rate", resp.StatusCode, 429)
	if strings.Contains(s.text(), "hunter22") {
		t.Error("the log shows a secret")
	}
}
