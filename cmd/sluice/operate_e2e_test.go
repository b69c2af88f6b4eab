package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/pkg/balance"
)

// post makes a call of the control plane and returns its status and answer.
func post(t *testing.T, method, admin, path string, params ...string) (status int, body string) {
	t.Helper()
	v := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		v.Set(params[i], params[i+1])
	}
	req, err := http.NewRequest(method, "http://"+admin+path+"?"+v.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestChangesUnderLoad changes all there is while requests and connections come:
// none fails, and a connection that no change concerns lives on. SLUICE_CHANGES_TIME
// has it go on for so long.
func TestChangesUnderLoad(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 3)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := fmt.Sprintf("l7: ['127.0.0.1:0']\nl4: ['127.0.0.1:0=web']\nroute: ['/=web']\nbackend: ['web=%s', 'web=%s', 'web=%s']\nadmin: 127.0.0.1:0\n", addrs[0], addrs[1], addrs[2])
	write(good)
	s := start(t, "sluice", nil, "--config="+file)
	l7, l4, admin := s.addr("l7"), s.addr("l4"), s.addr("admin")
	eventually(t, "all are up", func() bool { status, _ := get("http://" + admin + "/readyz"); return status == 200 })

	stay, err := net.Dial("tcp", l4)
	if err != nil {
		t.Fatal(err)
	}
	defer stay.Close()
	var stop atomic.Bool
	var served atomic.Int64
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			c := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: n%2 == 0}}
			for to := l7; !stop.Load(); served.Add(1) {
				if n == 3 {
					to = l4
				}
				resp, err := c.Get("http://" + to + "/")
				if err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("unexpected answer: %d, %v", resp.StatusCode, err)
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	ok := func(method, path string, params ...string) {
		t.Helper()
		if status, body := post(t, method, admin, path, params...); status != http.StatusOK {
			t.Errorf("unexpected answer to %s %s %v: %d %s", method, path, params, status, body)
		}
	}
	long, _ := time.ParseDuration(os.Getenv("SLUICE_CHANGES_TIME"))
	for n, begin := 0, time.Now(); n < 3 || time.Since(begin) < long; n++ {
		for _, name := range balance.Names() {
			ok("PUT", "/admin/services/web/strategy", "value", name)
		}
		b := addrs[n%len(addrs)]
		ok("POST", "/admin/drain", "url", b)
		ok("POST", "/admin/remove", "url", b)
		ok("POST", "/admin/add", "url", b, "service", "web")
		ok("POST", "/admin/undrain", "url", b)
		ok("POST", "/admin/weight", "url", b, "value", "2x")
		ok("POST", "/admin/routes", "route", "/x=web")
		ok("POST", "/admin/listeners", "listener", "l7 localhost:0")
		ok("DELETE", "/admin/listeners", "listener", "localhost:0")
		ok("DELETE", "/admin/changes")
		if status, body := post(t, "POST", admin, "/admin/reload"); status != http.StatusOK {
			t.Errorf("unexpected answer to a reload: %d %s", status, body)
		}
		write("l7: nonsense\n")
		if status, _ := post(t, "POST", admin, "/admin/reload"); status != http.StatusUnprocessableEntity {
			t.Errorf("unexpected status of a reload of nonsense: %d", status)
		}
		write(good)
	}
	stop.Store(true)
	wg.Wait()
	if served.Load() == 0 {
		t.Fatal("nothing was served")
	}
	fmt.Fprintf(stay, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	_ = stay.SetReadDeadline(time.Now().Add(20 * time.Second))
	if b, err := io.ReadAll(stay); err != nil || !bytes.HasPrefix(b, []byte("HTTP/1.1 200")) {
		t.Fatalf("a connection that nobody meant was cut: %q, %v", b, err)
	}
}
