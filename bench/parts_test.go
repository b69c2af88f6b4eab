package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseListening(t *testing.T) {
	t.Parallel()
	bound := make(chan map[string]string, 1)
	read := collectListeners(bound)
	for _, line := range []string{
		`{"msg":"starting"}`,
		`{"msg":"listening","listener":"admin","name":"admin","addr":"127.0.0.1:1"}`,
		`not JSON`,
		`{"msg":"listening","listener":"health","name":"health","addr":"127.0.0.1:9"}`,
		`{"msg":"listening","listener":"l4","name":"bench","addr":"127.0.0.1:2"}`,
		`{"msg":"listening","listener":"l7","name":"127.0.0.1:0","addr":"127.0.0.1:3"}`,
		`{"msg":"listening","listener":"l7","name":"more","addr":"127.0.0.1:4"}`,
	} {
		read(line)
	}
	got := <-bound
	if got["admin"] != "127.0.0.1:1" || got["l4"] != "127.0.0.1:2" || got["l7"] != "127.0.0.1:3" {
		t.Fatalf("unexpected addresses: %v", got)
	}
}

func TestParseResponse(t *testing.T) {
	t.Parallel()
	f := func(data string, want int, fails bool) {
		t.Helper()
		got, err := parseResponse([]byte(data))
		if got != want || (err != nil) != fails {
			t.Fatalf("unexpected size of %q; got %d, %v; want %d", data, got, err, want)
		}
	}
	whole := "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 2\r\n\r\nok"
	f(whole, len(whole), false)
	f(whole+"HTTP/1.1", len(whole), false)
	for i := range whole {
		f(whole[:i], 0, false)
	}
	f("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 0, true)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, true)
	f("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 0, true)
	f("nonsense\r\n\r\n", 0, true)
	if _, err := parseResponse([]byte("HTTP/1.1 200 OK\r\n\r\n")); !errors.Is(err, errNoLength) {
		t.Fatalf("unexpected error without a length: %v", err)
	}
}

func TestParseMachine(t *testing.T) {
	t.Parallel()
	model, virtual := parseCPU("processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu hypervisor sse\n")
	if model != "AMD EPYC" || !virtual {
		t.Fatalf("unexpected CPU: %q, %v", model, virtual)
	}
	if model, virtual = parseCPU(""); model != "unknown" || virtual {
		t.Fatalf("unexpected CPU of nothing: %q, %v", model, virtual)
	}
	if n := parseMemory("MemTotal:       24683520 kB\nMemFree: 1 kB\n"); n != 24105 {
		t.Fatalf("unexpected memory: %d", n)
	}
}

func TestVersionNumber(t *testing.T) {
	t.Parallel()
	f := func(out, want string) {
		t.Helper()
		if got := versionNumber.FindString(out); got != want {
			t.Fatalf("unexpected version in %q; got %q; want %q", out, got, want)
		}
	}
	f("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12-1+deb12u4")
	f("nginx version: nginx/1.22.1\n", "1.22.1")
	f("wrk debian/4.1.0-3+b2 [epoll]", "4.1.0-3+b2")
	f("v2.8.4 h1:abc=", "v2.8.4")
}

func TestConfigs(t *testing.T) {
	t.Parallel()
	l := launch{dir: t.TempDir(), threads: 3, maxConns: 1256, l4: "127.0.0.1:1", l7: "127.0.0.1:2", backends: []string{"127.1.0.1:5", "127.1.0.2:5"}, slow: true}
	wantContains(t, haproxyConfig(l, 65536), "nbthread 3", "tune.bufsize 65536", "balance leastconn", "server s1 127.1.0.2:5 check", "http-reuse always")
	n := nginxConfig(l, streamModule{there: true, load: "/x/stream.so"}, true)
	wantContains(t, n, "load_module /x/stream.so;", "worker_processes 3;", "listen 127.0.0.1:1 reuseport;", "proxy_buffer_size 64k;", "least_conn;", "access_log off;")
	if n := nginxConfig(l, streamModule{}, false); strings.Contains(n, "stream {") || strings.Contains(n, "64k") {
		t.Fatalf("unexpected configuration without the stream module:\n%s", n)
	}
	for _, p := range others() {
		got, err := p.launch(l)
		if err != nil {
			t.Fatal(err)
		}
		wantContains(t, got.config+strings.Join(got.args, " "), "127.1.0.1", "127.1.0.2", l.dir)
	}
	b := &backend{kind: "nginx", port: "5", most: 2}
	wantContains(t, b.nginxConfig(100), "listen 127.1.0.2:5", "client_body_buffer_size 2m", smallBody[:65])
	if len(smallBody) != 66 {
		t.Fatalf("unexpected size of the small body: %d", len(smallBody))
	}
}

func TestMemberAddr(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for i := range 1000 {
		a := memberAddr(i, "80")
		if seen[a] {
			t.Fatalf("unexpected second %s", a)
		}
		seen[a] = true
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	b := &backend{kind: "nginx"}
	f := func(carry body, data string, ok bool) {
		t.Helper()
		if err := b.verify(carry, []byte(data)); (err == nil) != ok {
			t.Fatalf("unexpected verdict on %s %.20q: %v", carry, data, err)
		}
	}
	f(small, smallBody, true)
	f(small, "", false)
	f(down, strings.Repeat("d", megabyte), true)
	f(down, strings.Repeat("d", megabyte-1), false)
	f(up, "1048777", true)
	f(up, "1048575", false)
	f(up, "9048575", false)
	f(up, "", false)
	f(up, strings.Repeat("u", megabyte), true)
}

func TestFind(t *testing.T) {
	t.Parallel()
	peers := []proxy{
		{name: "there", path: "sh"}, {name: "missing", path: "no-such-program", install: "apt install it"},
		{name: "missing-64k", path: "no-such-program", install: "apt install it", bulkOnly: true},
		{name: "rare", path: "no-such-program-either", optional: true},
	}
	found, skipped, err := find(peers, nil)
	if err != nil || len(found) != 1 || !filepath.IsAbs(found[0].path) || len(skipped) != 1 || skipped[0] != "missing is not installed: apt install it" {
		t.Fatalf("unexpected peers: %v, %q, %v", found, skipped, err)
	}
	if _, skipped, _ = find(peers, []string{"rare"}); len(skipped) != 1 {
		t.Fatalf("unexpected silence about a peer that was asked for: %q", skipped)
	}
	if found, _, err = find(peers, []string{"none"}); err != nil || len(found) != 0 {
		t.Fatalf("unexpected peers for none: %v, %v", found, err)
	}
	if _, _, err = find(peers, []string{"typo"}); err == nil {
		t.Fatal("expecting an error for an unknown peer")
	}
}

func TestBenchLines(t *testing.T) {
	t.Parallel()
	got := string(benchLines("goos: linux\npkg: sluice/x\nBenchmarkPick-2  1  2 ns/op\nPASS\nok  sluice/x 1s\n"))
	if want := "goos: linux\npkg: sluice/x\nBenchmarkPick-2  1  2 ns/op\n"; got != want {
		t.Fatalf("unexpected lines; got %q; want %q", got, want)
	}
}

func TestBenchmarkPackages(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for path, content := range map[string]string{
		"go.mod": "module x", "a/x_test.go": "func BenchmarkX(b *testing.B) {}", "a/y_test.go": "func BenchmarkY(b *testing.B) {}",
		"b/x_test.go": "func TestX(t *testing.T) {}", "c/x.go": "func BenchmarkX(",
		"d/go.mod": "module y", "d/x_test.go": "func BenchmarkX(b *testing.B) {}",
	} {
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := benchmarkPackages(root)
	if err != nil || len(got) != 1 || got[0] != "./a" {
		t.Fatalf("unexpected packages: %v, %v", got, err)
	}
}
