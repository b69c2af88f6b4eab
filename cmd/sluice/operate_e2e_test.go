package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
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
// none fails, a connection that no change concerns lives on, and memory and
// descriptors are in the end what they were. SLUICE_CHANGES_TIME has it go on for so
// long, with 500 requests and 200 new connections a second.
func TestChangesUnderLoad(t *testing.T) {
	t.Parallel()
	long, _ := time.ParseDuration(os.Getenv("SLUICE_CHANGES_TIME"))
	gets, conns, reloads, pause := 50, 20, 6, 300*time.Millisecond
	if long > 0 {
		gets, conns, reloads, pause = 500, 200, 50, time.Second
	}
	_, addrs := startEchos(t, 3)
	settings := func(fall int) string {
		return fmt.Sprintf("l7: ['127.0.0.1:0']\nl4: ['127.0.0.1:0=web']\nroute: ['/=web']\nbackend: ['web=%s', 'web=%s', 'web=%s']\nadmin: 127.0.0.1:0\nhealth-fall: %d\n", addrs[0], addrs[1], addrs[2], fall)
	}
	file := newSettings(t, settings(3))
	s := start(t, "sluice", nil, "--config="+file.path)
	l7, l4, admin := s.addr("l7"), s.addr("l4"), s.addr("admin")
	steady(t, s)
	stay := openEchoes(t, l4)
	l := startLoad(gets, "", l7)
	l.tick(conns, "tcp", func() error { return exchangeTCP(l4) })
	eventually(t, "the load runs", func() bool { return l.count("tcp") > conns && l.count("get") > gets })
	files, memory := s.descriptors(), s.resident()

	made := make(map[string]int)
	ok := func(method, path string, params ...string) {
		t.Helper()
		made[path]++
		if status, body := post(t, method, admin, path, params...); status != http.StatusOK {
			t.Errorf("unexpected answer to %s %s %v: %d %s", method, path, params, status, body)
		}
	}
	strategies, begin, loaded := balance.Names(), time.Now(), 0
	for n := 0; n < reloads || time.Since(begin) < long; n++ {
		cycle := time.Now()
		for _, name := range strategies[n%2*len(strategies)/2:][:len(strategies)/2] {
			ok("PUT", "/admin/services/web/strategy", "value", name)
		}
		b := addrs[n%len(addrs)]
		ok("POST", "/admin/drain", "url", b)
		ok("POST", "/admin/remove", "url", b)
		ok("POST", "/admin/add", "url", b, "service", "web")
		ok("POST", "/admin/undrain", "url", b)
		ok("POST", "/admin/weight", "url", b, "value", "2x")
		ok("POST", "/admin/routes", "route", "/x=web")
		ok("DELETE", "/admin/routes", "route", "/x")
		ok("POST", "/admin/listeners", "listener", "l7 localhost:0")
		ok("DELETE", "/admin/listeners", "listener", "localhost:0")
		ok("DELETE", "/admin/changes")
		if loaded < reloads {
			loaded++
			want := http.StatusOK
			file.set(settings(3 + n%2))
			if loaded%(reloads/3) == 0 { // three of them
				file.set("l7: nonsense\n")
				want = http.StatusUnprocessableEntity
			}
			made["/admin/reload"]++
			if status, body := post(t, "POST", admin, "/admin/reload"); status != want {
				t.Errorf("unexpected answer to a reload; got %d; want %d: %s", status, want, body)
			}
			if want != http.StatusOK && !strings.Contains(bodyOf("http://"+admin+"/readyz"), "could not be reloaded") {
				t.Error("/readyz does not tell of settings that are wrong")
			}
		}
		stay.want("still there")
		time.Sleep(pause - time.Since(cycle))
	}
	elapsed := time.Since(begin)
	inUse, grown := s.descriptors(), s.resident()
	l.wantClean(t, conns)
	stay.want("still there")
	t.Logf("in %v: %d GETs, %d TCP connections, %v changes; descriptors %d before, %d at the end; resident %d KiB before, %d at the end",
		elapsed.Round(time.Second), l.count("get"), l.count("tcp"), made, files, inUse, memory, grown)
	eventually(t, "descriptors are what they were", func() bool { return s.descriptors() <= files })
	if grown > 2*memory+32<<10 {
		t.Errorf("unexpected growth of memory; got %d KiB; it was %d", grown, memory)
	}
}

// bodyOf returns what is answered at a URL.
func bodyOf(url string) string {
	_, body := get(url)
	return body
}

// resident returns how much memory a process has, in KiB.
func (p *process) resident() (kib int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0 // this system does not tell
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			fmt.Sscan(rest, &kib)
		}
	}
	return kib
}
